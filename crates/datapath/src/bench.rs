//! gate under a stopwatch: bpf/bench.bpf.c lays one frame anew before each run of BPF_PROG_TEST_RUN, so that a program that turns
//! its frame into an answer meets the same SYN again, or one of another source. Beside gate there are floors that lay the same frame
//! and then do next to nothing; what gate costs is the difference.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use libbpf_rs::{MapCore, MapFlags};

use crate::datapath::begin_policy;
use crate::keys::Keys;
use crate::load::{self, LoadedBench};
use crate::maps::{Maps, io_error};
use crate::test_run::{Frame, Ran, run};
use crate::{Capacity, Error, Settings};

/// The longest frame that can be laid, in bytes.
pub const FRAME_MAX: usize = 128;

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// gate itself.
    Gate,
    /// The floor of whoever drops or passes.
    Drop,
    /// The floor of whoever answers: addresses swapped, XDP_TX.
    Swap,
    /// One lookup of the frame's IPv4 source in the table of verified sources. Returns XDP_PASS for a hit.
    Table,
    /// What gate does to know a source, alone. Returns XDP_PASS for a verified one.
    Verified,
    /// What gate does for the lists, alone. Returns XDP_DROP for a blocked source.
    Lists,
    /// One lookup of the frame's IPv4 source in the kernel's own trie of prefixes. Returns XDP_DROP for one that is in it.
    Lpm,
}

/// The frame, and what changes from run to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// From the Ethernet header on, without tags or IP options; at most [`FRAME_MAX`] bytes.
    pub frame: Vec<u8>,
    /// The length of gate's answer in bytes, for [`Program::Swap`].
    pub answer_len: usize,
    /// The bits of the source address that change, as a number: 0xff are its last eight. Of an IPv6 address, of its second word.
    pub vary_address: u32,
    /// The bits of the source port that change.
    pub vary_port: u16,
    /// The bits of the sequence number that change.
    pub vary_sequence: u32,
    /// Whether the programs forget before each run that the source was asked, so that each of its SYNs is challenged. Its price is in
    /// every program, floors too.
    pub forget: bool,
}

impl Case {
    /// The same frame each time, and an answer of the same length.
    #[must_use]
    pub fn of(frame: Vec<u8>) -> Self {
        Self { answer_len: frame.len(), frame, ..Self::default() }
    }

    /// `struct bench_case`; the masks in network order, as the frame has the fields.
    fn bytes(&self, seed: u64) -> Vec<u8> {
        let words = [
            self.frame.len() as u32,
            self.vary_address.to_be(),
            self.vary_port.to_be().into(),
            self.vary_sequence.to_be(),
            self.answer_len as u32,
            self.forget.into(),
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(seed.to_ne_bytes());
        bytes.extend(&self.frame);
        bytes.resize(32 + FRAME_MAX, 0);
        bytes
    }
}

/// The programs, loaded with maps of their own, attached to nothing.
pub struct Bench {
    programs: LoadedBench,
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}

impl Bench {
    /// Loads them, with fresh keys.
    ///
    /// # Errors
    /// [`Error::Load`], [`Error::Random`].
    pub fn load(settings: &Settings, capacity: Capacity) -> Result<Self, Error> {
        let programs = load::bench(settings, capacity)?;
        Keys::new(&programs.maps).install()?;
        begin_policy(&programs.maps)?;
        Ok(Self { programs })
    }

    /// The maps: counters, ports, verified sources.
    #[must_use]
    pub fn maps(&self) -> &Maps {
        &self.programs.maps
    }

    /// Runs one of them `repeat` times in this thread's network namespace. The same seed gives the same frames.
    ///
    /// # Errors
    /// [`Error::Map`], [`Error::TestRun`].
    pub fn run(&self, program: Program, case: &Case, seed: u64, repeat: u32) -> Result<Ran, Error> {
        self.lay(&case.bytes(seed))?;
        run(self.fd(program), &Frame::new(&case.frame).times(repeat))
    }

    /// Puts IPv4 prefixes into the kernel's own trie.
    ///
    /// # Errors
    /// [`Error::Map`].
    pub fn add_lpm(&self, prefixes: impl IntoIterator<Item = (Ipv4Addr, u8)>) -> Result<(), Error> {
        let missing = || Error::map("find", "lpm")(std::io::ErrorKind::NotFound.into());
        let map = self.programs.maps.handle("lpm").ok_or_else(missing)?;
        prefixes.into_iter().try_for_each(|(address, length)| {
            let key = [u32::from(length).to_ne_bytes(), address.octets()].concat();
            map.update(&key, &[0; 8], MapFlags::ANY).map_err(io_error).map_err(Error::map("write", "lpm"))
        })
    }

    /// Puts the case where the programs find it.
    fn lay(&self, case: &[u8]) -> Result<(), Error> {
        const NAME: &str = "bench_case";
        let missing = || Error::map("find", NAME)(std::io::ErrorKind::NotFound.into());
        let map = self.programs.maps.handle(NAME).ok_or_else(missing)?;
        map.update(&0_u32.to_ne_bytes(), case, MapFlags::ANY).map_err(io_error).map_err(Error::map("write", NAME))
    }

    fn fd(&self, program: Program) -> BorrowedFd<'_> {
        match program {
            Program::Gate => self.programs.gate.as_fd(),
            Program::Drop => self.programs.drop.as_fd(),
            Program::Swap => self.programs.swap.as_fd(),
            Program::Table => self.programs.table.as_fd(),
            Program::Verified => self.programs.verified.as_fd(),
            Program::Lists => self.programs.lists.as_fd(),
            Program::Lpm => self.programs.lpm.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_laid_out_as_in_c() {
        let case = Case { vary_address: 0xff, vary_port: 0x0f, forget: true, ..Case::of(vec![9; 60]) };
        let bytes = case.bytes(0x0102);
        assert_eq!(bytes.len(), 32 + FRAME_MAX);
        assert_eq!(bytes[4..8], [0, 0, 0, 0xff], "the address's last byte");
        assert_eq!(bytes[8..10], [0, 0x0f], "the port's last byte");
        assert_eq!(bytes[20..24], 1_u32.to_ne_bytes());
        assert_eq!(bytes[24..32], 0x0102_u64.to_ne_bytes());
        assert_eq!(bytes[32..93], [[9; 60].as_slice(), &[0]].concat());
    }
}
