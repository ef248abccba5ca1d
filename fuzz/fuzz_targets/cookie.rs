//! Keys, a time and a frame: a cookie made for it comes back, and as an ACK it is judged like the reference judges it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho_native::invariants::cookie(bytes));
