//! Compiles the programs in bpf/ with clang, generates their skeletons, and makes the enum `Verdict` of bpf/verdicts.def.
//!
//! `CLANG=` chooses the compiler; otherwise plain `clang`. Version 14 (Debian 12) and later work.

// A build script ends by a panic whose message cargo shows: that is its way to report a fault.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a build script reports faults by panicking")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libbpf_cargo::SkeletonBuilder;

#[path = "build/verdicts.rs"]
mod verdicts;

/// `VERDICT_SLOTS` of bpf/abi.h; a test compares the two.
const SLOTS: usize = 64;

fn main() {
    let bpf = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../bpf").canonicalize().unwrap();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/verdicts.rs");
    println!("cargo::rerun-if-changed={}", bpf.display());
    println!("cargo::rustc-env=SEKISHO_BPF={}", bpf.display());

    make_verdicts(&bpf, &out);
    let clang = clang();
    for object in ["gate", "admit", "watch", "bench"] {
        make_skeleton(&bpf, &out, &clang, object);
    }
}

fn make_verdicts(bpf: &Path, out: &Path) {
    let text = fs::read_to_string(bpf.join("verdicts.def")).unwrap();
    let entries = verdicts::parse(&text, SLOTS).unwrap_or_else(|e| panic!("{e}"));
    fs::write(out.join("verdicts.rs"), verdicts::rust(&entries)).unwrap();
}

/// The compiler, tried once, so that its absence is told in one sentence instead of libbpf-cargo's many.
fn clang() -> String {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".into());
    match Command::new(&clang).arg("--version").output() {
        Ok(output) if output.status.success() => clang,
        _ => panic!(
            "\n\n  The BPF programs need clang, and `{clang}` does not run.\n  \
             hint: `apt install clang` (Debian's version is enough), or name another one: CLANG=clang-19\n"
        ),
    }
}

/// Debian keeps asm/*.h in a folder for each architecture, which clang looks into for every target but bpf.
fn multiarch() -> String {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap();
    format!("/usr/include/{arch}-linux-gnu")
}

fn make_skeleton(bpf: &Path, out: &Path, clang: &str, object: &str) {
    let include = bpf.to_str().expect("the path of the sources is UTF-8");
    SkeletonBuilder::new()
        .source(bpf.join(format!("{object}.bpf.c")))
        .clang(clang)
        .clang_args(["-O2", "-g", "-mcpu=v3", "-Wall", "-Werror", "-I", include, "-idirafter", &multiarch()])
        .build_and_generate(out.join(format!("{object}.skel.rs")))
        .unwrap_or_else(|e| panic!("\n\n  bpf/{object}.bpf.c did not compile:\n{e:#}\n"));
}
