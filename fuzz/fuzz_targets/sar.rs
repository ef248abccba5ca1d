//! Any bytes as what sadf prints: read without panic, and only numbers that JSON can hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho_engine::observe::record::invariants::sar(bytes));
