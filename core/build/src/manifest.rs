//! What a `Cargo.toml` says that matters before cargo is asked: the plugin's name, whether a plugin can come of it, and what
//! it refers to outside of its directory.
//!
//! Pure: text in, answer out. What must not live here: reading files.

use crate::{paths, words::shown};
use camlock_policy::{Diagnostic, Failure, Stage, manifest};
use std::{ops::Range, path::Path};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The largest manifest that is read.
const LARGEST: usize = 256 << 10;

/// Why no plugin can come of a manifest, and where that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// From 1; 0 if it stands nowhere.
    pub(crate) line: u32,
    /// One sentence without its place.
    pub(crate) sentence: String,
}

impl Wrong {
    fn at(text: &str, span: &Range<usize>, sentence: impl Into<String>) -> Self {
        let before = text.as_bytes().iter().take(span.start);
        let lines = before.filter(|byte| **byte == b'\n').count();
        Wrong { line: u32::try_from(1 + lines).unwrap_or(u32::MAX), sentence: sentence.into() }
    }

    fn nowhere(sentence: impl Into<String>) -> Self {
        Wrong { line: 0, sentence: sentence.into() }
    }

    /// As a failure of a plugin whose manifest stands in this file.
    pub(crate) fn in_file(self, file: &str) -> Failure {
        let Wrong { line, sentence } = self;
        let reason = if line == 0 { format!("{file}: {sentence}") } else { format!("{file}, line {line}: {sentence}") };
        let diagnostic = Diagnostic { file: file.to_owned(), line, message: sentence, rendered: reason.clone() };
        Failure { diagnostics: vec![diagnostic], ..Failure::new(Stage::Manifest, reason) }
    }
}

/// What is to be done about a crate whose manifest does not say that it builds a library to be loaded.
pub(crate) const NO_CDYLIB: &str =
    "it builds no library that a server can load: add `crate-type = [\"cdylib\"]` under `[lib]`";
/// The same about one that has no library at all, as far as its files tell.
pub(crate) const NO_LIBRARY: &str = "it has no library, which a plugin is: move its code from `src/main.rs` to `src/lib.rs` (a \
                                     plugin has no `main`), and add `[lib]` with `crate-type = [\"cdylib\"]`";

/// What a manifest says of its package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackageCheck {
    /// Its name as it is written, if that can be read.
    pub(crate) name: Option<String>,
    /// Why no plugin can come of it.
    pub(crate) wrong: Option<Wrong>,
}

/// Reads a plugin's manifest.
pub(crate) fn read(text: &[u8]) -> PackageCheck {
    let document = std::str::from_utf8(text).map_err(|_| Wrong::nowhere("it is not UTF-8")).and_then(|text| {
        if text.len() > LARGEST {
            return Err(Wrong::nowhere(format!("it is {} bytes long, more than {LARGEST}", text.len())));
        }
        Ok((text, parse(text)?))
    });
    match document {
        Ok((text, document)) => {
            let name = get(document.get_ref(), &["package", "name"]).and_then(|name| name.get_ref().as_str());
            PackageCheck { name: name.map(str::to_owned), wrong: check(text, document.get_ref()).err() }
        }
        Err(wrong) => PackageCheck { name: None, wrong: Some(wrong) },
    }
}

fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Wrong> {
    DeTable::parse(text).map_err(|error| {
        let message = error.message().trim().replace('\n', ", ");
        match error.span() {
            Some(span) => Wrong::at(text, &span, message),
            None => Wrong::nowhere(message),
        }
    })
}

fn get<'a, 'i>(table: &'a DeTable<'i>, path: &[&str]) -> Option<&'a Spanned<DeValue<'i>>> {
    let (first, rest) = path.split_first()?;
    let value = table.get(*first)?;
    if rest.is_empty() { Some(value) } else { get(value.get_ref().as_table()?, rest) }
}

/// Everything that stands in the way of a plugin, the first first.
fn check(text: &str, document: &DeTable<'_>) -> Result<(), Wrong> {
    let Some(package) = get(document, &["package"]) else {
        return Err(Wrong::nowhere(
            "it has no `[package]`: a plugin is one crate, so put that crate's own folder into the plugins directory",
        ));
    };
    let Some(name) = get(document, &["package", "name"]) else {
        return Err(Wrong::at(text, &package.span(), "`[package]` has no `name`"));
    };
    let Some(package_name) = name.get_ref().as_str() else {
        return Err(Wrong::at(text, &name.span(), "the package's `name` is not a string"));
    };
    manifest::check_name(package_name).map_err(|invalid| Wrong::at(text, &name.span(), invalid.0))?;
    manifest::camlock(text.as_bytes()).map_err(|invalid| placed(&invalid.0))?;
    check_library(text, document, package_name)?;
    if let Some(build) = get(document, &["package", "build"])
        && build.get_ref().as_str().is_some_and(leads_out)
    {
        return Err(Wrong::at(
            text,
            &build.span(),
            "the build script lies outside the plugin's folder; move it inside",
        ));
    }
    check_inherited(text, document)
}

fn check_library(text: &str, document: &DeTable<'_>, package: &str) -> Result<(), Wrong> {
    let library = get(document, &["lib"]);
    let kinds = get(document, &["lib", "crate-type"]).or_else(|| get(document, &["lib", "crate_type"]));
    let Some(kinds) = kinds else {
        return Err(
            library.map_or_else(|| Wrong::nowhere(NO_CDYLIB), |library| Wrong::at(text, &library.span(), NO_CDYLIB))
        );
    };
    let is_cdylib = |kind: &Spanned<DeValue<'_>>| kind.get_ref().as_str() == Some("cdylib");
    if !kinds.get_ref().as_array().is_some_and(|kinds| kinds.iter().any(is_cdylib)) {
        let sentence = "`crate-type` does not list `cdylib`, so no library comes of it that a server can load; add it";
        return Err(Wrong::at(text, &kinds.span(), sentence));
    }
    if let Some(name) = get(document, &["lib", "name"]) {
        let wanted = package.replace('-', "_");
        if name.get_ref().as_str() != Some(&wanted) {
            return Err(Wrong::at(
                text,
                &name.span(),
                format!("the library must be called like its package, `{wanted}`; remove `name` under `[lib]`"),
            ));
        }
    }
    if let Some(path) = get(document, &["lib", "path"])
        && path.get_ref().as_str().is_some_and(leads_out)
    {
        let sentence = "the library's `path` leads out of the plugin's folder; move its sources inside";
        return Err(Wrong::at(text, &path.span(), sentence));
    }
    Ok(())
}

/// Checks what stands in the front matter of a single file called `name`.
pub(crate) fn check_front(text: &str, name: &str) -> Result<(), Wrong> {
    let document = parse(text)?;
    let document = document.get_ref();
    if let Some(written) = get(document, &["package", "name"])
        && written.get_ref().as_str() != Some(name)
    {
        let other = written.get_ref().as_str().unwrap_or("?");
        let sentence =
            format!("the package is called `{}`, its file `{name}.rs`: they must be called alike", shown(other));
        return Err(Wrong::at(text, &written.span(), sentence));
    }
    manifest::camlock(text.as_bytes()).map_err(|invalid| placed(&invalid.0))?;
    check_inherited(text, document)
}

fn check_inherited(text: &str, document: &DeTable<'_>) -> Result<(), Wrong> {
    let all = if get(document, &["workspace"]).is_none() { inherited(document) } else { Vec::new() };
    let Some((_, span)) = all.first() else { return Ok(()) };
    // All at once: whoever writes one out would only hear of the next.
    let names: Vec<String> = all.iter().map(|(what, _)| format!("`{}`", shown(what))).collect();
    let sentence = match &names[..] {
        [one] => format!("{one} is inherited from a workspace, but a plugin is built by itself: write it out here"),
        many => {
            let many = many.join(", ");
            format!("{many} are inherited from a workspace, but a plugin is built by itself: write them out here")
        }
    };
    Err(Wrong::at(text, span, sentence))
}

/// Takes apart the place that core's sentence begins with.
fn placed(sentence: &str) -> Wrong {
    let rest = sentence.strip_prefix("Cargo.toml, line ").and_then(|rest| rest.split_once(": "));
    match rest.and_then(|(line, rest)| Some((line.parse().ok()?, rest))) {
        Some((line, rest)) => Wrong { line, sentence: rest.to_owned() },
        None => Wrong::nowhere(sentence.strip_prefix("Cargo.toml: ").unwrap_or(sentence)),
    }
}

fn leads_out(path: &str) -> bool {
    !paths::normal(&Path::new("/x").join(path)).starts_with("/x")
}

/// What a manifest refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// Directories of other packages, each with the place of its value in the text.
    pub(crate) paths: Vec<(Range<usize>, String)>,
    /// The same of what members of its workspace may inherit, by name.
    pub(crate) shared: Vec<(String, Range<usize>, String)>,
    /// What it takes from a workspace above.
    pub(crate) inherited: Vec<String>,
    /// It names the directory of that workspace.
    pub(crate) workspace_at: Option<(Range<usize>, String)>,
    /// It is the root of a workspace itself.
    pub(crate) is_workspace: bool,
    /// The package's name.
    pub(crate) name: Option<String>,
}

/// What a manifest refers to; nothing if it cannot be read, which cargo will tell.
pub(crate) fn references(text: &str) -> References {
    let Ok(document) = DeTable::parse(text) else { return References::default() };
    let document = document.get_ref();
    let path_of = |dependency: &DeValue<'_>| {
        let path = dependency.as_table()?.get("path")?;
        Some((path.span(), path.get_ref().as_str()?.to_owned()))
    };
    let table = |name: &str| document.get(name).and_then(|table| table.get_ref().as_table());
    let patches =
        table("patch").into_iter().flat_map(|patch| patch.values()).filter_map(|one| one.get_ref().as_table());
    let replaced = patches.chain(table("replace")).flat_map(|table| table.values());
    let mut paths: Vec<_> = replaced.filter_map(|one| path_of(one.get_ref())).collect();
    paths.extend(dependencies(document).into_iter().filter_map(|(_, one)| path_of(one.get_ref())));
    let shared = get(document, &["workspace", "dependencies"]).and_then(|shared| shared.get_ref().as_table());
    let shared = shared.into_iter().flatten().filter_map(|(name, one)| {
        let (span, path) = path_of(one.get_ref())?;
        Some((name.get_ref().to_string(), span, path))
    });
    let workspace = get(document, &["package", "workspace"]);
    References {
        paths,
        shared: shared.collect(),
        inherited: inherited(document).into_iter().map(|(what, _)| what).collect(),
        workspace_at: workspace
            .and_then(|workspace| Some((workspace.span(), workspace.get_ref().as_str()?.to_owned()))),
        is_workspace: get(document, &["workspace"]).is_some(),
        name: get(document, &["package", "name"]).and_then(|name| name.get_ref().as_str()).map(str::to_owned),
    }
}

/// All dependencies: ordinary ones, those of tests and build scripts, those of some targets only.
fn dependencies<'a, 'i>(document: &'a DeTable<'i>) -> Vec<(&'a str, &'a Spanned<DeValue<'i>>)> {
    const TABLES: &[&str] =
        &["dependencies", "dev-dependencies", "build-dependencies", "dev_dependencies", "build_dependencies"];
    let targets = document.get("target").and_then(|target| target.get_ref().as_table());
    let tables = targets.into_iter().flat_map(|targets| targets.values()).filter_map(|one| one.get_ref().as_table());
    let tables = std::iter::once(document).chain(tables);
    let named = tables.flat_map(|table| TABLES.iter().filter_map(|name| table.get(*name)?.get_ref().as_table()));
    named.flatten().map(|(name, dependency)| (name.get_ref().as_ref(), dependency)).collect()
}

/// What is inherited from a workspace, with its place.
fn inherited(document: &DeTable<'_>) -> Vec<(String, Range<usize>)> {
    let is_inherited = |value: &DeValue<'_>| {
        let workspace = value.as_table().and_then(|table| table.get("workspace"));
        workspace.is_some_and(|workspace| workspace.get_ref().as_bool() == Some(true))
    };
    let mut all = Vec::new();
    if let Some(package) = document.get("package").and_then(|package| package.get_ref().as_table()) {
        for (key, value) in package {
            if is_inherited(value.get_ref()) {
                all.push((key.get_ref().to_string(), value.span()));
            }
        }
    }
    for (name, dependency) in dependencies(document) {
        if is_inherited(dependency.get_ref()) {
            all.push((name.to_owned(), dependency.span()));
        }
    }
    if let Some(lints) = document.get("lints")
        && is_inherited(lints.get_ref())
    {
        all.push(("lints".to_owned(), lints.span()));
    }
    all.sort_by_key(|(_, span)| span.start);
    all
}

/// The text of a manifest as it stands in the shadow of the plugin at `root`: paths that lead out of the plugin's folder are
/// absolute, and the plugin's own manifest is the root of a workspace. Lines stay where they are.
pub(crate) fn shadowed(text: &str, directory: &Path, root: &Path, separate: &[String]) -> String {
    let references = references(text);
    let shared = references.shared.iter().map(|(_, span, path)| (span, path));
    let mut edits: Vec<(Range<usize>, String)> = references
        .paths
        .iter()
        .map(|(span, path)| (span, path))
        .chain(shared)
        .filter_map(|(span, path)| {
            let target = paths::normal(&directory.join(path));
            (!target.starts_with(root) || Path::new(path).is_absolute())
                .then(|| (span.clone(), quoted(&target.to_string_lossy())))
        })
        .collect();
    if let Some((span, path)) = &references.workspace_at
        && !paths::normal(&directory.join(path)).starts_with(root)
    {
        // The whole line goes: a workspace above has nothing to say.
        let start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
        edits.push((start..span.end, String::new()));
    }
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut text = text.to_owned();
    for (span, replacement) in edits {
        text.replace_range(span, &replacement);
    }
    if directory == root && !references.is_workspace {
        let separate = separate.iter().map(|directory| quoted(directory)).collect::<Vec<_>>().join(", ");
        let exclude = if separate.is_empty() { String::new() } else { format!("exclude = [{separate}]\n") };
        text = format!("{}\n\n[workspace]\n{exclude}", text.trim_end());
    }
    text
}

/// A string as TOML and the command line of cargo have it.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
