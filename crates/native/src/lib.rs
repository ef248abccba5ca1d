//! The pure headers of bpf/, compiled for this machine, beside an independent implementation of what they promise.
//!
//! Read in this order: [`types`] has the structures, [`frames`] builds packets, the functions at the root call the C code (their
//! declarations, and all unsafe code, are in `ffi.rs`), [`mod@reference`] says the same in Rust, written from the RFCs and the headers'
//! comments, and [`invariants`] compares the two for any bytes. The properties in tests/ and the fuzz targets in fuzz/ are built of
//! these; so are the tests of the loaded programs, which compare them with the reference once more.

pub mod frames;
pub mod invariants;
pub mod lists;
pub mod reference;
pub mod types;

mod ffi;

pub use ffi::*;
pub use types::{Answer, AnswerLine, Asked, Control, Doors, Kept, Key, Options, Packet, Parsed};
