//! Loads `bpf/sink.bpf.c`: what swallows answers to spoofed addresses at the router's end of the server's link.

use std::mem::MaybeUninit;
use std::net::IpAddr;

use libbpf_rs::{Link, MapCore, MapFlags, MapHandle};

use crate::bpf::sink::SinkSkelBuilder;
use crate::bpf::sink::types::{data as Data, prefix as RawPrefix};
use crate::flood::Prefix;
use crate::{Error, Netns, Result, bpf};

/// The attached sink. Dropping it detaches it.
#[derive(Debug)]
pub(crate) struct Sink {
    _link: Link,
    frames: MapHandle,
    live: MapHandle,
}

/// The index of the counter of swallowed frames in the program's map.
const SWALLOWED: u32 = 0;

impl Sink {
    /// Attaches the sink to a device, swallowing what goes to the two prefixes.
    pub(crate) fn attach(namespace: &Netns, device: &str, swallow: [Prefix; 2]) -> Result<Self> {
        namespace.run(|| {
            let mut object = MaybeUninit::uninit();
            let mut open = bpf::open::<SinkSkelBuilder>(&mut object, "the sink")?;
            if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
                rodata.swallow4 = swallow[0].into();
                rodata.swallow6 = swallow[1].into();
            }
            let loaded = bpf::load(open, "the sink")?;
            let link = bpf::attach(&loaded.progs.sink, device, "the sink")?;
            let handle = |map| MapHandle::try_from(map).map_err(Error::bpf("keep a map of the sink"));
            Ok(Self { _link: link, frames: handle(&loaded.maps.frames)?, live: handle(&loaded.maps.data)? })
        })?
    }

    /// How many answers were swallowed.
    pub(crate) fn swallowed(&self) -> Result<u64> {
        let failed = || Error::bpf("read the sink's counters");
        let per_cpu = self.frames.lookup_percpu(&SWALLOWED.to_ne_bytes(), MapFlags::ANY).map_err(failed())?;
        let cpus = per_cpu.unwrap_or_default();
        Ok(cpus.iter().filter_map(|bytes| bytes.as_slice().try_into().ok()).map(u64::from_ne_bytes).sum())
    }

    /// Lets answers to a part of the spoofed range pass, one part for each family.
    pub(crate) fn set_live(&self, live: Prefix) -> Result<()> {
        let failed = || Error::bpf("write the sink's live prefixes");
        let key = 0u32.to_ne_bytes();
        let mut bytes = self.live.lookup(&key, MapFlags::ANY).map_err(failed())?.unwrap_or_default();
        let offset = match live.base() {
            IpAddr::V4(_) => std::mem::offset_of!(Data, live4),
            IpAddr::V6(_) => std::mem::offset_of!(Data, live6),
        };
        let prefix = RawPrefix::from(live);
        let words = prefix.base.iter().chain(&prefix.mask).flat_map(|word| word.to_ne_bytes());
        for (at, byte) in words.enumerate() {
            if let Some(place) = bytes.get_mut(offset + at) {
                *place = byte;
            }
        }
        self.live.update(&key, &bytes, MapFlags::ANY).map_err(failed())
    }
}

/// Attaches a program that passes everything, so that the peer of the device can transmit in XDP.
pub(crate) fn attach_pass(namespace: &Netns, device: &str) -> Result<Link> {
    namespace.run(|| {
        let mut object = MaybeUninit::uninit();
        let what = "the passing program";
        let loaded = bpf::load(bpf::open::<SinkSkelBuilder>(&mut object, what)?, what)?;
        bpf::attach(&loaded.progs.pass, device, what)
    })?
}
