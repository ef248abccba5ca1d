//! What a diagnosis looks like: in a terminal, as JSON, as a report in HTML.
//!
//! [`compose`] makes a [`page`] of a diagnosis, in the words of a language; [`terminal`] and [`html`] write it. Below them:
//! [`chart`] and [`timeline`] (numbers over time), [`commands`] (what to type), [`layout`] (columns and lines), [`screen`] (what
//! stdout is). [`show`] is what both commands end in.

pub mod chart;
pub mod commands;
pub mod compose;
pub mod html;
pub mod layout;
pub mod page;
pub mod screen;
pub mod show;
pub mod terminal;
pub mod timeline;

#[cfg(test)]
mod complete;
#[cfg(test)]
mod complete_record;
#[cfg(test)]
mod tests;
