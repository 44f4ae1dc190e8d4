//! Plugins built against a contract that calls itself the same and is not: the sentence says which field differs.

use crate::creates::bad;
use camlock_testing::{repository, run_cargo, trial};
use std::{fs, io, path::Path};

/// A change of one file's text.
struct Change {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const PLUGIN: &str = r#"//! Behaves well, by another contract.
use camlock_plugin::prelude::*;

pub struct Altered;

impl Plugin for Altered {
    async fn create(_host: Host) -> Result<Self> {
        Ok(Altered)
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new()
    }
}

export!(Altered);
"#;

const MANIFEST: &str = r#"[package]
name = "NAME"
version = "1.0.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
camlock-plugin = { path = "../plugin-api", default-features = false }
"#;

/// Builds a plugin against a copy of the SDK with these changes; its library.
fn built(name: &str, changes: &[Change]) -> Vec<u8> {
    let repository = repository();
    let workspace = repository.join("target").join("layouts").join(name);
    // cargo tells packages of one target directory apart by their path within the workspace.
    let dir = workspace.join(name);
    let sdk = repository.join("plugin-api");
    copy(&sdk, &dir.join("plugin-api"), changes).expect("the SDK can be copied");
    for Change { file, from, .. } in changes {
        let text = fs::read_to_string(sdk.join(file)).expect("a source file");
        assert_eq!(text.matches(from).count(), 1, "`{from}` occurs once in {file}");
    }
    put(&dir.join("plugin/Cargo.toml"), &MANIFEST.replace("NAME", name));
    put(&dir.join("plugin/src/lib.rs"), PLUGIN);
    // The workspace as it is, with other members, and built as the fixtures are, so that dependencies are shared.
    let manifest = fs::read_to_string(repository.join("Cargo.toml")).expect("the workspace");
    let members = format!("members = [\"{name}/plugin-api\", \"{name}/plugin-api/abi\", \"{name}/plugin\"]");
    let (before, rest) = manifest.split_once("members = [").expect("the workspace has members");
    let (_, after) = rest.split_once(']').expect("the list ends");
    let manifest = format!("{before}{members}{after}");
    let lines = manifest.lines().map(|line| match line {
        line if line.starts_with("debug =") => "debug = 0".to_owned(),
        line => line.replace("path = \"plugin-api", &format!("path = \"{name}/plugin-api")),
    });
    put(&workspace.join("Cargo.toml"), &lines.collect::<Vec<_>>().join("\n"));
    if !workspace.join("Cargo.lock").exists() {
        let lock = repository.join("core/loader/fixtures/Cargo.lock");
        fs::copy(lock, workspace.join("Cargo.lock")).expect("the lock file can be copied");
    }
    let target = repository.join("target/fixtures");
    run_cargo(&dir.join("plugin"), &["build", "--target-dir", target.to_str().expect("a plain path")]);
    fs::read(target.join("debug").join(format!("lib{}.so", name.replace('-', "_")))).expect("a library")
}

fn copy(from: &Path, to: &Path, changes: &[Change]) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&path, &copied, changes)?;
        } else {
            let text = fs::read_to_string(&path)?;
            let change = |text: String, change: &Change| text.replace(change.from, change.to);
            put(&copied, &changes.iter().filter(|change| path.ends_with(change.file)).fold(text, change));
        }
    }
    Ok(())
}

/// Writes a file if it is not so already: what is untouched is not built again.
fn put(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return;
    }
    fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
    fs::write(path, text).expect("it can be written");
}

/// The size of the whole stays what it was: only a look at the fields finds it.
#[trial]
fn a_changed_field() {
    let library = built(
        "changed-field",
        &[Change { file: "abi/src/head.rs", from: "pub version: u8,", to: "pub version: u32," }],
    );
    let sentence = "its types differ from this host's: field `version` of `RequestHead`: the type is u32 in the plugin \
                    and u8 here";
    bad(&library, sentence);
}

#[trial]
fn a_renamed_field() {
    let library = built(
        "renamed-field",
        &[
            Change {
                file: "abi/src/head.rs",
                from: "pub extra: RSlice<'a, Extra<'a>>,",
                to: "pub more: RSlice<'a, Extra<'a>>,",
            },
            Change { file: "src/ask.rs", from: "extra: RSlice::EMPTY,", to: "more: RSlice::EMPTY," },
        ],
    );
    let sentence = "its types differ from this host's: `RequestHead` has a field `more` in the plugin and a field `extra` \
                    here";
    bad(&library, sentence);
}

#[trial]
fn a_removed_field() {
    let library = built(
        "removed-field",
        &[
            Change {
                file: "abi/src/head.rs",
                from: "    /// See [`Extra`].\n    pub extra: RSlice<'a, Extra<'a>>,\n",
                to: "",
            },
            Change { file: "src/ask.rs", from: "extra: RSlice::EMPTY,", to: "" },
        ],
    );
    let sentence = "its types differ from this host's: `RequestHead` has a field `extra` here and none in the plugin";
    bad(&library, sentence);
}

#[trial]
fn an_added_function() {
    let library = built(
        "added-function",
        &[
            Change {
                file: "abi/src/root.rs",
                from: "    /// Begins work.\n",
                to: "    /// New.\n    pub dance: unsafe extern \"C\" fn(*mut Object),\n    /// Begins work.\n",
            },
            Change {
                file: "src/export.rs",
                from: "        start: functions::start,\n",
                to: "        dance: functions::close,\n        start: functions::start,\n",
            },
        ],
    );
    let sentence = "its types differ from this host's: `Root` has a field `dance` in the plugin and none here";
    bad(&library, sentence);
}
