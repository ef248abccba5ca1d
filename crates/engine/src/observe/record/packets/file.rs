//! The packets of a file: pcap (draft-ietf-opsawg-pcap) in both byte orders and both units of time, and pcapng
//! (draft-ietf-opsawg-pcapng) with its sections and interfaces.

use std::io::{self, BufRead};
use std::ops::Range;

/// No packet is longer; a file that says so is damaged there.
const PACKET_BYTES_MAX: u32 = 1 << 18;
/// No block of pcapng is; the rest of a longer one would have to be believed.
const BLOCK_BYTES_MAX: u32 = 1 << 24;
/// Interfaces of a section.
const INTERFACES_MAX: usize = 1024;

/// One packet.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'p> {
    /// Microseconds since 1970.
    pub at_us: i64,
    /// The link type (`LINKTYPE_...`).
    pub link: u16,
    /// What was captured.
    pub bytes: &'p [u8],
    /// Its length on the wire.
    pub length: u32,
}

/// Where in the buffer a packet is.
#[derive(Debug)]
struct Place {
    at_us: i64,
    link: u16,
    range: Range<usize>,
    length: u32,
}

/// How an interface of pcapng writes.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link: u16,
    /// Ticks a second.
    ticks: u64,
}

#[derive(Debug)]
enum Format {
    Classic { nanoseconds: bool, link: u16 },
    Blocks { interfaces: Vec<Interface> },
}

/// An open capture.
#[derive(Debug)]
pub struct Capture<R> {
    from: R,
    format: Format,
    /// Numbers in the file are big-endian.
    big: bool,
    buffer: Vec<u8>,
    /// Whether it ended in the middle of a packet, or was damaged.
    pub truncated: bool,
    /// Packets that belong to no known interface.
    pub unreadable: u64,
    /// Packets that the capturing program lost.
    pub lost: Option<u64>,
}

const BLOCK_SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

impl<R: BufRead> Capture<R> {
    /// Reads the beginning.
    ///
    /// # Errors
    /// `InvalidData` if it is no capture.
    pub fn open(mut from: R) -> io::Result<Self> {
        let mut magic = [0; 4];
        from.read_exact(&mut magic)?;
        let (format, big) = match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Format::Classic { nanoseconds: false, link: 0 }, false),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Format::Classic { nanoseconds: false, link: 0 }, true),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Format::Classic { nanoseconds: true, link: 0 }, false),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Format::Classic { nanoseconds: true, link: 0 }, true),
            [0x0a, 0x0d, 0x0d, 0x0a] => (Format::Blocks { interfaces: Vec::new() }, false),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let mut capture = Self { from, format, big, buffer: Vec::new(), truncated: false, unreadable: 0, lost: None };
        if matches!(capture.format, Format::Blocks { .. }) {
            capture.section()?;
        } else {
            let mut rest = [0; 20];
            capture.from.read_exact(&mut rest)?;
            let network = capture.u32_in(&rest, 16);
            if let Format::Classic { link, .. } = &mut capture.format {
                // The upper bits tell about checksums.
                *link = (network & 0xffff) as u16;
            }
        }
        Ok(capture)
    }

    /// The next packet; `None`: the end, sound or not.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        match self.advance() {
            Ok(found) => Ok(found.map(|Place { at_us, link, range, length }| Packet {
                at_us,
                link,
                bytes: &self.buffer[range],
                length,
            })),
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
                self.truncated = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn advance(&mut self) -> io::Result<Option<Place>> {
        if self.truncated {
            return Ok(None);
        }
        match self.format {
            Format::Classic { nanoseconds, link } => self.classic(nanoseconds, link),
            Format::Blocks { .. } => self.blocks(),
        }
    }

    fn classic(&mut self, nanoseconds: bool, link: u16) -> io::Result<Option<Place>> {
        if self.from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut head = [0; 16];
        self.from.read_exact(&mut head)?;
        let (seconds, fraction) = (self.u32_in(&head, 0), self.u32_in(&head, 4));
        let (captured, length) = (self.u32_in(&head, 8), self.u32_in(&head, 12));
        if captured > PACKET_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.fill(captured as usize)?;
        let fraction = i64::from(if nanoseconds { fraction / 1000 } else { fraction });
        let at_us = i64::from(seconds) * 1_000_000 + fraction;
        Ok(Some(Place { at_us, link, range: 0..captured as usize, length }))
    }

    fn blocks(&mut self) -> io::Result<Option<Place>> {
        loop {
            if self.from.fill_buf()?.is_empty() {
                return Ok(None);
            }
            let mut kind = [0; 4];
            self.from.read_exact(&mut kind)?;
            // A new section may be of the other byte order; its mark reads the same in both.
            if u32::from_be_bytes(kind) == BLOCK_SECTION {
                self.section()?;
                continue;
            }
            let mut length = [0; 4];
            self.from.read_exact(&mut length)?;
            let (kind, length) = (self.u32_in(&kind, 0), self.u32_in(&length, 0));
            if !(12..=BLOCK_BYTES_MAX).contains(&length) || length % 4 != 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // Without kind and length, and with the length that is repeated at its end.
            self.fill(length as usize - 8)?;
            self.buffer.truncate(length as usize - 12);
            if let Some(found) = self.block(kind) {
                return Ok(Some(found));
            }
        }
    }

    /// A section's header, behind its mark.
    fn section(&mut self) -> io::Result<()> {
        let mut head = [0; 8];
        self.from.read_exact(&mut head)?;
        self.big = match u32::from_be_bytes([head[4], head[5], head[6], head[7]]) {
            BYTE_ORDER => true,
            swapped if swapped == BYTE_ORDER.swap_bytes() => false,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let length = self.u32_in(&head, 0);
        if !(28..=BLOCK_BYTES_MAX).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.fill(length as usize - 12)?;
        self.format = Format::Blocks { interfaces: Vec::new() };
        Ok(())
    }

    fn block(&mut self, kind: u32) -> Option<Place> {
        match kind {
            1 => self.interface(),
            5 => self.statistics(),
            // Enhanced packet; the obsolete packet block (2) has the interface in 16 bits, and drops behind it.
            2 | 6 => {
                let id = self.at(0)?;
                let id = match (kind, self.big) {
                    (2, true) => id >> 16,
                    (2, false) => id & 0xffff,
                    _ => id,
                };
                let ticks = u64::from(self.at(4)?) << 32 | u64::from(self.at(8)?);
                let (captured, length) = (self.at(12)?, self.at(16)?);
                let end = 20usize.checked_add(captured as usize).filter(|end| *end <= self.buffer.len());
                let known = self.interface_of(id as usize).zip(end);
                self.unreadable += u64::from(known.is_none());
                let (interface, end) = known?;
                let at_us = microseconds(ticks, interface.ticks);
                Some(Place { at_us, link: interface.link, range: 20..end, length })
            }
            // A simple packet has no time: it counts, but is placed nowhere.
            3 => {
                self.unreadable += 1;
                None
            }
            _ => None,
        }
    }

    fn interface(&mut self) -> Option<Place> {
        let link = self.u16_in(self.buffer.get(..2)?);
        let resolution = self.option(8, 9).and_then(|value| value.first().copied()).unwrap_or(6);
        // The highest bit says: a power of two, not of ten.
        let exponent = u32::from(resolution & 0x7f);
        let ticks = if resolution & 0x80 == 0 { 10u64.checked_pow(exponent) } else { 2u64.checked_pow(exponent) };
        let interface = Interface { link, ticks: ticks.unwrap_or(1_000_000) };
        if let Format::Blocks { interfaces } = &mut self.format {
            if interfaces.len() < INTERFACES_MAX {
                interfaces.push(interface);
            }
        }
        None
    }

    /// `isb_ifdrop` and `isb_osdrop` of an interface's statistics.
    fn statistics(&mut self) -> Option<Place> {
        for code in [5, 7] {
            let value: Option<[u8; 8]> = self.option(12, code).and_then(|value| value.try_into().ok());
            if let Some(value) = value {
                let dropped = if self.big { u64::from_be_bytes(value) } else { u64::from_le_bytes(value) };
                self.lost = Some(self.lost.unwrap_or(0).saturating_add(dropped));
            }
        }
        None
    }

    fn interface_of(&self, id: usize) -> Option<Interface> {
        match &self.format {
            Format::Blocks { interfaces } => interfaces.get(id).copied(),
            Format::Classic { .. } => None,
        }
    }

    /// The value of an option in the block, options beginning at `offset`.
    fn option(&self, mut offset: usize, wanted: u16) -> Option<Vec<u8>> {
        loop {
            let head = self.buffer.get(offset..offset + 4)?;
            let (code, length) = (self.u16_in(&head[..2]), usize::from(self.u16_in(&head[2..])));
            if code == 0 {
                return None;
            }
            let value = self.buffer.get(offset + 4..offset + 4 + length)?;
            if code == wanted {
                return Some(value.to_owned());
            }
            offset += 4 + length.next_multiple_of(4);
        }
    }

    fn fill(&mut self, length: usize) -> io::Result<()> {
        // Grows with what is there, not with what a damaged length promises.
        self.buffer.resize(length, 0);
        self.from.read_exact(&mut self.buffer)
    }

    fn at(&self, offset: usize) -> Option<u32> {
        let bytes = self.buffer.get(offset..offset + 4)?;
        Some(self.u32_in(bytes, 0))
    }

    fn u32_in(&self, bytes: &[u8], offset: usize) -> u32 {
        let bytes = bytes.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; 4]);
        if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    fn u16_in(&self, bytes: &[u8]) -> u16 {
        let bytes = bytes.try_into().unwrap_or([0; 2]);
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }
}

fn microseconds(ticks: u64, each_second: u64) -> i64 {
    let microseconds = u128::from(ticks) * 1_000_000 / u128::from(each_second.max(1));
    i64::try_from(microseconds).unwrap_or(i64::MAX)
}
