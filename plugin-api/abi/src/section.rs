//! What an artifact says of itself in sections of the file, readable without running it.
//!
//! `.camlock.meta` holds `key=value` strings, each ended by a NUL; `.camlock.manifest` holds the plugin's `Cargo.toml` as it
//! was when it was built; `.camlock.config` the file with its configuration's schema that the manifest names, if it does;
//! `.camlock.migrations` the files of the crate's folder `migrations`, one after the other: the length of the name and that of
//! what is in it (four bytes each, the lowest first), then the two; `.camlock.ui`, in the same form, those of its folder `ui`.

/// The section of `key=value` strings.
pub const META: &str = ".camlock.meta";
/// The section with the manifest.
pub const MANIFEST: &str = ".camlock.manifest";
/// The section with the files of the folder `migrations`. A plugin without any may lack it.
pub const MIGRATIONS: &str = ".camlock.migrations";
/// The section with the files of the folder `ui`, which the page shows. A plugin without any may lack it.
pub const UI: &str = ".camlock.ui";
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

/// How many bytes `files` need in a section.
pub const fn packed_length(files: &[(&str, &[u8])]) -> usize {
    let (mut total, mut index) = (0, 0);
    while index < files.len() {
        total += 8 + files[index].0.len() + files[index].1.len();
        index += 1;
    }
    total
}

/// Puts names and contents of `files`, at compile time, into the bytes of a section.
pub const fn pack<const N: usize>(files: &[(&str, &[u8])]) -> [u8; N] {
    let mut packed = [0; N];
    let (mut at, mut index) = (0, 0);
    while index < files.len() {
        let (name, content) = (files[index].0.as_bytes(), files[index].1);
        at = put(&mut packed, at, &(name.len() as u32).to_le_bytes());
        at = put(&mut packed, at, &(content.len() as u32).to_le_bytes());
        at = put(&mut packed, at, name);
        at = put(&mut packed, at, content);
        index += 1;
    }
    assert!(at == N);
    packed
}

const fn put<const N: usize>(into: &mut [u8; N], at: usize, bytes: &[u8]) -> usize {
    let (_, rest) = into.split_at_mut(at);
    let (place, _) = rest.split_at_mut(bytes.len());
    place.copy_from_slice(bytes);
    at + bytes.len()
}

/// Reads what [`pack`] wrote: names and contents. None if it is something else.
pub fn unpack(section: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let (mut files, mut rest) = (Vec::new(), section);
    while !rest.is_empty() {
        let (name_length, after) = rest.split_first_chunk()?;
        let (content_length, after) = after.split_first_chunk()?;
        let (name, after) = after.split_at_checked(u32::from_le_bytes(*name_length) as usize)?;
        let (content, after) = after.split_at_checked(u32::from_le_bytes(*content_length) as usize)?;
        files.push((std::str::from_utf8(name).ok()?, content));
        rest = after;
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_can_be_unpacked() {
        const FILES: &[(&str, &[u8])] = &[("0001_a.sql", b"SELECT 1"), ("0002_b.sql", b""), ("", b"\0\xff")];
        static PACKED: [u8; packed_length(FILES)] = pack(FILES);
        assert_eq!(unpack(&PACKED).unwrap(), FILES);
        assert_eq!(unpack(b"").unwrap(), []);
        for end in 1..PACKED.len() {
            let cut = unpack(&PACKED[..end]);
            assert!(cut.is_none_or(|files| files.len() < FILES.len()), "{end}");
        }
        assert_eq!(unpack(&[0xff; 100]), None, "lengths that lie");
        assert_eq!(unpack(&[1, 0, 0, 0, 0, 0, 0, 0, 0xff]), None, "a name that is no text");
    }

    #[test]
    fn what_is_joined_can_be_parsed() {
        const PARTS: &[&str] = &["abi=1.0\0", "name=", "hello", "\0", "empty=\0"];
        static JOINED: [u8; length(PARTS)] = join(PARTS);
        let read: Vec<_> = parse(&JOINED).collect();
        assert_eq!(read, [(&b"abi"[..], &b"1.0"[..]), (b"name", b"hello"), (b"empty", b"")]);
    }
}
