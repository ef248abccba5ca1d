//! `sekisho lab clean`: takes away what labs that were killed left behind, and says what it was.

use sekisho_lab::leftover;

use super::failed;
use crate::failure::Failure;

/// Cleans up after the dead. Labs that are alive are left alone.
pub fn clean() -> Result<(), Failure> {
    let cleaned = leftover::clean().map_err(failed)?;
    let mut text = String::new();
    for removed in &cleaned.removed {
        text += &format!("Taken away: {removed}.\n");
    }
    if cleaned.removed.is_empty() && cleaned.left.is_empty() {
        text += "Nothing was left.\n";
    }
    crate::print(&text)?;
    match cleaned.left.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("this could not be taken away: {}", cleaned.left.join("; ")))),
    }
}
