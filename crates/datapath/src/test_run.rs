//! Runs a loaded program on a frame by BPF_PROG_TEST_RUN: for tests, which compare its action, output and counters with the same
//! source compiled natively, and for benchmarks.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

use libbpf_rs::libbpf_sys as raw;

use crate::Error;

/// A frame on its way in.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// From the Ethernet header on.
    pub bytes: &'a [u8],
    /// The interface it arrives on, in this network namespace. None: loopback.
    pub ingress: Option<u32>,
    /// How often. The frame is not put back in between: a program that turns it into an answer sees its own answer next.
    pub repeat: u32,
}

impl<'a> Frame<'a> {
    /// This frame, once, on loopback.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, ingress: None, repeat: 1 }
    }

    /// The same, arriving on this interface.
    #[must_use]
    pub fn on(self, ingress: u32) -> Self {
        Self { ingress: Some(ingress), ..self }
    }

    /// The same, so often.
    #[must_use]
    pub fn times(self, repeat: u32) -> Self {
        Self { repeat, ..self }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What the program returned: `XDP_*` of gate, `TC_ACT_*` of admit.
    pub action: u32,
    /// The frame afterwards.
    pub bytes: Vec<u8>,
    /// The mean time of one run in nanoseconds, as the kernel measured it.
    pub ns: u32,
}

/// `XDP_DROP`.
pub const XDP_DROP: u32 = raw::XDP_DROP;
/// `XDP_PASS`.
pub const XDP_PASS: u32 = raw::XDP_PASS;
/// `XDP_TX`.
pub const XDP_TX: u32 = raw::XDP_TX;

/// More than any frame of ours grows to.
const ROOM: usize = 4096;

/// Runs any program that takes frames, also one that is not ours: a benchmark's floor.
///
/// # Errors
/// [`Error::TestRun`].
pub fn run(program: BorrowedFd<'_>, frame: &Frame<'_>) -> Result<Ran, Error> {
    let mut bytes = vec![0_u8; frame.bytes.len() + ROOM];
    let mut context = xdp_context(frame);
    // SAFETY: the struct is plain data for which zero is valid.
    let mut opts: raw::bpf_test_run_opts = unsafe { zeroed() };
    opts.sz = size_of::<raw::bpf_test_run_opts>() as u64;
    opts.data_in = frame.bytes.as_ptr().cast();
    opts.data_size_in = length(frame.bytes.len())?;
    opts.data_out = bytes.as_mut_ptr().cast();
    opts.data_size_out = length(bytes.len())?;
    opts.repeat = i32::try_from(frame.repeat).unwrap_or(i32::MAX);
    if let Some(context) = &mut context {
        opts.ctx_in = (&raw const *context).cast();
        opts.ctx_size_in = size_of::<raw::xdp_md>() as u32;
    }
    // SAFETY: every pointer in `opts` is valid for the length given beside it until the call returns.
    let code = unsafe { raw::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut opts) };
    if code < 0 {
        return Err(Error::TestRun(io::Error::from_raw_os_error(-code)));
    }
    bytes.truncate(opts.data_size_out as usize);
    Ok(Ran { action: opts.retval, bytes, ns: opts.duration })
}

fn length(bytes: usize) -> Result<u32, Error> {
    u32::try_from(bytes).map_err(|_| Error::TestRun(io::ErrorKind::InvalidInput.into()))
}

/// Only XDP's context carries an interface to arrive on.
fn xdp_context(frame: &Frame<'_>) -> Option<raw::xdp_md> {
    let ingress_ifindex = frame.ingress?;
    let data_end = frame.bytes.len() as u32;
    Some(raw::xdp_md { data: 0, data_end, data_meta: 0, ingress_ifindex, rx_queue_index: 0, egress_ifindex: 0 })
}
