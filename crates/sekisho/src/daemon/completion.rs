//! Whose cookie a SYN gets. Decided at start and again every few seconds, since a nat table may come and go while the daemon runs.

use sekisho_datapath::Completion;
use sekisho_engine::observe::links::Link;
use sekisho_engine::policy::CompletionChoice;

/// What it is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What it is.
    pub completion: Completion,
    /// Why, in words.
    pub reason: String,
}

/// Decides. `missing` says why the kernel cannot complete our own cookie; `obstacles` are what lets go of the socket that was made of one.
pub fn decide(choice: CompletionChoice, missing: Option<&str>, obstacles: &[String]) -> Decision {
    let kernel = |reason: String| Decision { completion: Completion::Kernel, reason };
    match (choice, missing, obstacles) {
        (CompletionChoice::Kernel, _, _) => kernel("configured".into()),
        (_, Some(missing), _) => kernel(missing.into()),
        (CompletionChoice::Own, None, _) => Decision { completion: Completion::Own, reason: "configured".into() },
        (CompletionChoice::Auto, None, []) => Decision {
            completion: Completion::Own,
            reason: "the kernel can complete it, and nothing on this host is in the way".into(),
        },
        (CompletionChoice::Auto, None, [first, ..]) => kernel(first.clone()),
    }
}

/// What lets go of the socket on a packet's way from admit to TCP: address translation, and a bridge that the interface is a port of.
pub fn obstacles(nat: &[String], names: &[String], links: &[Link]) -> Vec<String> {
    let translated = nat.iter().map(|table| format!("addresses are translated here ({table})"));
    let ports = links.iter().filter(|link| names.contains(&link.name)).filter_map(|port| {
        let bridge = links.iter().find(|link| Some(link.index) == port.master)?;
        Some(format!(
            "{} is a part of {}, which lets go of the socket that our own is completed with",
            port.name, bridge.name
        ))
    });
    translated.chain(ports).collect()
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
