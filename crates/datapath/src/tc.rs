//! admit at tc ingress on kernels without tcx (before Linux 6.6): a filter on the clsact qdisc, which is made if it is not there.
//!
//! On the way back the qdisc is removed only if we made it and nobody else has put a filter on it since.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};

use libbpf_rs::libbpf_sys as raw;

use crate::sys::{answer, raw_fd};

/// One fixed handle, so that a later run replaces its own filter.
const HANDLE: u32 = 0x5e15;
const PRIORITY: u32 = 1;

fn hook(ifindex: u32, point: u32) -> raw::bpf_tc_hook {
    // SAFETY: the struct is plain data for which zero is valid.
    let mut hook: raw::bpf_tc_hook = unsafe { zeroed() };
    hook.sz = size_of::<raw::bpf_tc_hook>() as u64;
    hook.ifindex = ifindex as i32;
    hook.attach_point = point;
    hook
}

fn options() -> raw::bpf_tc_opts {
    // SAFETY: the struct is plain data for which zero is valid.
    let mut opts: raw::bpf_tc_opts = unsafe { zeroed() };
    opts.sz = size_of::<raw::bpf_tc_opts>() as u64;
    opts.handle = HANDLE;
    opts.priority = PRIORITY;
    opts
}

/// Makes the qdisc. False: it was there already.
pub(crate) fn create(ifindex: u32) -> io::Result<bool> {
    let mut hook = hook(ifindex, raw::BPF_TC_INGRESS);
    // SAFETY: `hook` is valid, with its size set, for the length of the call.
    match answer(unsafe { raw::bpf_tc_hook_create(&raw mut hook) }) {
        Ok(_) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes the qdisc, unless somebody's filter is on it.
pub(crate) fn destroy_if_unused(ifindex: u32) -> io::Result<()> {
    if has_filters(ifindex)? {
        return Ok(());
    }
    let mut hook = hook(ifindex, raw::BPF_TC_INGRESS | raw::BPF_TC_EGRESS);
    // SAFETY: as above.
    answer(unsafe { raw::bpf_tc_hook_destroy(&raw mut hook) }).map(drop)
}

/// Puts our filter there, in place of an earlier one.
pub(crate) fn attach(ifindex: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    attach_at(ifindex, raw::BPF_TC_INGRESS, program)
}

pub(crate) fn attach_at(ifindex: u32, point: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let hook = hook(ifindex, point);
    let mut opts = options();
    opts.prog_fd = program.as_raw_fd();
    opts.flags = raw::BPF_TC_F_REPLACE;
    // SAFETY: both structs are valid, with their sizes set, for the length of the call.
    answer(unsafe { raw::bpf_tc_attach(&raw const hook, &raw mut opts) }).map(drop)
}

/// Takes our filter away.
pub(crate) fn detach(ifindex: u32) -> io::Result<()> {
    let hook = hook(ifindex, raw::BPF_TC_INGRESS);
    let opts = options();
    // SAFETY: as above.
    answer(unsafe { raw::bpf_tc_detach(&raw const hook, &raw const opts) }).map(drop)
}

/// The id of the program in our filter.
#[cfg(test)]
pub(crate) fn query(ifindex: u32) -> io::Result<u32> {
    let hook = hook(ifindex, raw::BPF_TC_INGRESS);
    let mut opts = options();
    // SAFETY: as above.
    answer(unsafe { raw::bpf_tc_query(&raw const hook, &raw mut opts) })?;
    Ok(opts.prog_id)
}

/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and `_EGRESS` (include/uapi/linux/pkt_sched.h).
const PARENTS: [u32; 2] = [0xffff_fff2, 0xffff_fff3];

/// Whether any filter is on the qdisc, on either side.
fn has_filters(ifindex: u32) -> io::Result<bool> {
    for parent in PARENTS {
        if count_filters(ifindex, parent)? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `struct nlmsghdr` and `struct tcmsg`, the request for a dump of filters.
#[repr(C)]
struct Request {
    header: libc::nlmsghdr,
    family: u8,
    padding: [u8; 3],
    ifindex: i32,
    handle: u32,
    parent: u32,
    info: u32,
}

fn count_filters(ifindex: u32, parent: u32) -> io::Result<usize> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes numbers only, and returns a new descriptor.
    let socket = raw_fd(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }.into())?;
    let request = Request {
        header: libc::nlmsghdr {
            nlmsg_len: size_of::<Request>() as u32,
            nlmsg_type: libc::RTM_GETTFILTER,
            nlmsg_flags: (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16,
            nlmsg_seq: 1,
            nlmsg_pid: 0,
        },
        family: 0,
        padding: [0; 3],
        ifindex: ifindex as i32,
        handle: 0,
        parent,
        info: 0,
    };
    // SAFETY: `request` is plain data without padding that outlives the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), (&raw const request).cast(), size_of::<Request>(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut filters = 0;
    // The kernel ends a dump by itself; the bound only says that this loop ends whatever it sends.
    for _ in 0..10_000 {
        let mut buffer = vec![0_u8; 65536];
        // SAFETY: `buffer` has the length that is given.
        let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        match count_messages(&buffer[..got])? {
            (count, false) => filters += count,
            (count, true) => return Ok(filters + count),
        }
    }
    Err(io::Error::other("the dump of tc filters does not end"))
}

/// How many filters one datagram of a dump names, and whether the dump ends in it.
fn count_messages(mut datagram: &[u8]) -> io::Result<(usize, bool)> {
    const HEADER: usize = size_of::<libc::nlmsghdr>();
    let mut filters = 0;
    while let (Some(length), Some(kind)) = (datagram.first_chunk::<4>(), datagram.get(4..6)) {
        let length = u32::from_ne_bytes(*length) as usize;
        match i32::from(u16::from_ne_bytes([kind[0], kind[1]])) {
            libc::NLMSG_DONE => return Ok((filters, true)),
            libc::NLMSG_ERROR => {
                let code =
                    datagram.get(HEADER..).and_then(|body| body.first_chunk()).map_or(0, |c| i32::from_ne_bytes(*c));
                return Err(io::Error::from_raw_os_error(-code));
            }
            kind if kind == i32::from(libc::RTM_NEWTFILTER) => filters += 1,
            _ => {}
        }
        datagram = datagram.get(length.max(HEADER).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok((filters, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: i32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend((kind as u16).to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_dump_is_counted_to_its_end() {
        let filter = message(libc::RTM_NEWTFILTER.into(), &[0; 21]);
        let done = message(libc::NLMSG_DONE, &[0; 4]);
        assert_eq!(count_messages(&[filter.clone(), filter.clone()].concat()).unwrap(), (2, false));
        assert_eq!(count_messages(&[filter, done].concat()).unwrap(), (1, true));
        assert_eq!(count_messages(&[]).unwrap(), (0, false));
        let refused = message(libc::NLMSG_ERROR, &(-libc::ENODEV).to_ne_bytes());
        assert_eq!(count_messages(&refused).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        // A length of zero must not turn us round for ever.
        assert_eq!(count_messages(&[0; 40]).unwrap(), (0, false));
    }
}
