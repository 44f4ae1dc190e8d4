//! The file in which the last known record is kept: read once, and always written whole.

use crate::causes::in_words;
use camlock_policy::{Fingerprint, registry::Record};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

/// The form of the file. Another one is another version's.
const VERSION: u32 = 1;

/// What is known of a registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KnownRecords {
    pub(super) records: Vec<Arc<Record>>,
    pub(super) seen: BTreeMap<String, Fingerprint>,
}

/// Why a file tells nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NothingKnown {
    /// As a part of a sentence.
    pub(super) why: String,
    /// There is no file: so it is at the first start.
    pub(super) missing: bool,
}

#[derive(Deserialize)]
struct FileVersion {
    version: u32,
}

#[derive(Deserialize)]
struct FileContents {
    registry: String,
    records: Vec<Record>,
    seen: BTreeMap<String, Fingerprint>,
}

#[derive(Serialize)]
struct ToWrite<'a> {
    version: u32,
    /// Which registry it is about.
    registry: &'a str,
    records: Vec<&'a Record>,
    seen: &'a BTreeMap<String, Fingerprint>,
}

/// What the file tells of this registry.
pub(super) fn read(path: &Path, registry: &str) -> Result<KnownRecords, NothingKnown> {
    let shown = path.display();
    let nothing = |why| NothingKnown { why, missing: false };
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NothingKnown { why: format!("there is no {shown}"), missing: true },
        _ => nothing(format!("{shown} cannot be read: {}", in_words(&error))),
    })?;
    let damaged = |_| nothing(format!("{shown} is damaged"));
    let FileVersion { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version != VERSION {
        let why = format!("{shown} was written by another version of Camlock (its form is {version}, not {VERSION})");
        return Err(nothing(why));
    }
    let whole: FileContents = serde_json::from_slice(&bytes).map_err(damaged)?;
    if whole.registry != registry {
        return Err(nothing(format!("{shown} is about another registry, {}", whole.registry)));
    }
    Ok(KnownRecords { records: whole.records.into_iter().map(Arc::new).collect(), seen: whole.seen })
}

/// Writes it under another name, and puts it in its place when all of it is on the disk.
pub(super) fn write(path: &Path, registry: &str, known: &KnownRecords) -> io::Result<()> {
    let records = known.records.iter().map(|record| &**record).collect();
    let bytes = serde_json::to_vec(&ToWrite { version: VERSION, registry, records, seen: &known.seen })?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    // The new name is on the disk too.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
