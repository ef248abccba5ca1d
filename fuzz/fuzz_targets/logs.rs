//! Any bytes as a log of syslog, the journal or a web server: read without panic, and the counts agree.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sekisho_engine::observe::record::invariants::logs(bytes));
