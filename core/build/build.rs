//! Embeds the SDK's source: the crates that plugins are built and tested with, as they would be published, with what they inherit
//! from the workspace written out.

use std::{
    env, fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// The SDK's crates: where each lies in the repository, and where below `camlock-plugin`. The last few are what the testkit runs
/// of a server.
const CRATES: [(&str, &str); 7] = [
    ("plugin-api", ""),
    ("plugin-api/abi", "abi"),
    ("plugin-api/macros", "macros"),
    ("plugin-api/testkit", "testkit"),
    ("core/api", "api"),
    ("core/policy", "policy"),
    ("core/services", "services"),
];

fn main() {
    let repository = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let repository = repository.canonicalize().expect("the repository is there");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let workspace = table(&repository.join("Cargo.toml"));
    let mut files = Vec::new();
    for (from, package) in CRATES {
        let directory = repository.join(from);
        let manifest = alone(table(&directory.join("Cargo.toml")), &workspace, package);
        let written = out.join(format!("Cargo{package}.toml"));
        fs::write(&written, manifest.to_string()).expect("OUT_DIR can be written");
        files.push((Path::new(package).join("Cargo.toml"), written));
        collect(&directory.join("src"), &Path::new(package).join("src"), &mut files);
        // The second is what some crates say of themselves in their documentation.
        for beside in ["build.rs", "README.md"] {
            let file = directory.join(beside);
            if file.exists() {
                seen(&file);
                files.push((Path::new(package).join(beside), file));
            }
        }
    }
    files.sort();
    let lines = files.iter().map(|(name, file)| format!("({name:?}, include_bytes!({file:?})),\n"));
    fs::write(out.join("sdk.rs"), format!("&[\n{}]", lines.collect::<String>())).expect("OUT_DIR can be written");
    println!("cargo:rerun-if-changed=build.rs");
}

fn seen(path: &Path) {
    println!("cargo:rerun-if-changed={}", path.display());
}

fn table(path: &Path) -> Table {
    seen(path);
    fs::read_to_string(path).expect("a manifest").parse().expect("a manifest is TOML")
}

fn collect(directory: &Path, name: &Path, files: &mut Vec<(PathBuf, PathBuf)>) {
    seen(directory);
    for entry in fs::read_dir(directory).expect("sources").flatten() {
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        if path.is_dir() {
            collect(&path, &name, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((name, path));
        }
    }
}

/// The manifest without its workspace.
fn alone(mut manifest: Table, workspace: &Table, at: &str) -> Table {
    let shared = workspace["workspace"].as_table().expect("a workspace");
    // Of tests; and of a model checker, which is a test's too.
    for key in ["dev-dependencies", "test", "bench", "target"] {
        manifest.remove(key);
    }
    if let Some(lints) = manifest.get_mut("lints").filter(|lints| is_inherited(lints)) {
        *lints = shared["lints"].clone();
    }
    let package = manifest["package"].as_table_mut().expect("a package");
    for (key, value) in package.iter_mut().filter(|(_, value)| is_inherited(value)) {
        *value = shared["package"][key].clone();
    }
    if let Some(dependencies) = manifest.get_mut("dependencies").and_then(Value::as_table_mut) {
        for (name, value) in dependencies.iter_mut().filter(|(_, value)| is_inherited(value)) {
            *value = dependency(&shared["dependencies"][name], value, at);
        }
    }
    manifest
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// A dependency as the workspace has it, with what the member adds.
fn dependency(shared: &Value, member: &Value, at: &str) -> Value {
    let mut whole = match shared {
        Value::Table(table) => table.clone(),
        version => Table::from_iter([("version".to_owned(), version.clone())]),
    };
    if let Some(Value::String(path)) = whole.get_mut("path") {
        let place = CRATES.iter().find(|(from, _)| from == path);
        let (_, place) = place.expect("the SDK needs nothing else of the repository");
        let up = if at.is_empty() { "." } else { ".." };
        *path = format!("{up}/{place}");
    }
    for (key, value) in member.as_table().expect("a table") {
        match (key.as_str(), whole.get_mut(key), value) {
            ("workspace", ..) => {}
            ("features", Some(Value::Array(features)), Value::Array(more)) => features.extend(more.clone()),
            _ => {
                whole.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Table(whole)
}
