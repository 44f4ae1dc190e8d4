//! What an artifact says of itself in sections of the file, readable without running it.
//!
//! `.camlock.meta` holds `key=value` strings, each ended by a NUL; `.camlock.manifest` holds the plugin's `Cargo.toml` as it
//! was when it was built; `.camlock.config` the file with its configuration's schema that the manifest names, if it does.

/// The section of `key=value` strings.
pub const META: &str = ".camlock.meta";
/// The section with the manifest.
pub const MANIFEST: &str = ".camlock.manifest";
/// The section with the schema of its configuration.
pub const CONFIG: &str = ".camlock.config";
/// The exported symbol is this and the crate's name.
pub const ENTRY_PREFIX: &str = "camlock_entry_";

/// How many bytes `parts` have together.
pub const fn length(parts: &[&str]) -> usize {
    let (mut total, mut index) = (0, 0);
    while index < parts.len() {
        total += parts[index].len();
        index += 1;
    }
    total
}

/// Joins `parts`, at compile time, into the bytes of a section.
pub const fn join<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut joined = [0; N];
    let (mut at, mut index) = (0, 0);
    while index < parts.len() {
        let part = parts[index].as_bytes();
        let mut byte = 0;
        while byte < part.len() {
            joined[at] = part[byte];
            at += 1;
            byte += 1;
        }
        index += 1;
    }
    assert!(at == N);
    joined
}

/// Reads `key=value` strings. Later ones win; what is not of that form is passed over.
pub fn parse(section: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    section.split(|byte| *byte == 0).filter_map(|entry| {
        let equals = entry.iter().position(|byte| *byte == b'=')?;
        Some((&entry[..equals], &entry[equals + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_can_be_parsed() {
        const PARTS: &[&str] = &["abi=1.0\0", "name=", "hello", "\0", "empty=\0"];
        static JOINED: [u8; length(PARTS)] = join(PARTS);
        let read: Vec<_> = parse(&JOINED).collect();
        assert_eq!(read, [(&b"abi"[..], &b"1.0"[..]), (b"name", b"hello"), (b"empty", b"")]);
    }
}
