//! Altered copies of a good artifact.

use crate::Fixtures;
use object::{Object, ObjectSection};
use std::{fs, sync::OnceLock};

/// The bytes of an artifact, to be changed.
#[derive(Clone, Debug)]
pub struct Altered(
    /// As they are now.
    pub Vec<u8>,
);

impl Altered {
    /// A candidate as it was built.
    pub fn candidate(name: &str) -> Self {
        Altered(fs::read(Fixtures::quick().candidate(name)).expect("the candidate was built"))
    }

    /// One that does nothing wrong.
    pub fn good() -> Self {
        Altered::candidate("misbehaving")
    }

    /// One that does this wrong (see the candidate).
    pub fn that(mode: &str) -> Vec<u8> {
        Altered::good().mode(mode).0
    }

    /// Writes over what the candidate is to do.
    pub fn mode(mut self, mode: &str) -> Self {
        // Where it is in the good one, and so in every copy: to look for it takes a while.
        static PLACE: OnceLock<usize> = OnceLock::new();
        let prefix = b"candidate-mode:well";
        let place = *PLACE.get_or_init(|| {
            let places: Vec<_> = (0..self.0.len() - 48).filter(|start| self.0[*start..].starts_with(prefix)).collect();
            let [place] = places[..] else { panic!("one place for the mode, not {places:?}") };
            place
        });
        assert!(self.0[place..].starts_with(prefix), "this does something already, or is no copy of the good one");
        let text = format!("{:<33}", mode);
        assert_eq!(text.len(), 33, "`{mode}` is too long");
        self.0[place + 15..place + 48].copy_from_slice(text.as_bytes());
        self
    }

    /// Writes bytes at a place.
    pub fn patch(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Cuts the end off.
    pub fn cut(mut self, len: usize) -> Self {
        self.0.truncate(len);
        self
    }

    /// Gives a section other contents: they go to the file's end, and its header refers to them.
    pub fn section(mut self, name: &str, contents: &[u8]) -> Self {
        let header = self.header_of(name);
        let start = self.0.len() as u64;
        self.0.extend_from_slice(contents);
        self.patch(header + 0x18, &start.to_le_bytes()).patch(header + 0x20, &(contents.len() as u64).to_le_bytes())
    }

    /// Where a section's header lies.
    pub fn header_of(&self, name: &str) -> usize {
        let elf = self.parsed();
        let index = elf.section_by_name(name).expect("the section").index().0;
        self.number(0x28) + index * 64
    }

    /// A number of eight bytes in the file.
    pub fn number(&self, at: usize) -> usize {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes")) as usize
    }

    /// Changes one value of `.camlock.meta`, or adds it.
    pub fn meta(self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let old = {
            let elf = self.parsed();
            elf.section_by_name(".camlock.meta").expect("the section").data().expect("its data").to_vec()
        };
        let prefix = format!("{key}=");
        let kept = old.split(|byte| *byte == 0).filter(|entry| !entry.starts_with(prefix.as_bytes()));
        let changed = [prefix.as_bytes(), value.as_ref()].concat();
        let entries: Vec<&[u8]> = kept.chain([&changed[..]]).collect();
        self.section(".camlock.meta", &entries.join(&0))
    }

    /// Adds to the manifest.
    pub fn manifest(self, cargo_toml: impl AsRef<[u8]>) -> Self {
        self.section(".camlock.manifest", cargo_toml.as_ref())
    }

    fn parsed(&self) -> object::read::elf::ElfFile64<'_> {
        object::read::elf::ElfFile64::parse(&self.0[..]).expect("a good ELF file")
    }
}
