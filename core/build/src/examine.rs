//! Whether there is what builds need: cargo, a compiler that is new enough, a linker that works. For people who look for what is
//! wrong; builds find out by themselves.
//!
//! What must not live here: advice.

use crate::{
    child::{self, ChildEnd, Stream, Switch},
    tools::Tools,
    words::{in_words, one_line},
};
use semver::Version;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// The oldest compiler that will do.
pub const OLDEST: Version = Version::new(1, 95, 0);

/// What there is.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Where cargo is, and what it says of its version, or why it does not.
    pub cargo: Option<(PathBuf, Result<String, String>)>,
    /// The same of rustc; its words are those of `rustc -vV`.
    pub rustc: Option<(PathBuf, Result<String, String>)>,
    /// Whether a library could be made, or what was said instead. None if that could not be tried.
    pub linked: Option<Result<(), String>>,
}

impl Examined {
    /// The compiler's version.
    pub fn version(&self) -> Option<Version> {
        self.said("release: ")?.parse().ok()
    }

    /// The platform that it compiles for.
    pub fn platform(&self) -> Option<&str> {
        self.said("host: ")
    }

    fn said(&self, key: &str) -> Option<&str> {
        let (_, said) = self.rustc.as_ref()?;
        said.as_ref().ok()?.lines().find_map(|line| line.strip_prefix(key))
    }
}

/// A compiler that was just installed reads much from the disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks at what builds in `directory` would use. A small library is made in `scratch`.
pub fn examine(directory: &Path, scratch: &Path) -> Examined {
    let tools = Tools::from_environment();
    let asked = |program: &str, arguments: &[&str]| {
        let path = tools.find(program)?;
        let mut command = tools.command(&path, directory);
        command.args(arguments).env("RUSTUP_AUTO_INSTALL", "0");
        Some((path, listen(&mut command)))
    };
    let cargo = asked("cargo", &["--version"]);
    let rustc = asked("rustc", &["-vV"]);
    let linked = match &rustc {
        Some((path, Ok(_))) => Some(link(&tools, path, directory, scratch)),
        _ => None,
    };
    Examined { cargo, rustc, linked }
}

fn link(tools: &Tools, rustc: &Path, directory: &Path, scratch: &Path) -> Result<(), String> {
    let source = scratch.join("probe.rs");
    fs::write(&source, "pub fn probe() -> String { String::from(\"linked\") }\n").map_err(|error| in_words(&error))?;
    let mut command = tools.command(rustc, directory);
    command.args(["--crate-type", "cdylib", "--edition", "2024", "--out-dir"]).arg(scratch).arg(&source);
    listen(command.env("RUSTUP_AUTO_INSTALL", "0")).map(drop)
}

/// What it says; on failure what it complains of, in a line.
fn listen(command: &mut Command) -> Result<String, String> {
    let (mut output, mut errors) = (String::new(), String::new());
    let id = child::new_tag("examined");
    let end = child::run(command, &id, &Switch::default(), Instant::now() + PATIENCE, |stream, line| {
        let text = if stream == Stream::Output { &mut output } else { &mut errors };
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    });
    match end {
        Ok(ChildEnd::Exited(status)) if status.success() => Ok(output.trim_end().to_owned()),
        Ok(ChildEnd::Exited(status)) if errors.trim().is_empty() => Err(status.to_string()),
        Ok(ChildEnd::Exited(_)) => Err(one_line(errors.trim())),
        Ok(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
        Err(error) => Err(in_words(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_build() {
        let scratch = tempfile::tempdir().unwrap();
        let examined = examine(scratch.path(), scratch.path());
        assert!(examined.cargo.as_ref().unwrap().1.as_ref().unwrap().starts_with("cargo 1."), "{examined:?}");
        assert!(examined.version().unwrap() >= OLDEST, "{examined:?}");
        assert!(examined.platform().unwrap().contains("linux"), "{examined:?}");
        assert_eq!(examined.linked, Some(Ok(())));
    }
}
