//! Under plain cargo a new file in the folder makes no new library by itself.

fn main() {
    println!("cargo::rerun-if-changed=ui");
}
