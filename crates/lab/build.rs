//! Compiles `bpf/*.bpf.c` with clang and writes a libbpf-rs skeleton of each into `OUT_DIR`.
//!
//! `CLANG=` chooses another compiler than the `clang` on the path.

use std::env;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

/// The programs: `bpf/<name>.bpf.c` becomes `OUT_DIR/<name>.skel.rs`.
const PROGRAMS: [&str; 4] = ["bound", "fate", "flood", "sink"];

fn main() {
    println!("cargo:rerun-if-env-changed=CLANG");
    println!("cargo:rerun-if-changed=bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let clang = env::var_os("CLANG").unwrap_or_else(|| "clang".into());
    for name in PROGRAMS {
        let built = SkeletonBuilder::new()
            .source(format!("bpf/{name}.bpf.c"))
            .clang(&clang)
            .clang_args(["-mcpu=v3", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
            .build_and_generate(out.join(format!("{name}.skel.rs")));
        if let Err(error) = built {
            panic!(
                "bpf/{name}.bpf.c does not compile: {error:#}\nhint: apt-get install clang, or name one: CLANG=clang-19"
            );
        }
    }
}
