//! Any bytes as a capture: read without panic, and no more handshakes end than began.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho_engine::observe::record::invariants::captures(bytes));
