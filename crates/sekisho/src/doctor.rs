//! `sekisho doctor`: what is wrong now. The engine looks and judges; here it is only asked and shown.

use std::time::Duration;

use sekisho_datapath::{Datapath, Pins};
use sekisho_engine::judge::diagnosis::Ask;
use sekisho_engine::observe::record::Record;

use crate::cli::ViewArgs;
use crate::failure::Failure;
use crate::views::show::{Told, show};
use crate::words::{Lang, Words, Zone};

/// Rates are of so long: long enough to count something, short enough to answer within a second.
const INTERVAL: Duration = Duration::from_millis(400);

/// Looks, judges, tells.
pub fn doctor(view: &ViewArgs) -> Result<Told, Failure> {
    let words = Words::new(Lang::wanted(view.lang), Zone::Here);
    let record = Record::live(INTERVAL);
    show(&record, &Ask { span: None, protected: protected() }, None, view, words)
}

/// Whether Sekisho protects this host; `None` where that may not be seen.
pub fn protected() -> Option<bool> {
    let datapath = Datapath::open(&Pins::here().ok()?).ok()?;
    Some(datapath.is_some_and(|datapath| datapath.interfaces().iter().any(|on| on.live)))
}
