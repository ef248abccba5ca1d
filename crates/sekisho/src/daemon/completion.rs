//! Whose cookie a SYN gets. Decided at start and again every few seconds, since a nat table may come and go while the daemon runs.

use sekisho_datapath::Completion;
use sekisho_engine::policy::CompletionChoice;

/// What it is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What it is.
    pub completion: Completion,
    /// Why, in words.
    pub reason: String,
}

/// Decides. `missing` says why the kernel cannot complete our own cookie; `nat` where addresses are translated.
pub fn decide(choice: CompletionChoice, missing: Option<&str>, nat: &[String]) -> Decision {
    let kernel = |reason: String| Decision { completion: Completion::Kernel, reason };
    match (choice, missing, nat) {
        (CompletionChoice::Kernel, _, _) => kernel("configured".into()),
        (_, Some(missing), _) => kernel(missing.into()),
        (CompletionChoice::Own, None, _) => Decision { completion: Completion::Own, reason: "configured".into() },
        (CompletionChoice::Auto, None, []) => Decision {
            completion: Completion::Own,
            reason: "the kernel can complete it, and no nat table is in the way".into(),
        },
        (CompletionChoice::Auto, None, [first, ..]) => kernel(format!("addresses are translated here ({first})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nat_decides_for_the_kernels_cookie_unless_configured() {
        let nat = ["nftables' chain nat pre".to_owned()];
        assert_eq!(decide(CompletionChoice::Auto, None, &[]).completion, Completion::Own);
        let decision = decide(CompletionChoice::Auto, None, &nat);
        assert_eq!(decision.completion, Completion::Kernel);
        assert!(decision.reason.contains("nat pre"));
        assert_eq!(decide(CompletionChoice::Own, None, &nat).completion, Completion::Own);
        assert_eq!(decide(CompletionChoice::Kernel, None, &[]).completion, Completion::Kernel);
    }

    #[test]
    fn an_old_kernel_has_no_choice() {
        let decision = decide(CompletionChoice::Auto, Some("Linux 6.1 has no kfunc"), &[]);
        assert_eq!((decision.completion, decision.reason.as_str()), (Completion::Kernel, "Linux 6.1 has no kfunc"));
    }
}
