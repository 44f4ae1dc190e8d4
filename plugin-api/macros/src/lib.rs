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

/// An error of the compiler.
fn failed(words: &str) -> TokenStream {
    format!("compile_error!({})", Literal::string(words)).parse().unwrap_or_default()
}
