//! Whether a source can be read as Rust at all, told without waiting for other builds.
//!
//! The compiler itself is asked, to read the crate's first file and do nothing else. That is no promise of a stable compiler: one
//! that knows nothing of it, or says anything but what is wrong in that very file, is not listened to, and the build tells.

use crate::{
    builder::BuilderCore,
    child::{self, ChildEnd, Stream, Switch},
    messages::CompilerOutput,
    snapshot::EntrySnapshot,
    trouble::{self, BuildOutcome},
};
use camlock_policy::{Failure, Kind};
use std::{
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::NamedTempFile;

/// Reading one file takes the compiler tens of milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// What is wrong with the first file, if it cannot be read as Rust. It blocks its thread.
pub(crate) fn check(shared: &BuilderCore, snapshot: &EntrySnapshot) -> Option<Failure> {
    let recipe = snapshot.recipe.as_ref()?;
    let manifest: toml::Table = toml::from_str(&recipe.manifest).ok()?;
    let edition = match manifest.get("package")?.get("edition") {
        Some(edition) => edition.as_str()?.to_owned(),
        None => "2015".to_owned(),
    };
    let path = manifest.get("lib").and_then(|library| library.get("path")).and_then(toml::Value::as_str);
    // Kept until the compiler has read it.
    let mut cut: Option<NamedTempFile> = None;
    let (file, name): (PathBuf, String) = match (snapshot.entry.kind, &recipe.source) {
        (Kind::Crate, _) => {
            let name = path.unwrap_or("src/lib.rs");
            (snapshot.root.join(name), name.to_owned())
        }
        (_, source) => {
            let name = snapshot.entry.path.file_name()?.to_str()?.to_owned();
            match source {
                None => (snapshot.root.clone(), name),
                Some(source) => {
                    let mut file = tempfile::Builder::new().suffix(".rs").tempfile().ok()?;
                    file.write_all(source.as_bytes()).ok()?;
                    (cut.insert(file).path().to_owned(), name)
                }
            }
        }
    };
    read_as_rust(shared, snapshot.directory(), &file, &name, &edition)
}

fn read_as_rust(shared: &BuilderCore, directory: &Path, file: &Path, name: &str, edition: &str) -> Option<Failure> {
    let mut command = shared.tools.command(&shared.tools.find("rustc")?, directory);
    command.args(["-Zparse-crate-root-only", "--error-format=json", "--crate-type=lib", "--crate-name=read"]);
    command.arg(format!("--edition={edition}")).arg(file);
    // Of this one call, which makes nothing.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTUP_AUTO_INSTALL", "0");
    let mut heard = CompilerOutput::of_file(file.to_owned(), name.to_owned());
    let tag = child::new_tag("reads");
    let end = child::run(&mut command, &tag, &Switch::default(), Instant::now() + LIMIT, |stream, line| {
        if stream == Stream::Errors {
            heard.bare(line);
        }
    });
    let Ok(ChildEnd::Exited(status)) = end else { return None };
    let is_about_it = !heard.errors.is_empty() && heard.errors.iter().all(|error| error.file == name && error.line > 0);
    (!status.success() && is_about_it).then(|| {
        trouble::explain(&BuildOutcome {
            status,
            errors: &heard.errors,
            count: heard.count,
            said: "",
            shadow: "/nowhere",
            manifest: "Cargo.toml",
        })
    })
}
