//! The lab's own BPF programs: what libbpf-cargo made of `bpf/*.bpf.c`, and how each of them is opened, loaded and attached.

use std::mem::MaybeUninit;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, OpenObject, ProgramMut};

use crate::flood::Prefix;
use crate::{Error, Result};

/// A module with the skeleton of each program that build.rs compiled. Generated: not in our style, and not ours to mend.
macro_rules! skeletons {
    ($($name:ident),*) => {$(
        #[allow(
            missing_docs,
            unused_qualifications,
            clippy::all,
            clippy::undocumented_unsafe_blocks,
            clippy::allow_attributes_without_reason,
            clippy::expect_used,
            clippy::unwrap_used,
            reason = "libbpf-cargo generates these files"
        )]
        pub(crate) mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".skel.rs"));
        }
    )*};
}

skeletons!(bound, fate, flood, sink);

/// A prefix as `bpf/prefix.h` has it, up to 64 bits in network order: in each skeleton that is a type of its own.
macro_rules! prefixes {
    ($($name:ident),*) => {$(
        impl From<Prefix> for $name::types::prefix {
            fn from(prefix: Prefix) -> Self {
                let (base, mask) = (prefix.words(), prefix.mask_words());
                Self { base: [base[0], base[1]], mask: [mask[0], mask[1]] }
            }
        }
    )*};
}

prefixes!(bound, sink);

/// Opens a skeleton, so that its settings can be filled in. `what` names it in the error.
pub(crate) fn open<'object, Builder: SkelBuilder<'object> + Default>(
    object: &'object mut MaybeUninit<OpenObject>,
    what: &str,
) -> Result<Builder::Output> {
    Builder::default().open(object).map_err(Error::bpf(format!("open {what}")))
}

/// Loads it into the kernel.
pub(crate) fn load<'object, Open: OpenSkel<'object>>(open: Open, what: &str) -> Result<Open::Output> {
    open.load().map_err(Error::bpf(format!("load {what}")))
}

/// Attaches one of its programs as XDP to a device of the calling thread's namespace, until the link is dropped.
pub(crate) fn attach(program: &ProgramMut<'_>, device: &str, what: &str) -> Result<Link> {
    program.attach_xdp(index_of(device)?).map_err(Error::bpf(format!("attach {what} to {device}")))
}

/// The index of a device in the calling thread's namespace.
pub(crate) fn index_of(device: &str) -> Result<i32> {
    let index = nix::net::if_::if_nametoindex(device).map_err(Error::os(format!("find the device {device}")))?;
    i32::try_from(index).map_err(|_| Error::parse("a device's index", index.to_string()))
}
