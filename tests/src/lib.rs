//! What the end-to-end tests share: the built program in a namespace of the lab, and what it says about itself.
//!
//! A test takes a [`Scene`] (server, router, clients and attacker, and the machine for itself while it measures), starts servers of
//! the lab in it, and a [`Sekisho`] in the server's namespace:
//!
//! ```no_run
//! use sekisho_lab::{clients::Crowd, flood::Shot, servers::Tiny, topology::SERVER4};
//! use sekisho_tests::Scene;
//!
//! let scene = Scene::new();
//! let server = Tiny::http(&scene.server, SERVER4, 80, 128).unwrap();
//! let sekisho = scene.protect("linger = \"3s\"");
//! let flood = scene.start(Shot::syn(server.address()).rate(300_000).seconds(5));
//! let seen = Crowd::http(&scene.client, server.address(), "/").visits(500).rate(200).run().unwrap();
//! assert_eq!(seen.complete(), 500, "{seen}");
//! assert!(sekisho.verdict("cookie_sent") > 0);
//! ```
//!
//! Everything here panics where it cannot go on, with what was tried: in a test nobody could do more about it. A test that fails
//! prints what `sekisho status` says and what the daemon logged, and takes protection away as any other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

pub mod frames;
mod sekisho;
mod traces;
mod visitor;

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sekisho_lab::flood::{Running, Shot};
use sekisho_lab::topology::Host;

pub use sekisho::{Launch, Said, Sekisho, program};
pub use traces::{Traces, snapshot, xdp_program};
pub use visitor::{Conversation, held};

/// How long a test waits for something that normally takes milliseconds: see [`sekisho_lab::wait`].
pub use sekisho_lab::wait::PATIENCE;

/// A configuration in which everybody needs a cookie as soon as a service is armed, also who is known: both marks come to the same
/// place, so there is no reserve between them. And small tables, which are made faster.
pub const COOKIES_FOR_ALL: &str =
    "[marks]\ncalm = 0.25\nreserve = 0.251\n[verified]\ncapacity4 = 4096\ncapacity6 = 4096\n";

/// The machine for one test: two that measure at once would disturb each other, however the test runner was called.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed left nothing behind that the next would mind.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server with its surroundings, and the machine for this test alone.
pub struct Scene {
    // Goes first, so that the next test finds a quiet machine.
    host: Host,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    /// Builds it.
    pub fn new() -> Self {
        let alone = alone();
        Self { host: Host::new().expect("a lab of four namespaces; it needs root"), _alone: alone }
    }

    /// Runs Sekisho on the server's eth0 with this configuration.
    pub fn protect(&self, config: &str) -> Sekisho {
        Sekisho::run(&self.host.server, config)
    }

    /// Starts a flood at the server.
    pub fn start(&self, shot: Shot) -> Running {
        self.host.flood(shot).and_then(|flood| flood.start()).expect("a flood")
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Scene {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}
