//! A single file as a crate: its front matter is cut out and becomes a manifest.
//!
//! Pure: text in, text out. The source keeps its lines: where the front matter was, they are empty. What a plugin needs most
//! (`camlock-plugin`, axum, serde, serde_json and tokio) is there without being named.

use crate::{
    manifest::{self, Wrong},
    paths,
};
use camlock_policy::manifest::check_name;
use std::path::Path;
use toml::{Table, Value};

/// A single file, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Single {
    /// Its `Cargo.toml`.
    pub(crate) manifest: String,
    /// What rustc is given, if that is not the file as it is.
    pub(crate) source: Option<String>,
}

/// Takes a file apart. `name` is its stem, `directory` where it lies.
pub(crate) fn read(name: &str, text: &[u8], directory: &Path) -> Result<Single, Wrong> {
    check_name(name).map_err(|invalid| Wrong { line: 0, sentence: invalid.0 })?;
    let text = std::str::from_utf8(text).map_err(|_| Wrong { line: 0, sentence: "it is not UTF-8".to_owned() })?;
    let cut = cut(text)?;
    let (front, offset) = cut.as_ref().map_or(("", 0), |cut| (cut.front, cut.offset));
    let manifest = manifest_of(name, front, directory)
        .map_err(|wrong| Wrong { line: if wrong.line == 0 { 0 } else { wrong.line + offset }, ..wrong })?;
    Ok(Single { manifest, source: cut.map(|cut| cut.source) })
}

struct Cut<'a> {
    front: &'a str,
    /// How many lines stand before it.
    offset: u32,
    source: String,
}

/// Finds the front matter where rustc's own rules have it: after an optional `#!` line and empty lines.
fn cut(text: &str) -> Result<Option<Cut<'_>>, Wrong> {
    let mut lines = text.split_inclusive('\n').enumerate().peekable();
    let mut start = 0;
    if text.starts_with("#!") && !text.starts_with("#![") {
        start += lines.next().map_or(0, |(_, line)| line.len());
    }
    while let Some((_, line)) = lines.next_if(|(_, line)| line.trim().is_empty()) {
        start += line.len();
    }
    let Some((opened, fence)) = lines.next() else { return Ok(None) };
    let dashes = fence.bytes().take_while(|byte| *byte == b'-').count();
    if dashes < 3 {
        return Ok(None);
    }
    let offset = u32::try_from(opened + 1).unwrap_or(u32::MAX);
    let front = start + fence.len();
    let mut end = front;
    for (_, line) in lines {
        let closes =
            line.bytes().take_while(|byte| *byte == b'-').count() == dashes && line[dashes..].trim().is_empty();
        if closes {
            let blank = |part: &str| "\n".repeat(part.matches('\n').count());
            let rest = end + line.len();
            let source = format!("{}{}{}", &text[..start], blank(&text[start..rest]), &text[rest..]);
            return Ok(Some(Cut { front: &text[front..end], offset, source }));
        }
        end += line.len();
    }
    let fence = "-".repeat(dashes);
    Err(Wrong {
        line: offset,
        sentence: format!("the front matter that begins here is never closed by a line `{fence}`"),
    })
}

fn manifest_of(name: &str, front: &str, directory: &Path) -> Result<String, Wrong> {
    manifest::check_front(front, name)?;
    let wrong = |sentence: &str| Wrong { line: 0, sentence: sentence.to_owned() };
    let mut table: Table = toml::from_str(front).map_err(|error| wrong(error.message()))?;
    let package = section(&mut table, "package").ok_or_else(|| wrong("`package` is not a table"))?;
    package.insert("name".to_owned(), name.into());
    package.entry("version").or_insert_with(|| "0.1.0".into());
    package.entry("edition").or_insert_with(|| "2024".into());
    let library = section(&mut table, "lib").ok_or_else(|| wrong("`lib` is not a table"))?;
    library.remove("name");
    library.insert("path".to_owned(), format!("{name}.rs").into());
    library.insert("crate-type".to_owned(), Value::Array(vec!["cdylib".into()]));
    let dependencies = section(&mut table, "dependencies").ok_or_else(|| wrong("`dependencies` is not a table"))?;
    for (crate_name, version, features) in GIVEN {
        let features: Vec<Value> = features.iter().map(|feature| Value::from(*feature)).collect();
        let mut given = Table::from_iter([("version".to_owned(), Value::from(*version))]);
        if !features.is_empty() {
            given.insert("features".to_owned(), Value::Array(features));
        }
        dependencies.entry(*crate_name).or_insert_with(|| Value::Table(given));
    }
    // Paths are relative to the folder in which the file lies.
    for tables in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(dependencies) = table.get_mut(tables).and_then(Value::as_table_mut) else { continue };
        for (_, dependency) in dependencies {
            if let Some(Value::String(path)) = dependency.get_mut("path") {
                *path = paths::normal(&directory.join(&*path)).to_string_lossy().into_owned();
            }
        }
    }
    section(&mut table, "workspace").ok_or_else(|| wrong("`workspace` is not a table"))?;
    Ok(table.to_string())
}

/// What is there without being named.
const GIVEN: &[(&str, &str, &[&str])] = &[
    ("camlock-plugin", "1", &[]),
    ("axum", "0.8", &[]),
    ("serde", "1", &["derive"]),
    ("serde_json", "1", &[]),
    ("tokio", "1", &["io-util", "macros", "net", "rt", "sync", "time"]),
];

fn section<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    table.entry(name).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Single, Wrong> {
        read("hello", text.as_bytes(), Path::new("/srv/plugins"))
    }

    #[test]
    fn without_front_matter_the_file_is_taken_as_it_is() {
        for text in ["", "fn main() {}", "#![allow(x)]\n", "//! ---\n---\n", "\n\n-- \n"] {
            let single = read_text(text).unwrap();
            assert_eq!(single.source, None, "{text}");
            let table: Table = toml::from_str(&single.manifest).unwrap();
            assert_eq!(table["package"]["edition"].as_str(), Some("2024"));
            assert_eq!(table["dependencies"]["camlock-plugin"]["version"].as_str(), Some("1"));
            assert_eq!(manifest::read(single.manifest.as_bytes()).wrong, None);
        }
    }

    #[test]
    fn front_matter_becomes_the_manifest_and_lines_stay() {
        let text = "#!/usr/bin/env cargo\n\n---cargo\n[package]\nversion = \"2.0.0\"\n[dependencies]\nserde = \"1.0\"\n\
                    shared = { path = \"../shared\" }\n---\nuse x;\n";
        let single = read_text(text).unwrap();
        assert_eq!(single.source.as_deref(), Some("#!/usr/bin/env cargo\n\n\n\n\n\n\n\n\nuse x;\n"));
        let table: Table = toml::from_str(&single.manifest).unwrap();
        assert_eq!(table["package"]["version"].as_str(), Some("2.0.0"));
        assert_eq!(table["dependencies"]["serde"].as_str(), Some("1.0"));
        assert_eq!(table["dependencies"]["shared"]["path"].as_str(), Some("/srv/shared"));
        assert_eq!(table["lib"]["path"].as_str(), Some("hello.rs"));
    }

    #[test]
    fn what_is_wrong_in_front_matter_is_told_with_its_line_in_the_file() {
        let starts = |text: &str| {
            let wrong = read_text(text).unwrap_err();
            (wrong.line, wrong.sentence.split(',').next().unwrap_or_default().to_owned())
        };
        for (text, line, sentence) in [
            ("---\nx = 1\n", 1, "the front matter that begins here is never closed by a line `---`"),
            ("\n----\nx = 1\n---\n", 2, "the front matter that begins here is never closed by a line `----`"),
            ("---\n[package]\nname = \"other\"\n---\n", 3, "the package is called `other`"),
            ("---\n\n[package.metadata.camlock]\nroutez = []\n---\n", 4, "unknown field `routez`"),
            ("---\n[dependencies]\nserde.workspace = true\n---\n", 3, "`serde` is inherited from a workspace"),
        ] {
            assert_eq!(starts(text), (line, sentence.to_owned()), "{text}");
        }
        assert_eq!(starts("---\n[package\n---\n").0, 2);
        assert!(
            read("Hello", b"", Path::new("/")).unwrap_err().sentence.starts_with("`Hello` is no name for a plugin")
        );
    }
}
