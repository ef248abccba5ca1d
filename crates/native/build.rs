//! Compiles the pure headers of bpf/ for this machine, through the wrappers in c/pure.c.
//!
//! Under a fuzzer (`--cfg fuzzing`, as cargo-fuzz and scripts/fuzz set it) clang adds its coverage counters, so that the fuzzer
//! sees every branch of the C code, and AddressSanitizer's checks, so that a read of one byte too many ends the run. Where there is
//! no runtime for the latter, scripts/fuzz sets SEKISHO_FUZZ=coverage.

// A build script ends by a panic whose message cargo shows: that is its way to report a fault.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a build script reports faults by panicking")]

use std::env;
use std::path::PathBuf;

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let bpf = here.join("../../bpf").canonicalize().expect("bpf/ is beside crates/");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=c/pure.c");
    println!("cargo::rerun-if-changed={}", bpf.display());
    println!("cargo::rerun-if-env-changed=SEKISHO_FUZZ");
    println!("cargo::rerun-if-env-changed=CLANG");

    let mut build = cc::Build::new();
    // The whole optimiser also in debug builds: it is what the BPF objects are compiled with.
    build.file("c/pure.c").include(bpf).std("c11").opt_level(2).warnings(true).extra_warnings(true);
    build.warnings_into_errors(true);
    if env::var_os("CARGO_CFG_FUZZING").is_some() {
        build.compiler(env::var("CLANG").unwrap_or_else(|_| "clang".into()));
        let coverage_alone = env::var("SEKISHO_FUZZ").is_ok_and(|value| value == "coverage");
        build.flag(if coverage_alone { "-fsanitize=fuzzer-no-link" } else { "-fsanitize=fuzzer-no-link,address" });
        build.flag("-fno-omit-frame-pointer");
    }
    build.compile("sekisho_pure");
}
