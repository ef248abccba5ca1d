//! Loads `bpf/bound.bpf.c`: the bare bounce and the oracle, which no defence can do better than.

use std::mem::MaybeUninit;

use libbpf_rs::Link;

use crate::bpf::{self, bound::BoundSkelBuilder};
use crate::topology::{DEVICE, spoofed4, spoofed6};
use crate::{Netns, Result};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Swaps the addresses of the attackers' frames and sends them back: the bound for whoever answers.
    Bounce,
    /// Drops the attackers' frames: the bound for anybody.
    Oracle,
}

/// Attaches it to the device of a server whose attackers send from the whole spoofed ranges. Detached when dropped.
///
/// # Errors
///
/// [`Error::Bpf`](crate::Error::Bpf) if it cannot be loaded or attached.
pub fn attach(server: &Netns, which: Bound) -> Result<Link> {
    server.run(|| {
        let mut object = MaybeUninit::uninit();
        let mut open = bpf::open::<BoundSkelBuilder>(&mut object, "a bound")?;
        if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
            rodata.attackers4 = spoofed4().into();
            rodata.attackers6 = spoofed6().into();
        }
        let loaded = bpf::load(open, "a bound")?;
        let program = match which {
            Bound::Bounce => &loaded.progs.bounce,
            Bound::Oracle => &loaded.progs.oracle,
        };
        bpf::attach(program, DEVICE, "a bound")
    })?
}
