//! The few calls of bpf(2) that are used after a program is loaded, over file descriptors: links, pins, what an interface has
//! attached. Thin and safe; every error is the kernel's own.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libbpf_rs::{MapCore, libbpf_sys as raw};

/// What of an attached link is of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub program_id: u32,
    /// The interface, for links of XDP and tcx; 0 once that interface is gone or the link is detached.
    pub ifindex: u32,
}

/// What XDP has on an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct XdpOnInterface {
    pub native: u32,
    pub generic: u32,
    pub hardware: u32,
}

/// libbpf returns a file descriptor or a negative errno.
pub(crate) fn answer(code: i32) -> io::Result<i32> {
    if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(code) }
}

fn owned(code: i32) -> io::Result<OwnedFd> {
    // SAFETY: a descriptor that a bpf(2) command has just returned belongs to nobody else.
    answer(code).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Attaches by a link, which lives while its descriptor or its pin does. `target` is an interface's index or a descriptor.
pub(crate) fn link_create(program: BorrowedFd<'_>, target: i32, kind: u32, flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: the struct is plain data for which zero is valid.
    let mut opts: raw::bpf_link_create_opts = unsafe { zeroed() };
    opts.sz = size_of::<raw::bpf_link_create_opts>() as u64;
    opts.flags = flags;
    // SAFETY: `opts` is valid, with its size set, for the length of the call.
    owned(unsafe { raw::bpf_link_create(program.as_raw_fd(), target, kind, &raw const opts) })
}

/// Puts another program into a link: the old one handles every packet until the new one does.
pub(crate) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no options is allowed.
    answer(unsafe { raw::bpf_link_update(link.as_raw_fd(), program.as_raw_fd(), std::ptr::null()) }).map(drop)
}

/// Detaches at once, whoever else still holds the link.
pub(crate) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor only.
    answer(unsafe { raw::bpf_link_detach(link.as_raw_fd()) }).map(drop)
}

pub(crate) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    // SAFETY: the struct is plain data for which zero is valid.
    let mut info: raw::bpf_link_info = unsafe { zeroed() };
    object_info(link, &mut info)?;
    let ifindex = match info.type_ {
        // SAFETY: the kernel says that the link is of the kind whose arm of the union is read; every arm is plain data.
        raw::BPF_LINK_TYPE_XDP => unsafe { info.__bindgen_anon_1.xdp.ifindex },
        // SAFETY: as above.
        raw::BPF_LINK_TYPE_TCX => unsafe { info.__bindgen_anon_1.tcx.ifindex },
        _ => 0,
    };
    Ok(LinkInfo { program_id: info.prog_id, ifindex })
}

pub(crate) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the struct is plain data for which zero is valid.
    let mut info: raw::bpf_prog_info = unsafe { zeroed() };
    object_info(program, &mut info)?;
    Ok(info.id)
}

/// `T` is the bpf_*_info of the descriptor's kind.
fn object_info<T>(fd: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let mut size = size_of::<T>() as u32;
    let info: *mut T = info;
    // SAFETY: the kernel writes at most `size` bytes into `info`.
    answer(unsafe { raw::bpf_obj_get_info_by_fd(fd.as_raw_fd(), info.cast(), &raw mut size) }).map(drop)
}

/// Whether a program with this id is still in the kernel.
pub(crate) fn program_exists(id: u32) -> bool {
    // SAFETY: takes a number only.
    owned(unsafe { raw::bpf_prog_get_fd_by_id(id) }).is_ok()
}

pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string that outlives the call.
    answer(unsafe { raw::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) }).map(drop)
}

pub(crate) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string that outlives the call.
    owned(unsafe { raw::bpf_obj_get(path.as_ptr()) })
}

/// The ids of the XDP programs on an interface of this network namespace.
pub(crate) fn xdp_query(ifindex: u32) -> io::Result<XdpOnInterface> {
    // SAFETY: the struct is plain data for which zero is valid.
    let mut opts: raw::bpf_xdp_query_opts = unsafe { zeroed() };
    opts.sz = size_of::<raw::bpf_xdp_query_opts>() as u64;
    // SAFETY: `opts` is valid, with its size set, for the length of the call.
    answer(unsafe { raw::bpf_xdp_query(ifindex as i32, 0, &raw mut opts) })?;
    Ok(XdpOnInterface { native: opts.drv_prog_id, generic: opts.skb_prog_id, hardware: opts.hw_prog_id })
}

/// The old way of attaching XDP, by netlink. Used only for its error text, which a link's creation does not give. Should it
/// succeed after all, it is taken back.
pub(crate) fn xdp_attach_for_its_words(ifindex: u32, program: BorrowedFd<'_>, flags: u32) {
    let flags = flags | raw::XDP_FLAGS_UPDATE_IF_NOEXIST;
    // SAFETY: no options is allowed.
    let code = unsafe { raw::bpf_xdp_attach(ifindex as i32, program.as_raw_fd(), flags, std::ptr::null()) };
    if code == 0 {
        // SAFETY: the struct is plain data for which zero is valid.
        let mut opts: raw::bpf_xdp_attach_opts = unsafe { zeroed() };
        opts.sz = size_of::<raw::bpf_xdp_attach_opts>() as u64;
        opts.old_prog_fd = program.as_raw_fd();
        let flags = flags & !raw::XDP_FLAGS_UPDATE_IF_NOEXIST;
        // SAFETY: `opts` is valid, with its size set, for the length of the call.
        unsafe { raw::bpf_xdp_detach(ifindex as i32, flags, &raw const opts) };
    }
}

/// Walks a hash map by batches: a system call for thousands of entries. The kernel gives whole buckets, so a batch that is not full is
/// not the last; only ENOENT is.
pub(crate) fn each_entry(map: &impl MapCore, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let (key_size, value_size) = (map.key_size() as usize, map.value_size() as usize);
    let mut room = 4096_u32;
    // Where the walk is: a bucket's number.
    let mut place: Option<u32> = None;
    // Each batch moves on by a bucket at least, of which there are at most twice as many as entries; or it makes more room.
    for _ in 0..u64::from(map.max_entries()) * 2 + 64 {
        let (mut keys, mut values) = (vec![0; room as usize * key_size], vec![0; room as usize * value_size]);
        let (mut count, mut next) = (room, 0_u32);
        let from = place.as_mut().map_or(std::ptr::null_mut(), |place| (&raw mut *place).cast());
        let (keys_at, values_at) = (keys.as_mut_ptr().cast(), values.as_mut_ptr().cast());
        let (fd, next_at) = (map.as_fd().as_raw_fd(), (&raw mut next).cast());
        // SAFETY: `keys` and `values` have room for `count` entries of the map's sizes, and a hash map's place is a u32.
        let code = unsafe {
            raw::bpf_map_lookup_batch(fd, from, next_at, keys_at, values_at, &raw mut count, std::ptr::null())
        };
        match answer(code) {
            // One bucket alone has more entries than there is room.
            Err(e) if e.raw_os_error() == Some(libc::ENOSPC) => {
                room *= 2;
                continue;
            }
            Err(e) if e.raw_os_error() != Some(libc::ENOENT) => return Err(e),
            done => {
                let keys = keys.chunks_exact(key_size).take(count as usize);
                keys.zip(values.chunks_exact(value_size)).for_each(|(key, value)| each(key, value));
                if done.is_err() {
                    return Ok(());
                }
                place = Some(next);
            }
        }
    }
    Err(io::Error::other("the walk through the map does not end"))
}

/// The root of the cgroup2 hierarchy, of a mount that appears nowhere and is gone with the descriptor. So it matters neither where
/// the host has mounted it nor whether this process can see that place (`ip netns exec` hides all of /sys).
pub(crate) fn cgroup_root() -> io::Result<OwnedFd> {
    let fs = raw_fd(
        // SAFETY: the name is a C string; the call returns a new descriptor.
        unsafe { libc::syscall(libc::SYS_fsopen, c"cgroup2".as_ptr(), libc::FSOPEN_CLOEXEC) },
    )?;
    let create = libc::FSCONFIG_CMD_CREATE;
    let nothing = std::ptr::null::<u8>();
    // SAFETY: this command takes no key, value or number.
    let code = unsafe { libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), create, nothing, nothing, 0) };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes a descriptor and flags; the call returns a new descriptor.
    let mount = raw_fd(unsafe { libc::syscall(libc::SYS_fsmount, fs.as_raw_fd(), libc::FSMOUNT_CLOEXEC, 0) })?;
    let flags = libc::O_DIRECTORY | libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string; the call returns a new descriptor.
    raw_fd(unsafe { libc::openat(mount.as_raw_fd(), c".".as_ptr(), flags) }.into())
}

/// A new descriptor, or errno, of a plain system call.
pub(crate) fn raw_fd(code: libc::c_long) -> io::Result<OwnedFd> {
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller hands on what a system call that makes a descriptor has just returned.
    Ok(unsafe { OwnedFd::from_raw_fd(code as RawFd) })
}
