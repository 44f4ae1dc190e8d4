//! What cargo tells as JSON while it builds: compilers' errors, and what was made.
//!
//! Nearly pure: a line in, what is known so far. What must not live here: what it amounts to.

use crate::words::without_colours;
use camlock_policy::Diagnostic;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What was heard of one build.
#[derive(Debug)]
pub(crate) struct CompilerOutput {
    /// Where it was built.
    shadow: PathBuf,
    /// Where the author's files lie.
    root: PathBuf,
    /// The errors, as far as they are kept.
    pub(crate) errors: Vec<Diagnostic>,
    /// How many there were.
    pub(crate) count: usize,
    /// How many units are done.
    pub(crate) done: usize,
    /// The plugin's library.
    pub(crate) library: Option<PathBuf>,
    /// A file that is called otherwise by its author.
    alias: Option<(PathBuf, String)>,
}

/// More errors than anybody reads.
const MOST: usize = 100;

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum CargoMessage {
    CompilerMessage {
        message: CompilerText,
    },
    CompilerArtifact {
        manifest_path: PathBuf,
        target: CargoTarget,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct CargoTarget {
    crate_types: Vec<String>,
}

#[derive(Deserialize)]
struct CompilerText {
    message: String,
    level: String,
    #[serde(default)]
    spans: Vec<Span>,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    line_start: u32,
    is_primary: bool,
    expansion: Option<Box<Expansion>>,
}

#[derive(Deserialize)]
struct Expansion {
    span: Span,
}

impl CompilerOutput {
    pub(crate) fn new(shadow: PathBuf, root: PathBuf) -> Self {
        CompilerOutput { shadow, root, errors: Vec::new(), count: 0, done: 0, library: None, alias: None }
    }

    /// Of one file that a compiler is asked about by itself, and what its author calls it.
    pub(crate) fn of_file(file: PathBuf, called: String) -> Self {
        CompilerOutput { alias: Some((file, called)), ..CompilerOutput::new("/nowhere".into(), "/nowhere".into()) }
    }

    /// Hears a line of a compiler that was asked by itself.
    pub(crate) fn bare(&mut self, line: &[u8]) {
        if let Ok(message) = serde_json::from_slice(line) {
            self.message(message);
        }
    }

    /// Hears a line, and returns a compiler's message as it is printed, if it is one. What is no JSON (a macro may print) is
    /// passed over.
    pub(crate) fn line(&mut self, line: &[u8]) -> Option<String> {
        match serde_json::from_slice(line) {
            Ok(CargoMessage::CompilerMessage { message }) => return self.message(message),
            Ok(CargoMessage::CompilerArtifact { manifest_path, target, filenames }) => {
                self.done += 1;
                if manifest_path == self.shadow.join("Cargo.toml")
                    && target.crate_types.iter().any(|kind| kind == "cdylib")
                {
                    let is_library = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "so");
                    self.library = filenames.into_iter().find(is_library).or(self.library.take());
                }
            }
            Ok(CargoMessage::Other) | Err(_) => {}
        }
        None
    }

    fn message(&mut self, message: CompilerText) -> Option<String> {
        let CompilerText { message, level, spans, rendered } = message;
        // The last one only counts the others.
        if spans.is_empty() && message.starts_with("aborting due to ") {
            return None;
        }
        let shadow = format!("{}/", self.shadow.display());
        let mut rendered = rendered.unwrap_or_else(|| message.clone()).replace(&shadow, "");
        if let Some((file, called)) = &self.alias {
            rendered = rendered.replace(&*file.to_string_lossy(), called);
        }
        if !level.starts_with("error") {
            return Some(rendered);
        }
        self.count += 1;
        if self.errors.len() < MOST {
            let place = spans.iter().find(|span| span.is_primary).map(authors);
            self.errors.push(Diagnostic {
                file: place.map(|place| self.file(&place.file_name)).unwrap_or_default(),
                line: place.map_or(0, |place| place.line_start),
                rendered: without_colours(&rendered),
                message,
            });
        }
        Some(rendered)
    }

    /// A file's name as its author has it.
    fn file(&self, name: &str) -> String {
        let path = Path::new(name);
        if let Some((_, called)) = self.alias.as_ref().filter(|(file, _)| file == path) {
            return called.clone();
        }
        let own = path.strip_prefix(&self.shadow).or_else(|_| path.strip_prefix(&self.root));
        own.map_or_else(|_| name.to_owned(), |own| own.display().to_string())
    }
}

/// Where an error in the expansion of somebody else's macro was caused: where the macro was called.
fn authors(span: &Span) -> &Span {
    match &span.expansion {
        Some(expansion) if Path::new(&span.file_name).is_absolute() || span.file_name.starts_with('<') => {
            authors(&expansion.span)
        }
        _ => span,
    }
}

/// The file that could not be included, if that is what an error says.
pub(crate) fn missing_file(message: &str) -> Option<&str> {
    message.strip_prefix("couldn't read `")?.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> CompilerOutput {
        let mut heard = CompilerOutput::new("/data/src/hello".into(), "/plugins/hello".into());
        lines.iter().for_each(|line| drop(heard.line(line.as_bytes())));
        heard
    }

    #[test]
    fn what_compilers_print_is_passed_on() {
        let mut heard = CompilerOutput::new("/data/src/hello".into(), "/plugins/hello".into());
        let mut said = |level: &str, message: &str, rendered: &str| {
            let spans = if message == "unused" {
                r#"[{"file_name":"src/lib.rs","line_start":3,"is_primary":true}]"#
            } else {
                "[]"
            };
            heard.line(
                format!(
                    r#"{{"reason":"compiler-message","message":{{"message":"{message}","level":"{level}","spans":{spans},"rendered":"{rendered}"}}}}"#
                )
                .as_bytes(),
            )
        };
        let warning =
            said("warning", "unused", "\\u001b[33mwarning\\u001b[0m: unused\\n --> /data/src/hello/src/lib.rs:3\\n");
        assert_eq!(warning.as_deref(), Some("\u{1b}[33mwarning\u{1b}[0m: unused\n --> src/lib.rs:3\n"));
        let note = "For more information about this error";
        assert_eq!(said("failure-note", note, note).as_deref(), Some(note));
        assert_eq!(said("error", "aborting due to 1 previous error", "x"), None);
        assert_eq!(
            said("error", "bad", "\\u001b[1;31merror\\u001b[0m: bad").as_deref(),
            Some("\u{1b}[1;31merror\u{1b}[0m: bad")
        );
        assert_eq!(heard.line(b"a macro prints this"), None);
        // Who reads it as data has no use for colours.
        assert_eq!(heard.errors.len(), 1);
        assert_eq!(heard.errors[0].rendered, "error: bad");
    }

    #[test]
    fn errors_have_a_place_in_the_authors_files() {
        let heard = heard(&[
            r#"{"reason":"compiler-message","message":{"message":"cannot find value `x`","level":"error","spans":[
                {"file_name":"src/other.rs","line_start":1,"is_primary":false,"expansion":null},
                {"file_name":"src/lib.rs","line_start":7,"is_primary":true,"expansion":null}],"rendered":"error: x\n --> src/lib.rs:7:1"}}"#,
            r#"{"reason":"compiler-message","message":{"message":"within a macro","level":"error","spans":[
                {"file_name":"/home/.cargo/registry/m.rs","line_start":90,"is_primary":true,"expansion":{"span":
                {"file_name":"/data/src/hello/src/a.rs","line_start":3,"is_primary":false,"expansion":null}}}],"rendered":"in /data/src/hello/src/a.rs"}}"#,
            r#"{"reason":"compiler-message","message":{"message":"unused","level":"warning","spans":[],"rendered":"w"}}"#,
            r#"{"reason":"compiler-message","message":{"message":"aborting due to 2 previous errors","level":"error","spans":[]}}"#,
            r#"{"reason":"compiler-message","message":{"message":"linking with `cc` failed","level":"error","spans":[]}}"#,
            "a macro prints this",
            r#"{"reason":"something new"}"#,
        ]);
        let short: Vec<_> = heard.errors.iter().map(|error| (&*error.file, error.line, &*error.rendered)).collect();
        assert_eq!(
            short,
            [
                ("src/lib.rs", 7, "error: x\n --> src/lib.rs:7:1"),
                ("src/a.rs", 3, "in src/a.rs"),
                ("", 0, "linking with `cc` failed")
            ]
        );
        assert_eq!(heard.count, 3);
    }

    #[test]
    fn the_library_is_the_plugins_own() {
        let artifact = |manifest: &str, kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"x","manifest_path":"{manifest}","target":{{"crate_types":["{kind}"]}},"filenames":["{file}"]}}"#
            )
        };
        let heard = heard(&[
            &artifact("/r/serde/Cargo.toml", "lib", "/t/libserde.rlib"),
            &artifact("/plugins/other/Cargo.toml", "cdylib", "/t/libother.so"),
            &artifact("/data/src/hello/Cargo.toml", "bin", "/t/build-script-build"),
            &artifact("/data/src/hello/Cargo.toml", "cdylib", "/t/libhello.so"),
        ]);
        assert_eq!(heard.library, Some("/t/libhello.so".into()));
        assert_eq!(heard.done, 4);
    }

    #[test]
    fn a_file_that_cannot_be_included_is_named() {
        assert_eq!(
            missing_file("couldn't read `src/../../x.txt`: No such file or directory (os error 2)"),
            Some("src/../../x.txt")
        );
        assert_eq!(missing_file("cannot find value `x`"), None);
    }
}
