//! What does the work: programs on XDP, or where the kernel cannot run them an nftables table. Never both.

use sekisho_datapath::kernel::{self, Missing};
use sekisho_datapath::{Error, Pins};
use sekisho_engine::act::{Mends, Step, nft};
use sekisho_engine::policy::BackendChoice;
use tracing::warn;

use crate::failure::Failure;
use crate::state::mends_file;

/// What was chosen.
#[derive(Debug, PartialEq, Eq)]
pub enum Backend {
    /// Programs on XDP.
    Xdp,
    /// An nftables table, and why.
    Nftables {
        /// In words.
        reason: String,
    },
}

/// Chooses by the configuration and by what the kernel can do. A right that this process lacks is no reason for less protection: it is told.
pub fn choose(choice: BackendChoice) -> Result<Backend, Failure> {
    match (choice, kernel::supports()) {
        (BackendChoice::Nftables, _) => table("it was asked for".into()),
        (_, Ok(_)) => Ok(Backend::Xdp),
        (BackendChoice::Auto, Err(missing)) if !matches!(missing, Missing::Capabilities(_)) && nft::is_there() => {
            warn!("the programs on XDP cannot be used, so an nftables table does what it can: {missing}");
            table(missing.to_string())
        }
        (_, Err(missing)) => Err(Error::Missing(missing).into()),
    }
}

fn table(reason: String) -> Result<Backend, Failure> {
    if nft::is_there() {
        return Ok(Backend::Nftables { reason });
    }
    Err(Failure::new("there is no program nft, which the nftables backend needs").hint("install the package nftables"))
}

/// An earlier run may have left the other one in place, and both at once would count and drop twice.
pub fn no_other(chosen: &Backend, pins: &Pins) -> Result<(), Failure> {
    let mends = Mends::load(&mends_file(pins))?;
    let table = mends.steps().iter().any(|step| matches!(step, Step::Table { .. }));
    let other = match chosen {
        Backend::Xdp if table => "an nftables table",
        Backend::Nftables { .. } if pins.exist() => "programs on XDP",
        _ => return Ok(()),
    };
    Err(Failure::new(format!("an earlier run left {other} in place")).hint("`sekisho off`, then try again"))
}
