//! Sekisho's engine: what the daemon and the command line decide and show, without a terminal.
//!
//! Read the modules in the direction in which data flows:
//!
//! - [`policy`]: what the user wants (the configuration), and [`speaks`]: who speaks first on which port;
//! - [`observe`]: what is (listeners, interfaces, firewall, sysctls), as plain values;
//! - [`judge`]: pure: facts in, findings out; [`spread`]: how a flood is spread; [`act`]: the few changes that Sekisho makes to a host, each with its inverse;
//! - [`incident`]: what the daemon writes down of each incident;
//! - [`report`]: what `sekisho status` shows, as text and as JSON.
//!
//! Nothing here prints, and nothing in [`policy`], [`speaks`] and [`judge`] reads a clock or a file by itself.

pub mod act;
pub mod incident;
pub mod judge;
pub mod observe;
pub mod policy;
pub mod report;
pub mod speaks;
pub mod spread;
