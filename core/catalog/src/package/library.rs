//! What a library fits, computed from its bytes: target, contract, features, highest symbol of the C library. Nothing that a package
//! claims of these is believed.

use crate::CatalogTrouble;
use camlock_policy::Manifest;
use object::{
    Endianness,
    elf::{EM_AARCH64, EM_X86_64, FileHeader64},
    read::elf::FileHeader,
};
use std::{fs, sync::Arc};

/// What the host's loader reads of a library without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryFacts {
    /// The author's words.
    pub manifest: Manifest,
    /// The contract it was built for.
    pub contract: String,
    /// Features of the host that it cannot do without.
    pub requires: Vec<String>,
    /// The SDK's version.
    pub sdk: String,
    /// The compiler.
    pub rustc: String,
    /// The schema of its configuration, if that is a file.
    pub config_schema: Option<String>,
}

/// Reads them, or says in a sentence why this is no plugin's library.
pub type ReadLibrary = Arc<dyn Fn(&[u8]) -> Result<LibraryFacts, String> + Send + Sync>;

/// The target that a library was built for, and the newest version of glibc that it asks for, as in `2.34`; empty if it asks for none.
pub fn examine(bytes: &[u8]) -> Result<(String, String), CatalogTrouble> {
    let broken = |_| CatalogTrouble::unfit("it is not a whole 64-bit ELF library");
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    let target = match header.e_machine(endian) {
        EM_X86_64 => "x86_64-unknown-linux-gnu",
        EM_AARCH64 => "aarch64-unknown-linux-gnu",
        other => {
            return Err(CatalogTrouble::unfit(format!("it is built for a machine that no server runs on ({other:?})")));
        }
    };
    let sections = header.sections(endian, bytes).map_err(broken)?;
    let mut newest = (0, 0);
    if let Some((mut needed, link)) = sections.gnu_verneed(endian, bytes).map_err(broken)? {
        let names = sections.strings(endian, bytes, link).map_err(broken)?;
        while let Some((_, mut versions)) = needed.next().map_err(broken)? {
            while let Some(version) = versions.next().map_err(broken)? {
                let name = version.name(endian, names).map_err(broken)?;
                newest = newest.max(glibc(name).unwrap_or_default());
            }
        }
    }
    Ok((target.to_owned(), in_words(newest)))
}

/// The version in `GLIBC_2.34`.
fn glibc(symbol: &[u8]) -> Option<(u32, u32)> {
    read_glibc(std::str::from_utf8(symbol).ok()?.strip_prefix("GLIBC_")?)
}

/// `2.34` as numbers.
pub(crate) fn read_glibc(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next().unwrap_or(Some(0))?))
}

fn in_words((major, minor): (u32, u32)) -> String {
    if major == 0 { String::new() } else { format!("{major}.{minor}") }
}

/// The target of this program.
pub fn target_here() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The version of the C library that this program runs with: the newest one that the library itself says it defines.
pub fn glibc_here() -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let path =
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.ends_with("/libc.so.6"))?;
    let bytes = fs::read(path).ok()?;
    let header = FileHeader64::<Endianness>::parse(&*bytes).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, &*bytes).ok()?;
    let (mut defined, link) = sections.gnu_verdef(endian, &*bytes).ok()??;
    let names = sections.strings(endian, &*bytes, link).ok()?;
    let mut newest = (0, 0);
    while let Ok(Some((_, mut versions))) = defined.next() {
        if let Ok(Some(version)) = versions.next() {
            newest = newest.max(version.name(endian, names).ok().and_then(glibc).unwrap_or_default());
        }
    }
    Some(in_words(newest)).filter(|version| !version.is_empty())
}
