//! Any bytes as a frame: the C parser reads none outside, and says what the reference says.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho_native::invariants::parse(bytes));
