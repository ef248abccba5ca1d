//! The shared maps, typed. Arrays that user space writes are mapped into memory, so that a byte can be written without taking back
//! what a program wrote beside it, and counters cost no system call for each entry.

use std::collections::BTreeMap;
use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::abi::{
    Completion, Control, FILTER_WORDS, Key, Limiter, Lists, Method, PORT_UNPROTECTED, PORTS, Port, SEEN_SOURCES,
    Service, ServiceLimit, Speaker, TRACES_SHIFT, VERDICT_SLOTS, Verified,
};
use crate::pins::Pins;
use crate::{Error, sys};

/// The maps that user space reads or writes. The programs share more of them, which concern only themselves.
const USED: [&str; 16] = [
    "traces",
    "verdicts",
    "ports",
    "control",
    "speakers",
    "verified4",
    "verified6",
    "limiter",
    "service_limits",
    "held",
    "local_addresses",
    "spread",
    "services",
    "lists",
    "filter",
    "listed",
];
/// Those of them that are policy: each generation of the programs has its own.
pub(crate) const POLICY: [&str; 5] = ["services", "service_limits", "lists", "filter", "listed"];

/// Whether a map is policy and not state.
pub(crate) fn is_policy(name: &str) -> bool {
    POLICY.contains(&name)
}

/// Whether all programs share a map of this name. The others are one object's globals (`gate.rodata`, `.bss`).
pub(crate) fn is_shared(name: &str) -> bool {
    !name.contains('.')
}

/// What user space decides about one port number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortPolicy {
    /// How clients prove themselves between the marks.
    pub method: Method,
    /// Whether the service is protected at all.
    pub protect: bool,
    /// Share of the backlog in 1/256 below which nothing is asked.
    pub calm_mark: u8,
    /// Share of the backlog in 1/256 from which on everybody gets a cookie.
    pub reserve_mark: u8,
}

impl Default for PortPolicy {
    /// Cookies between a quarter and three quarters of the backlog.
    fn default() -> Self {
        Self { method: Method::Cookie, protect: true, calm_mark: 64, reserve_mark: 192 }
    }
}

impl PortPolicy {
    /// The first word of [`Service`].
    fn word(self) -> u32 {
        let flags = if self.protect { 0 } else { PORT_UNPROTECTED };
        u32::from_le_bytes([self.method as u8, flags, self.calm_mark, self.reserve_mark])
    }

    fn of_word(word: u32) -> Self {
        let [method, flags, calm_mark, reserve_mark] = word.to_le_bytes();
        Self {
            method: if method == Method::Challenge as u8 { Method::Challenge } else { Method::Cookie },
            protect: flags & PORT_UNPROTECTED == 0,
            calm_mark,
            reserve_mark,
        }
    }
}

impl Port {
    /// Whether the port is armed at this tick.
    #[must_use]
    pub fn is_armed(&self, tick: u32) -> bool {
        self.armed_until != 0 && (self.armed_until.wrapping_sub(tick) as i32) > 0
    }
}

/// A source that completed a handshake: an IPv4 address, or the first address of an IPv6 prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedSource {
    /// The address.
    pub address: IpAddr,
    /// What is remembered of it.
    pub entry: Verified,
}

/// All shared maps that user space reads or writes.
pub struct Maps {
    handles: BTreeMap<String, MapHandle>,
    ports: Mapped<Port>,
    services: Mapped<Service>,
    control: Mapped<Control>,
    speakers: Mapped<Speaker>,
    pub(crate) limiter: Mapped<Limiter>,
    pub(crate) service_limits: Mapped<ServiceLimit>,
    pub(crate) lists: Mapped<Lists>,
    pub(crate) filter: Mapped<u64>,
}

impl std::fmt::Debug for Maps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maps").field("maps", &self.handles.keys()).finish_non_exhaustive()
    }
}

impl Maps {
    /// Opens what is pinned, as far as user space uses it.
    pub(crate) fn open(path_of: impl Fn(&str) -> PathBuf) -> Result<Self, Error> {
        let open = |name: &'static str| Ok((name.to_string(), open_handle(name, &path_of(name))?));
        Self::of_handles(USED.into_iter().map(open).collect::<Result<_, Error>>()?)
    }

    /// Takes every shared map of a loaded object.
    pub(crate) fn of_object(object: &libbpf_rs::Object) -> Result<Self, Error> {
        let shared =
            object.maps().filter_map(|map| Some((map.name().to_str().filter(|n| is_shared(n))?.to_string(), map)));
        let open = |(name, map): (String, libbpf_rs::Map<'_>)| Ok((name, MapHandle::try_from(&map)?));
        let handles: libbpf_rs::Result<_> = shared.map(open).collect();
        Self::of_handles(handles.map_err(io_error).map_err(Error::map("open", "verdicts"))?)
    }

    fn of_handles(handles: BTreeMap<String, MapHandle>) -> Result<Self, Error> {
        let ports = Mapped::new(&handles, "ports", PORTS)?;
        let services = Mapped::new(&handles, "services", PORTS)?;
        let control = Mapped::new(&handles, "control", 1)?;
        let speakers = Mapped::new(&handles, "speakers", PORTS)?;
        let limiter = Mapped::new(&handles, "limiter", 1)?;
        let service_limits = Mapped::new(&handles, "service_limits", PORTS)?;
        let lists = Mapped::new(&handles, "lists", 1)?;
        let filter = Mapped::new(&handles, "filter", FILTER_WORDS)?;
        Ok(Self { handles, ports, services, control, speakers, lists, filter, limiter, service_limits })
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = (&String, &MapHandle)> {
        self.handles.iter()
    }

    pub(crate) fn handle(&self, name: &str) -> Option<&MapHandle> {
        self.handles.get(name)
    }

    pub(crate) fn get(&self, name: &'static str) -> Result<&MapHandle, Error> {
        self.handle(name).ok_or(io::ErrorKind::NotFound.into()).map_err(Error::map("find", name))
    }

    /// Pins the maps of policy in place of those of the generation before, each at once.
    pub(crate) fn pin_policy(&self, pins: &Pins) -> Result<(), Error> {
        for name in POLICY {
            let (new, path) = (pins.path(&format!("new_{name}")), pins.path(name));
            // Left by a run that was killed here.
            let _ = std::fs::remove_file(&new);
            sys::pin(self.get(name)?.as_fd(), &new).map_err(Error::pin("pin", &new))?;
            std::fs::rename(&new, &path).map_err(Error::pin("replace", path))?;
        }
        Ok(())
    }

    /// Every verdict's counter, summed over the CPUs; the index is the verdict's number.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn verdicts(&self) -> Result<[u64; VERDICT_SLOTS], Error> {
        let map = self.get("verdicts")?;
        let mut sums = [0; VERDICT_SLOTS];
        for (number, sum) in (0_u32..).zip(&mut sums) {
            let found = map.lookup_percpu(&number.to_ne_bytes(), MapFlags::ANY);
            let values = found.map_err(io_error).map_err(Error::map("read", "verdicts"))?.unwrap_or_default();
            *sum = values.iter().filter_map(|value| value.first_chunk().map(|v| u64::from_ne_bytes(*v))).sum();
        }
        Ok(sums)
    }

    /// One port number's state.
    #[must_use]
    pub fn port(&self, number: u16) -> Port {
        let port = self.ports.at(usize::from(number));
        // SAFETY: `port` is within the mapping. Programs write to it meanwhile, so it is read atomically.
        let armed_until = unsafe { AtomicU32::from_ptr(&raw mut (*port).armed_until).load(Ordering::Relaxed) };
        Port { armed_until, reserved: 0 }
    }

    /// One port number's policy.
    #[must_use]
    pub fn policy(&self, number: u16) -> PortPolicy {
        PortPolicy::of_word(self.policy_word(number).load(Ordering::Relaxed))
    }

    /// Sets one port number's policy, from the next packet on. What gate wrote (whether it is armed) stays as it is.
    pub fn set_port(&self, number: u16, policy: PortPolicy) {
        self.policy_word(number).store(policy.word(), Ordering::Relaxed);
    }

    fn policy_word(&self, number: u16) -> &AtomicU32 {
        let service = self.services.at(usize::from(number));
        // SAFETY: `service` is within the mapping, which lives as long as `self`, and begins with four bytes that are one word.
        unsafe { AtomicU32::from_ptr(service.cast()) }
    }

    /// Arms a port until `tick`, or makes it calm with 0. For tests and benchmarks: gate does it by itself.
    pub fn set_armed_until(&self, number: u16, tick: u32) {
        let port = self.ports.at(usize::from(number));
        // SAFETY: as in `port`.
        unsafe { AtomicU32::from_ptr(&raw mut (*port).armed_until).store(tick, Ordering::Relaxed) };
    }

    /// The ports that are armed at this tick.
    #[must_use]
    pub fn armed_ports(&self, tick: u32) -> Vec<u16> {
        (0..=u16::MAX).filter(|number| self.port(*number).is_armed(tick)).collect()
    }

    /// Who spoke first on a port, as far as sampled.
    #[must_use]
    pub fn speaker(&self, number: u16) -> Speaker {
        let speaker = self.speakers.at(usize::from(number));
        // SAFETY: `speaker` is within the mapping; each field is read atomically.
        unsafe {
            Speaker {
                server: AtomicU32::from_ptr(&raw mut (*speaker).server).load(Ordering::Relaxed),
                client: AtomicU32::from_ptr(&raw mut (*speaker).client).load(Ordering::Relaxed),
            }
        }
    }

    /// The ports on which anything was seen.
    #[must_use]
    pub fn speakers(&self) -> Vec<(u16, Speaker)> {
        let all = (0..=u16::MAX).map(|number| (number, self.speaker(number)));
        all.filter(|(_, speaker)| speaker.server != 0 || speaker.client != 0).collect()
    }

    /// Sets what was seen on a port: what an earlier run had learnt, or zero to learn anew.
    pub fn set_speaker(&self, number: u16, seen: Speaker) {
        let speaker = self.speakers.at(usize::from(number));
        // SAFETY: as in `speaker`.
        unsafe {
            AtomicU32::from_ptr(&raw mut (*speaker).server).store(seen.server, Ordering::Relaxed);
            AtomicU32::from_ptr(&raw mut (*speaker).client).store(seen.client, Ordering::Relaxed);
        }
    }

    /// Who completes cookies.
    #[must_use]
    pub fn completion(&self) -> Completion {
        let own = self.completion_word().load(Ordering::Relaxed) != Completion::Kernel as u32;
        if own { Completion::Own } else { Completion::Kernel }
    }

    /// Chooses who completes cookies, from the next packet on.
    pub fn set_completion(&self, completion: Completion) {
        self.completion_word().store(completion as u32, Ordering::Relaxed);
    }

    /// Whether admit enters the connections that it makes into connection tracking, which never saw their SYN.
    #[must_use]
    pub fn conntrack(&self) -> bool {
        self.conntrack_word().load(Ordering::Relaxed) != 0
    }

    /// Chooses that, from the next packet on.
    pub fn set_conntrack(&self, enter: bool) {
        self.conntrack_word().store(enter.into(), Ordering::Relaxed);
    }

    fn conntrack_word(&self) -> &AtomicU32 {
        let control = self.control.at(0);
        // SAFETY: `control` is within the mapping, which lives as long as `self`.
        unsafe { AtomicU32::from_ptr(&raw mut (*control).conntrack) }
    }

    fn completion_word(&self) -> &AtomicU32 {
        let control = self.control.at(0);
        // SAFETY: `control` is within the mapping, which lives as long as `self`.
        unsafe { AtomicU32::from_ptr(&raw mut (*control).completion) }
    }

    /// Which key makes cookies: see [`Control`].
    pub(crate) fn key_word(&self) -> u64 {
        let control = self.control.at(0);
        // SAFETY: `control` is within the mapping.
        unsafe { AtomicU64::from_ptr(&raw mut (*control).key_word).load(Ordering::Acquire) }
    }

    /// Stores the word after everything written before it.
    pub(crate) fn set_key_word(&self, word: u64) {
        let control = self.control.at(0);
        // SAFETY: `control` is within the mapping.
        unsafe { AtomicU64::from_ptr(&raw mut (*control).key_word).store(word, Ordering::Release) };
    }

    pub(crate) fn set_cookie_key(&self, slot: usize, key: Key) {
        let control = self.control.at(0);
        // SAFETY: `control` is within the mapping and `slot & 1` within the array; no program uses this slot's key meanwhile.
        unsafe { (&raw mut (*control).cookie_key[slot & 1]).write_volatile(key) };
    }

    pub(crate) fn set_flow_key(&self, key: Key) {
        let control = self.control.at(0);
        // SAFETY: `control` is within the mapping; no program is attached yet.
        unsafe { (&raw mut (*control).flow_key).write_volatile(key) };
    }

    /// A copy of everything, keys too: for tests that compute cookies by other means.
    #[must_use]
    pub fn control(&self) -> Control {
        // SAFETY: `control` is within the mapping and any bytes are a valid `Control`.
        unsafe { self.control.at(0).read_volatile() }
    }

    /// Overwrites everything, keys too: for tests that need known keys.
    pub fn set_control(&self, control: Control) {
        // SAFETY: as above.
        unsafe { self.control.at(0).write_volatile(control) };
    }

    /// How many sources both tables have room for: IPv4 and IPv6.
    #[must_use]
    pub fn capacity(&self) -> crate::Capacity {
        let entries = |name| self.handle(name).map_or(0, MapCore::max_entries);
        crate::Capacity { verified4: entries("verified4"), verified6: entries("verified6") }
    }

    /// How many verified sources there are: IPv4 addresses and IPv6 prefixes. Read in batches: a million takes well under a second.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn verified_count(&self) -> Result<(u64, u64), Error> {
        let (mut v4, mut v6) = (0, 0);
        self.each_verified::<4>("verified4", |_, _| v4 += 1)?;
        self.each_verified::<8>("verified6", |_, _| v6 += 1)?;
        Ok((v4, v6))
    }

    /// The verified sources, at most `limit` of them.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn verified_sources(&self, limit: usize) -> Result<Vec<VerifiedSource>, Error> {
        let mut sources = Vec::new();
        let mut keep = |address, entry| {
            if sources.len() < limit {
                sources.push(VerifiedSource { address, entry });
            }
        };
        self.each_verified::<4>("verified4", |key, entry| keep(IpAddr::V4(Ipv4Addr::from(key)), entry))?;
        self.each_verified::<8>("verified6", |key, entry| keep(IpAddr::V6(prefix_address(key)), entry))?;
        Ok(sources)
    }

    /// Remembers sources as `watch` does: in their table, and in the filters `traces` and `seen` that gate looks at first. For tests and
    /// benchmarks; an IPv6 address counts by its first eight bytes, which the caller has masked.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn add_verified(&self, sources: &[VerifiedSource]) -> Result<(), Error> {
        let mut traces = self.only_value("traces", 1 << TRACES_SHIFT)?;
        let mut seen = self.only_value("seen", SEEN_SOURCES)?;
        let secret = self.control().flow_key.k1;
        for source in sources {
            let hash = mix(self.add_to_table(source)?, secret);
            traces[trace_index(hash)] = seen_value(source.entry.seen);
            seen[seen_index(hash)] = seen_value(source.entry.seen);
        }
        self.put_only_value("traces", &traces)?;
        self.put_only_value("seen", &seen)
    }

    /// Forgets all traces, as if no source had ever been let through. For benchmarks.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn forget_traces(&self) -> Result<(), Error> {
        self.put_only_value("traces", &[0; 1 << TRACES_SHIFT])
    }

    /// The value of an array of one, of so many bytes.
    fn only_value(&self, name: &'static str, bytes: usize) -> Result<Vec<u8>, Error> {
        let found = self.get(name)?.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
        Ok(found.map_err(io_error).map_err(Error::map("read", name))?.unwrap_or_else(|| vec![0; bytes]))
    }

    fn put_only_value(&self, name: &'static str, value: &[u8]) -> Result<(), Error> {
        let written = self.get(name)?.update(&0_u32.to_ne_bytes(), value, MapFlags::ANY);
        written.map_err(io_error).map_err(Error::map("write", name))
    }

    /// Gives the key as the programs hash it.
    fn add_to_table(&self, source: &VerifiedSource) -> Result<u64, Error> {
        let value = verified_bytes(source.entry);
        let (name, key) = match source.address {
            IpAddr::V4(v4) => ("verified4", v4.octets().to_vec()),
            IpAddr::V6(v6) => ("verified6", v6.octets()[..8].to_vec()),
        };
        self.get(name)?.update(&key, &value, MapFlags::ANY).map_err(io_error).map_err(Error::map("write", name))?;
        let mut word = [0; 8];
        word[..key.len()].copy_from_slice(&key);
        Ok(u64::from_le_bytes(word))
    }

    fn each_verified<const K: usize>(
        &self,
        name: &'static str,
        mut each: impl FnMut([u8; K], Verified),
    ) -> Result<(), Error> {
        let map = self.get(name)?;
        let walk = sys::each_entry(map, |key, value| {
            if let (Some(key), Some(entry)) = (key.first_chunk(), verified_of(value)) {
                each(*key, entry);
            }
        });
        walk.map_err(Error::map("read", name))
    }
}

/// Opens one pinned map.
pub(crate) fn open_handle(name: &'static str, path: &Path) -> Result<MapHandle, Error> {
    MapHandle::from_pinned_path(path).map_err(io_error).map_err(Error::map("open", name))
}

/// Copies every entry of a table of verified sources into another one, as far as they fit.
pub(crate) fn copy_entries(name: &'static str, from: &MapHandle, to: &MapHandle) -> Result<(), Error> {
    let mut written = Ok(());
    let walk = sys::each_entry(from, |key, value| {
        if written.is_ok() {
            written = to.update(key, value, MapFlags::ANY);
        }
    });
    walk.map_err(Error::map("read", name))?;
    written.map_err(io_error).map_err(Error::map("write", name))
}

/// `mix` of bpf/sketch.h.
pub(crate) fn mix(x: u64, secret: u64) -> u32 {
    let mut x = x ^ secret;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 32;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (x >> 32) as u32
}

/// `trace_index` of bpf/sketch.h, of a source's `mix`.
const fn trace_index(hash: u32) -> usize {
    (hash >> (32 - TRACES_SHIFT)) as usize
}

/// `seen_index` of bpf/sketch.h, of a source's `mix`.
const fn seen_index(hash: u32) -> usize {
    hash as usize & (SEEN_SOURCES - 1)
}

/// `seen_value` of bpf/sketch.h: 1 to 255, by 1024 ticks.
fn seen_value(tick: u32) -> u8 {
    ((tick >> 10) % 255 + 1) as u8
}

fn prefix_address(prefix: [u8; 8]) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(u64::from_be_bytes(prefix)) << 64)
}

fn verified_of(bytes: &[u8]) -> Option<Verified> {
    let mut words = bytes.chunks_exact(4).filter_map(|word| word.first_chunk().map(|w| u32::from_ne_bytes(*w)));
    Some(Verified {
        seen: words.next()?,
        filled: words.next()?,
        tokens: words.next()?,
        handshakes: words.next()?,
        limit_filled: words.next()?,
        limit_tokens: words.next()?,
    })
}

fn verified_bytes(entry: Verified) -> Vec<u8> {
    let Verified { seen, filled, tokens, handshakes, limit_filled, limit_tokens } = entry;
    [seen, filled, tokens, handshakes, limit_filled, limit_tokens].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// libbpf-rs's errors carry the kernel's.
pub(crate) fn io_error(error: libbpf_rs::Error) -> io::Error {
    let kind = match error.kind() {
        libbpf_rs::ErrorKind::NotFound => io::ErrorKind::NotFound,
        libbpf_rs::ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// An array map in our memory: `entries` of `T`, shared with the programs. `T` is a `repr(C)` copy of a type in abi.h, for which any
/// bytes are valid, and its size is a multiple of 8, as the kernel lays out array entries.
pub(crate) struct Mapped<T> {
    start: NonNull<T>,
    entries: usize,
    kind: PhantomData<T>,
}

impl<T> Mapped<T> {
    fn new(handles: &BTreeMap<String, MapHandle>, name: &'static str, entries: usize) -> Result<Self, Error> {
        const { assert!(size_of::<T>() % 8 == 0) };
        let refuse = Error::map("map", name);
        let Some(handle) = handles.get(name) else { return Err(refuse(io::ErrorKind::NotFound.into())) };
        if handle.value_size() as usize != size_of::<T>() || handle.max_entries() as usize != entries {
            return Err(refuse(io::Error::other("its entries have another size or number than this version's")));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let fd = handle.as_fd().as_raw_fd();
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), Self::bytes(entries), protection, libc::MAP_SHARED, fd, 0) };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => {
                Ok(Self { start: start.cast(), entries, kind: PhantomData })
            }
            _ => Err(refuse(io::Error::last_os_error())),
        }
    }

    fn bytes(entries: usize) -> usize {
        (entries * size_of::<T>()).next_multiple_of(4096)
    }

    /// The address of one entry, which is valid while `self` is.
    pub(crate) fn at(&self, index: usize) -> *mut T {
        assert!(index < self.entries, "the index is within the map");
        // SAFETY: `index` is below `entries`, all of which are in the mapping.
        unsafe { self.start.as_ptr().add(index) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped; no reference into it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), Self::bytes(self.entries)) };
    }
}

// SAFETY: the mapping belongs to no thread, and everything in it is read and written atomically or volatile.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mapped<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armed_is_compared_across_the_wrap() {
        let port = |armed_until| Port { armed_until, ..Port::default() };
        assert!(!port(0).is_armed(0));
        assert!(port(5).is_armed(4));
        assert!(!port(5).is_armed(5));
        assert!(port(3).is_armed(u32::MAX - 3));
        assert!(!port(u32::MAX - 3).is_armed(3));
    }

    #[test]
    fn a_verified_entry_survives_its_bytes() {
        let entry = Verified { seen: 1, filled: 2, tokens: 3, handshakes: u32::MAX, limit_filled: 5, limit_tokens: 6 };
        assert_eq!(verified_of(&verified_bytes(entry)), Some(entry));
        assert_eq!(verified_of(&[0; 20]), None);
    }

    #[test]
    fn a_prefix_is_shown_as_its_first_address() {
        let prefix = [0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 1];
        assert_eq!(prefix_address(prefix).to_string(), "2001:db8:c:1::");
    }
}
