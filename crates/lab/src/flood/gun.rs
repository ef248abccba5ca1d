//! The loaded flood program, and the system call that makes it send.
//!
//! `BPF_PROG_TEST_RUN` with more than one repetition enters an XDP program into the kernel's dispatcher (a list of direct calls, text
//! that is patched) and takes it out again afterwards, and waits for an RCU grace period each time: 22 ms a call, measured, which made
//! every flood a series of bursts. The kernel leaves the dispatcher alone if the program is in it already, so the program is also
//! attached, to the loopback of a namespace of its own in which nothing happens. A call then takes microseconds.

use std::mem::MaybeUninit;
use std::net::IpAddr;

use libbpf_rs::{ErrorKind, Link, MapCore, MapFlags, OpenObject, ProgramInput};

use super::prefix::words_of;
use super::shape::Shape;
use super::{Shot, Sources};
use crate::bpf::flood::{FloodSkel, FloodSkelBuilder};
use crate::{Error, Netns, Result, bpf};

/// `BPF_F_TEST_XDP_LIVE_FRAMES` of include/uapi/linux/bpf.h.
const LIVE_FRAMES: u32 = 2;

/// The loaded program.
pub(super) struct Gun<'object> {
    skel: FloodSkel<'object>,
    frame_size: usize,
    _in_dispatcher: Link,
    _quiet: Netns,
}

impl<'object> Gun<'object> {
    /// Loads the program for a shot. Moves the calling thread into a namespace of its own.
    pub(super) fn load(object: &'object mut MaybeUninit<OpenObject>, shot: &Shot, shape: &Shape) -> Result<Self> {
        let mut open = bpf::open::<FloodSkelBuilder>(object, "the flood")?;
        if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
            rodata.shot = shape.shot;
            // A shape has no more forms than there is room for.
            for (place, form) in rodata.forms.iter_mut().zip(&shape.forms) {
                *place = *form;
            }
        }
        if let Some(bss) = open.maps.bss_data.as_deref_mut() {
            bss.seed = shot.seed;
        }
        if let Sources::List(list) = &shot.sources {
            open.maps.sources.set_max_entries(list.len() as u32).map_err(Error::bpf("size the list of sources"))?;
        }
        let skel = bpf::load(open, "the flood (it needs Linux 5.18 or later)")?;
        if let Sources::List(list) = &shot.sources {
            fill(&skel.maps.sources, list)?;
        }
        let quiet = Netns::new("flood")?;
        quiet.enter()?;
        let attached = bpf::attach(&skel.progs.flood, "lo", "the flood")?;
        Ok(Self { skel, frame_size: shape.room(), _in_dispatcher: attached, _quiet: quiet })
    }

    /// Sends so many frames out of a device of the calling thread's namespace, `gap_ns` apart or a little more.
    pub(super) fn fire(&mut self, device: i32, frames: u64, gap_ns: u64) -> Result<()> {
        if let Some(bss) = self.skel.maps.bss_data.as_deref_mut() {
            bss.gap_ns = gap_ns;
        }
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let words = [0, self.frame_size as u32, 0, device as u32, 0, 0];
        let mut context: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let input = ProgramInput {
            context_in: Some(&mut context),
            data_in: Some(&[0; 128][..self.frame_size]),
            flags: LIVE_FRAMES,
            repeat: frames as u32,
            ..ProgramInput::default()
        };
        match self.skel.progs.flood.test_run(input) {
            // A signal cuts the call short; the next one goes on.
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            other => other.map(drop).map_err(Error::bpf("send frames with BPF_PROG_TEST_RUN")),
        }
    }
}

/// Puts the listed sources where the program draws from.
fn fill(map: &impl MapCore, addresses: &[IpAddr]) -> Result<()> {
    for (index, address) in addresses.iter().enumerate() {
        let value: Vec<u8> = words_of(*address).iter().flat_map(|word| word.to_ne_bytes()).collect();
        let key = (index as u32).to_ne_bytes();
        map.update(&key, &value, MapFlags::ANY).map_err(Error::bpf("list the flood's sources"))?;
    }
    Ok(())
}
