//! Visitors share the losses of the flood.
//!
//! On a real link a visitor's frame arrives while the flood's frames do, and where the receive ring is full it is lost like any of
//! them. Here generator and visitors may have to share one processor, and then a visitor's frame is sent while the generator does not
//! run: the receive processor has made room by then, and not one of them would be lost. So a program on the visitors' own link drops
//! their frames at random, as often as the ring just dropped those of the flood.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::bpf::{self, fate::FateSkelBuilder};
use crate::counters::{Frames, frames_here};
use crate::topology::{DEVICE, Host};
use crate::{Error, Netns, Result};

/// How often the losses are looked at.
const PERIOD: Duration = Duration::from_millis(10);
/// The fewest frames that a share is told from: a handful lost of a handful says nothing.
const FRAMES_LEAST: u64 = 200;

/// Losses shared until dropped.
#[derive(Debug)]
pub(super) struct Fate {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fate {
    /// From now on visitors of the host lose as large a part of their frames as everybody does at the server's link.
    pub(super) fn share(host: &Host) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&over);
        let (router, server) = (host.router.clone(), host.server.clone());
        let (ready, is_ready) = channel();
        let thread = thread::spawn(move || {
            if let Err(error) = work(&router, &server, &theirs, &ready) {
                let _ = ready.send(Err(error));
            }
        });
        let fate = Self { over, thread: Some(thread) };
        is_ready.recv().unwrap_or_else(|_| Err(Error::parse("the losses' thread", "it died")))?;
        Ok(fate)
    }
}

impl Drop for Fate {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(router: &Netns, server: &Netns, over: &AtomicBool, ready: &Sender<Result<()>>) -> Result<()> {
    router.enter()?;
    let mut object = MaybeUninit::uninit();
    let mut loaded = bpf::load(bpf::open::<FateSkelBuilder>(&mut object, "the losses")?, "the losses")?;
    let _link = bpf::attach(&loaded.progs.fate, "client", "the losses")?;
    server.enter()?;
    let mut before = frames_here(DEVICE)?;
    let _ = ready.send(Ok(()));
    while !over.load(Ordering::Relaxed) {
        thread::sleep(PERIOD);
        let now = frames_here(DEVICE)?;
        if let Some(bss) = loaded.maps.bss_data.as_deref_mut() {
            bss.lose = (lost_share(before, now) * f64::from(u32::MAX)) as u32;
        }
        before = now;
    }
    Ok(())
}

/// Which part of the frames that arrived since then found the ring full.
fn lost_share(before: Frames, now: Frames) -> f64 {
    let arrived = now.arrived().saturating_sub(before.arrived());
    let missed = now.missed.saturating_sub(before.missed);
    if arrived < FRAMES_LEAST { 0.0 } else { missed as f64 / arrived as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_losses() {
        let frames = |received, missed| Frames { received, missed, sent: 0 };
        assert_eq!(lost_share(frames(0, 0), frames(700, 300)), 0.3);
        assert_eq!(lost_share(frames(0, 0), frames(3, 3)), 0.0, "too few to tell");
    }
}
