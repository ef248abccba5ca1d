//! Sekisho's datapath: loads the programs in `bpf/`, attaches them, and gives their maps types.
//!
//! How to read it: [`Datapath`] is the whole and reads as the life of the programs: load, attach, adopt, remove. Below it,
//! [`maps`] has what user space and programs share while they run, [`lists`] the prefixes that are blocked or allowed, [`abi`] the layout of that, [`settings`] what is fixed when they
//! are loaded, [`keys`] the secrets, [`pins`] the place where all of it outlives the daemon, [`kernel`] what the kernel must have,
//! [`test_run`] a program's run on one frame, [`mod@bench`] the same with a stopwatch. Nothing here decides what is good for a host: that is `engine`'s.
//!
//! ```no_run
//! use sekisho_datapath::{Capacity, Datapath, Interface, Pins, Settings};
//!
//! # fn main() -> Result<(), sekisho_datapath::Error> {
//! let pins = Pins::here()?;
//! let loaded = Datapath::load(&pins, &Settings::default(), Capacity::default())?;
//! let attached = loaded.attach(&Interface::by_name("eth0")?)?;
//! loaded.watch()?;
//! println!("{}: {}", attached.name, attached.mode.name());
//! // Dropped: protection stays. Taken away again by:
//! loaded.into_datapath().stop()?;
//! # Ok(())
//! # }
//! ```

pub mod abi;
pub mod bench;
pub mod kernel;
pub mod keys;
pub mod limits;
pub mod lists;
pub mod maps;
pub mod memory;
pub mod netns;
pub mod pins;
pub mod settings;
pub mod test_run;
pub mod time;

mod attach;
mod datapath;
mod error;
mod fill;
mod load;
mod messages;
mod outermost;
mod sys;
mod tc;
mod verdict;

pub use abi::{Completion, HeldWhy, List, Method, Over};
pub use attach::{AdmitHook, Attached, Interface, XdpMode, XdpWish};
pub use datapath::{Datapath, Loaded, Unattached};
pub use error::Error;
pub use keys::Keys;
pub use lists::ListEntry;
pub use maps::{Maps, PortPolicy, VerifiedSource};
pub use pins::Pins;
pub use settings::{Capacity, Limits, Offers, Settings};
pub use test_run::{Frame, Ran};
pub use verdict::{Action, Verdict, verdicts_markdown};
