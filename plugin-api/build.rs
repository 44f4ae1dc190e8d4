//! Notes which compiler builds this crate, for artifacts to carry; cargo offers no other way to know.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version =
        Command::new(rustc).arg("--version").output().ok().and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo:rustc-env=CAMLOCK_RUSTC={}", version.as_deref().unwrap_or("unknown").trim());
}
