//! What `export!` of camlock-plugin cannot do as a macro by example: look at the crate's files. What must not live here: anything
//! that runs in a plugin.

mod migrations;

use proc_macro::{Literal, TokenStream};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The files below `assets/` beside the crate's manifest, as a list of names and contents: `&[(&str, &[u8])]`. A name is a path
/// relative to that folder. Without the folder the list is empty.
///
/// Files whose names begin with a dot are left out, and so are links: what they lead to need not be the crate's.
#[proc_macro]
pub fn assets(_: TokenStream) -> TokenStream {
    let Some(crate_dir) = std::env::var_os("CARGO_MANIFEST_DIR") else { return failed("cargo builds plugins") };
    let mut files = Vec::new();
    if let Err(error) = collect(&Path::new(&crate_dir).join("assets"), "", &mut files) {
        return failed(&format!("the folder `assets` cannot be read: {error}"));
    }
    listed(files)
}

/// The files of the folder `ui` beside the crate's manifest, in the same form: what it brings to the page.
#[proc_macro]
pub fn ui(_: TokenStream) -> TokenStream {
    let Some(crate_dir) = std::env::var_os("CARGO_MANIFEST_DIR") else { return failed("cargo builds plugins") };
    let mut files = Vec::new();
    match collect(&Path::new(&crate_dir).join("ui"), "", &mut files) {
        Ok(()) => listed(files),
        Err(error) => failed(&format!("the folder `ui` cannot be read: {error}")),
    }
}

/// The files of the folder `migrations` beside the crate's manifest, in the same form. Names, numbers and contents are checked.
#[proc_macro]
pub fn migrations(_: TokenStream) -> TokenStream {
    let Some(crate_dir) = std::env::var_os("CARGO_MANIFEST_DIR") else { return failed("cargo builds plugins") };
    match migrations::find(&Path::new(&crate_dir).join("migrations")) {
        Ok(files) => listed(files),
        Err(words) => failed(&words),
    }
}

/// Names and contents, as an expression.
fn listed(mut files: Vec<(String, PathBuf)>) -> TokenStream {
    files.sort();
    let mut list = String::from("&[");
    for (name, path) in files {
        let Some(path) = path.to_str() else {
            return failed(&format!("the path of `{name}` is no text: {}", path.display()));
        };
        list.push_str(&format!("({}, include_bytes!({})),", Literal::string(&name), Literal::string(path)));
    }
    list.push(']');
    match list.parse() {
        Ok(list) => list,
        Err(error) => failed(&format!("the list of files cannot be read: {error}")),
    }
}

fn collect(dir: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && prefix.is_empty() => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let (entry, kind) = entry.and_then(|entry| entry.file_type().map(|kind| (entry, kind)))?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            let words = format!("the name of {} is no text", entry.path().display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        };
        if name.starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), &format!("{prefix}{name}/"), files)?;
        } else if kind.is_file() {
            files.push((format!("{prefix}{name}"), entry.path()));
        }
    }
    Ok(())
}

/// The file with the schema of the configuration that the crate's manifest names, as an `Option<&str>`.
#[proc_macro]
pub fn config_file(_: TokenStream) -> TokenStream {
    let Some(crate_dir) = std::env::var_os("CARGO_MANIFEST_DIR") else { return failed("cargo builds plugins") };
    let crate_dir = Path::new(&crate_dir);
    let manifest = match fs::read_to_string(crate_dir.join("Cargo.toml")) {
        Ok(manifest) => manifest,
        Err(error) => return failed(&format!("Cargo.toml cannot be read: {error}")),
    };
    let Some(name) = named_schema(&manifest) else { return parsed("::core::option::Option::None") };
    let path = crate_dir.join(name);
    if let Err(error) = fs::metadata(&path) {
        let words =
            "which `config` in `[package.metadata.camlock]` names as the schema of the configuration, cannot be read";
        return failed(&format!("{}, {words}: {error}", path.display()));
    }
    match path.to_str() {
        Some(path) => parsed(&format!("::core::option::Option::Some(include_str!({}))", Literal::string(path))),
        None => failed(&format!("the path of {name} is no text: {}", path.display())),
    }
}

/// What `config` says in the table `[package.metadata.camlock]`, written the usual way. Written another way it is not found here; the
/// host, which reads all of TOML, then says so.
fn named_schema(manifest: &str) -> Option<&str> {
    let mut lines = manifest.lines().map(str::trim);
    lines.find(|line| line.split('#').next().is_some_and(|line| line.trim() == "[package.metadata.camlock]"))?;
    let value = lines.take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key.trim(), "config" | "\"config\"").then_some(value.trim())
    })?;
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split(quote).next()
}

fn parsed(text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|error| failed(&format!("`{text}` is no expression: {error}")))
}

/// An error of the compiler.
fn failed(words: &str) -> TokenStream {
    format!("compile_error!({})", Literal::string(words)).parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::named_schema;

    #[test]
    fn where_the_schema_is_named() {
        let manifest = |table: &str| format!("[package]\nconfig = \"no\"\n{table}\n[dependencies]\nconfig = \"1\"");
        for (table, name) in [
            ("", None),
            ("[package.metadata.camlock]", None),
            ("[package.metadata.camlock]\nruntime = \"none\"\nconfig = \"a.json\" # it", Some("a.json")),
            ("[package.metadata.camlock] # ours\nconfig='a.json'", Some("a.json")),
            ("[package.metadata.camlock.ui]\nconfig='a.json'", None),
        ] {
            assert_eq!(named_schema(&manifest(table)), name, "{table}");
        }
    }
}
