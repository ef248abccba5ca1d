//! The lab: network namespaces, topologies, traffic and measurements, for tests and for `sekisho lab`.
//!
//! Reading order:
//!
//! - [`netns`] makes a namespace that removes itself and runs closures and commands in it.
//! - [`topology`] joins server, clients and attacker the way a real host sees them: over one link.
//! - [`flood`] sends a bounded spoofed flood over that link, and refuses to do so anywhere else.
//! - [`clients`] are the legitimate visitors, [`bots`] the hosts that connect and then keep silent, [`stack`] clients of other systems.
//! - [`servers`] are nginx, OpenSSH and Postfix with configurations of their own, and a tiny server for unit tests.
//! - [`middle`] puts nftables rules in the way: lost ACKs, NAT routers, SYNPROXY.
//! - `gateway` puts the server behind a gateway. [`road`] is a client far away. [`trial`] tries a policy. [`conform`] plays
//!   conversations packet by packet; [`guard`] runs Sekisho itself; [`leftover`] takes away what the dead left.
//! - [`counters`] reads what the kernel counted.
//! - [`compare`] puts one defence after another in front of the server.
//!
//! A server under a flood, whole:
//!
//! ```no_run
//! use sekisho_lab::{clients, flood::Shot, servers::Tiny, topology::{self, Host}};
//!
//! let host = Host::new()?;
//! let server = Tiny::http(&host.server, topology::SERVER4, 80, 128)?;
//! let flood = host.flood(Shot::syn(server.address()).rate(300_000).seconds(5))?.start()?;
//! let seen = clients::Crowd::http(&host.client, server.address(), "/").visits(500).rate(200).run()?;
//! println!("{} while {} frames were sent", seen, flood.join()?.sent);
//! # Ok::<(), sekisho_lab::Error>(())
//! ```
//!
//! Everything needs root, and works on kernel interfaces of namespaces only: the machine's own are never touched.

pub mod bots;
mod bpf;
pub mod clients;
pub mod compare;
pub mod conform;
pub mod counters;
mod error;
pub mod flood;
mod gateway;
pub mod guard;
pub mod leftover;
pub mod middle;
pub mod netns;
pub mod road;
pub mod run;
pub mod servers;
mod sink;
pub mod stack;
pub mod topology;
pub mod trial;
pub mod wait;

pub use error::{Error, Refusal, Result};
pub use netns::Netns;
