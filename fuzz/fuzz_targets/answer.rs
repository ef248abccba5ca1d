//! Keys, a time and a frame: both answers to it are the reference's, byte for byte.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho_native::invariants::answer(bytes));
