//! Under plain cargo a new file in these folders makes no new library by itself.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=ui");
}
