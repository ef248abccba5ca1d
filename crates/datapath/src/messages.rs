//! libbpf explains itself by printing. This module catches what it prints on this thread, so that an error carries the words: the
//! verifier's log, the kernel's own text for a refused attachment.

use std::cell::RefCell;
use std::sync::Once;

use libbpf_rs::PrintLevel;

thread_local! {
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` and gives what libbpf printed meanwhile on this thread. Outside such a call libbpf prints nothing.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> (T, String) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        libbpf_rs::set_print(Some((PrintLevel::Info, keep)));
    });
    let outer = CAUGHT.replace(Some(String::new()));
    let result = work();
    (result, CAUGHT.replace(outer).unwrap_or_default())
}

fn keep(_level: PrintLevel, text: String) {
    CAUGHT.with_borrow_mut(|caught| {
        if let Some(caught) = caught {
            caught.push_str(&text);
        }
    });
}

/// The kernel's own words (netlink's extended acknowledgement) among what libbpf printed.
pub(crate) fn kernel_words(printed: &str) -> Option<String> {
    let (_, words) = printed.split_once("Kernel error message:")?;
    let words = words.lines().next()?.trim();
    (!words.is_empty()).then(|| words.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_found() {
        let printed = "libbpf: Kernel error message: XDP: native mode is not supported\nlibbpf: other\n";
        assert_eq!(kernel_words(printed).as_deref(), Some("XDP: native mode is not supported"));
        assert_eq!(kernel_words("libbpf: nothing of the kind\n"), None);
    }

    #[test]
    fn what_libbpf_prints_is_caught() {
        let ((), printed) = catch(|| {
            let _ = libbpf_rs::ObjectBuilder::default().open_memory(b"not an object");
        });
        assert!(printed.contains("libbpf:"), "{printed:?}");
    }
}
