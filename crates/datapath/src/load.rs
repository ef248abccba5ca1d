//! Opens the objects that build.rs compiled, fills in their settings and loads them into the kernel.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{OpenMapMut, OpenObject};

use crate::maps::{Maps, is_policy, is_shared};
use crate::pins::Pins;
use crate::settings::{burst_tokens, per_tick, rate_tokens};
use crate::{Capacity, Error, Settings, messages};

/// Generated: not in our style, and not ours to mend.
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, clippy::allow_attributes_without_reason, clippy::unwrap_used)]
#[allow(
    clippy::expect_used,
    missing_docs,
    unused_qualifications,
    dead_code,
    reason = "libbpf-cargo generates these files"
)]
mod skeletons {
    pub(super) mod gate {
        include!(concat!(env!("OUT_DIR"), "/gate.skel.rs"));
    }
    pub(super) mod admit {
        include!(concat!(env!("OUT_DIR"), "/admit.skel.rs"));
    }
    pub(super) mod watch {
        include!(concat!(env!("OUT_DIR"), "/watch.skel.rs"));
    }
    pub(super) mod bench {
        include!(concat!(env!("OUT_DIR"), "/bench.skel.rs"));
    }
}

/// Where an object gets the shared maps from.
pub(crate) enum Share<'a> {
    /// Maps of its own, in no file system.
    Fresh(Capacity),
    /// State from its pins; what is not there yet is made and pinned. Policy is a new generation's.
    Pinned(&'a Pins, Capacity),
    /// These.
    Of(&'a Maps),
}

/// A loaded program with its maps.
pub(crate) struct Loaded {
    pub program: OwnedFd,
    pub maps: Maps,
}

/// `OFFER_*` of bpf/cookie.h.
fn offer_bits(settings: &Settings) -> u32 {
    let o = settings.offers;
    u32::from(o.timestamps) | u32::from(o.sack) << 1 | u32::from(o.window_scale) << 2 | u32::from(o.ecn) << 3
}

/// Fills in the read-only globals: a macro, since those of each skeleton are a type of their own.
macro_rules! set_globals {
    ($open:ident, $settings:ident, $netns_cookie:expr) => {
        if let Some(globals) = $open.maps.rodata_data.as_deref_mut() {
            globals.observe = u32::from($settings.observe);
            globals.linger_ticks = $settings.linger_ticks;
            globals.mss4 = $settings.mss4;
            globals.mss6 = $settings.mss6;
            globals.receive_wscale = $settings.receive_wscale;
            globals.ttl = $settings.ttl;
            globals.hop_limit = $settings.hop_limit;
            globals.offers = offer_bits($settings);
            globals.verified_rate = rate_tokens($settings.verified_rate);
            globals.verified_burst = burst_tokens($settings.verified_burst);
            globals.allowed_rate = rate_tokens($settings.allowed_rate);
            globals.allowed_burst = burst_tokens($settings.allowed_burst);
            globals.verified_ticks = $settings.verified_ticks;
            globals.verified6_mask = $settings.mask6();
            globals.answer_bound = $settings.answer_bound;
            globals.limit_source = per_tick($settings.limits.source);
            globals.limit_rate = rate_tokens($settings.limits.source);
            globals.limit_burst = burst_tokens($settings.limits.source);
            globals.limit_network = per_tick($settings.limits.network);
            globals.limit_global = per_tick($settings.limits.global);
            globals.limit_services = u32::from($settings.limits.services);
            globals.limit_over = $settings.limits.over as u32;
            globals.netns_cookie = $netns_cookie;
        }
    };
}

/// One function for each object, since each skeleton is a type of its own.
macro_rules! object {
    ($name:ident, $builder:ident) => {
        pub(crate) fn $name(settings: &Settings, netns_cookie: u64, share: &Share<'_>) -> Result<Loaded, Error> {
            let (loaded, log) = messages::catch(|| {
                let mut storage = MaybeUninit::<OpenObject>::uninit();
                let mut open = skeletons::$name::$builder::default().open(&mut storage)?;
                set_globals!(open, settings, netns_cookie);
                for mut map in open.open_object_mut().maps_mut() {
                    share_map(&mut map, share, settings)?;
                }
                let skeleton = open.load()?;
                let program = skeleton.progs.$name.as_fd().try_clone_to_owned()?;
                Ok((program, Maps::of_object(skeleton.object())))
            });
            match loaded {
                Ok((program, maps)) => Ok(Loaded { program, maps: maps? }),
                Err(source) => Err(Error::Load { program: stringify!($name), log, source }),
            }
        }
    };
}

object!(gate, GateSkelBuilder);
object!(admit, AdmitSkelBuilder);
object!(watch, WatchSkelBuilder);

/// The benchmark's programs with maps of their own.
pub(crate) struct LoadedBench {
    pub gate: OwnedFd,
    pub drop: OwnedFd,
    pub swap: OwnedFd,
    pub table: OwnedFd,
    pub verified: OwnedFd,
    pub lists: OwnedFd,
    pub lpm: OwnedFd,
    pub maps: Maps,
}

pub(crate) fn bench(settings: &Settings, capacity: Capacity) -> Result<LoadedBench, Error> {
    let (loaded, log) = messages::catch(|| {
        let mut storage = MaybeUninit::<OpenObject>::uninit();
        let mut open = skeletons::bench::BenchSkelBuilder::default().open(&mut storage)?;
        set_globals!(open, settings, 0);
        // It comes with gate's source, and bench_gate is the same.
        open.progs.gate.set_autoload(false);
        for mut map in open.open_object_mut().maps_mut() {
            share_map(&mut map, &Share::Fresh(capacity), settings)?;
        }
        let skeleton = open.load()?;
        let fd = |program: &libbpf_rs::ProgramMut<'_>| program.as_fd().try_clone_to_owned();
        let programs = &skeleton.progs;
        let loaded = LoadedBench {
            gate: fd(&programs.bench_gate)?,
            drop: fd(&programs.bench_drop)?,
            swap: fd(&programs.bench_swap)?,
            table: fd(&programs.bench_table)?,
            verified: fd(&programs.bench_verified)?,
            lists: fd(&programs.bench_lists)?,
            lpm: fd(&programs.bench_lpm)?,
            maps: match Maps::of_object(skeleton.object()) {
                Ok(maps) => maps,
                Err(error) => return Ok(Err(error)),
            },
        };
        Ok(Ok(loaded))
    });
    loaded.unwrap_or_else(|source| Err(Error::Load { program: "bench", log, source }))
}

/// Before loading: tells libbpf where this map comes from. Maps of one object alone (its globals) stay its own.
fn share_map(map: &mut OpenMapMut<'_>, share: &Share<'_>, settings: &Settings) -> libbpf_rs::Result<()> {
    let Some(name) = map.name().to_str().filter(|name| is_shared(name)) else { return Ok(()) };
    let name = name.to_string();
    match share {
        Share::Fresh(capacity) => set_capacity(map, &name, *capacity, settings),
        Share::Pinned(_, capacity) if is_policy(&name) => set_capacity(map, &name, *capacity, settings),
        Share::Pinned(pins, capacity) => {
            set_capacity(map, &name, *capacity, settings)?;
            map.set_pin_path(pins.path(&name))
        }
        Share::Of(maps) => maps.handle(&name).map_or(Ok(()), |handle| map.reuse_fd(handle.as_fd())),
    }
}

fn set_capacity(
    map: &mut OpenMapMut<'_>,
    name: &str,
    capacity: Capacity,
    settings: &Settings,
) -> libbpf_rs::Result<()> {
    match name {
        "listed" => map.set_max_entries(settings.listed.max(1)),
        "verified4" => map.set_max_entries(capacity.verified4.max(1)),
        "verified6" => map.set_max_entries(capacity.verified6.max(1)),
        _ => Ok(()),
    }
}
