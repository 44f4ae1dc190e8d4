//! Why a build failed, in one sentence: from what compilers said, from cargo's own words, from how it ended.
//!
//! Pure. Cargo's words are not an interface: what is not recognised is passed on as it is.

use crate::{
    hints,
    words::{counted, one_line},
};
use camlock_policy::{Diagnostic, Failure, Stage};
use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

/// How a build that failed outcome.
#[derive(Debug)]
pub(crate) struct BuildOutcome<'a> {
    /// How cargo ended.
    pub(crate) status: ExitStatus,
    /// What compilers said, as far as it was kept, and how many errors there were.
    pub(crate) errors: &'a [Diagnostic],
    pub(crate) count: usize,
    /// What cargo wrote to its standard error.
    pub(crate) said: &'a str,
    /// Where it was built, and what the manifest's file is called by its author.
    pub(crate) shadow: &'a str,
    pub(crate) manifest: &'a str,
}

/// What a build that failed amounts to.
pub(crate) fn explain(outcome: &BuildOutcome<'_>) -> Failure {
    let words = block(outcome.said)
        .replace(&format!("{}/Cargo.toml", outcome.shadow), outcome.manifest)
        .replace(outcome.shadow, ".");
    let everything = outcome.errors.iter().map(|error| &*error.rendered).chain([outcome.said]);
    let everything: Vec<&str> = everything.collect();
    let said = |text: &str| everything.iter().any(|one| one.contains(text));
    if said("No space left on device") || said("os error 28") || said("Disk quota exceeded") {
        let reason = "there is no space left on the disk on which plugins are built; free some, and it is tried again";
        return with(Failure::transient(Stage::Build, reason), outcome.errors, &words);
    }
    if !outcome.errors.is_empty() {
        let first = &outcome.errors[0];
        let message = one_line(&first.message);
        let place = match (&*first.file, first.line) {
            ("", _) => String::new(),
            (file, 0) => format!("{file}: "),
            (file, line) => format!("{file}:{line}: "),
        };
        let reason = match outcome.count {
            0 | 1 => format!("it does not compile: {place}{message}"),
            count => format!("it does not compile, with {}; the first: {place}{message}", counted(count, "error")),
        };
        let hint = outcome.errors.iter().find_map(hints::of_compiler).map(|hint| format!("; {hint}"));
        let reason = reason + &hint.unwrap_or_default();
        return with(Failure::new(Stage::Build, reason), outcome.errors, "");
    }
    if let Some(signal) = outcome.status.signal() {
        let reason = format!("cargo was killed by signal {signal} while it built; it is tried again");
        return with(Failure::transient(Stage::Build, reason), &[], &words);
    }
    if said("(signal: 9, SIGKILL: kill)") {
        let reason = "a compiler was killed by signal 9 while it built, perhaps for lack of memory; it is tried again";
        return with(Failure::transient(Stage::Build, reason), &[], &words);
    }
    with(of_cargo(&words), &[], &words)
}

/// Whether a build failed because the network could not be reached, so that what lies on the disk may still do.
pub(crate) fn is_network(said: &str) -> bool {
    const WORDS: &[&str] = &[
        "Could not resolve host",
        "Couldn't resolve host",
        "Could not connect",
        "Couldn't connect",
        "Failed to connect",
        "failed to connect",
        "failed to resolve address",
        "Connection refused",
        "Connection reset",
        "Network is unreachable",
        "Timeout was reached",
        "Operation timed out",
        "Resolving timed out",
        "Connection timed out",
        "SSL connect error",
        "spurious network error",
        "[5] ",
        "[6] ",
        "[7] ",
        "[28] ",
        "[35] ",
        "[52] ",
        "[56] ",
        "class=Net",
        "got 500",
        "got 502",
        "got 503",
        "got 504",
        "got 429",
    ];
    let fetched = [
        "failed to get ",
        "failed to download",
        "failed to fetch",
        "failed to clone",
        "download of ",
        "unable to update",
    ];
    fetched.iter().any(|word| said.contains(word)) && WORDS.iter().any(|word| said.contains(word))
}

/// Cargo's own error: from its last `error:` on, without notes that only explain how to see more.
fn block(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let start = lines.iter().position(|line| line.starts_with("error")).unwrap_or(0);
    lines[start..].join("\n")
}

fn of_cargo(words: &str) -> Failure {
    let headline = words.lines().next().unwrap_or_default();
    let headline = headline.strip_prefix("error: ").unwrap_or(headline);
    if is_network(words) {
        let what = between(words, "failed to get `", "`").or_else(|| between(words, "failed to download `", "`"));
        let what = what.map_or_else(|| "a dependency".to_owned(), |name| format!("the dependency `{name}`"));
        let why = one_line(causes(words).last().map_or(headline, String::as_str));
        let reason = format!("{what} cannot be fetched, for the network does not answer: {why}; it is tried again");
        return Failure::transient(Stage::Build, reason);
    }
    if let Some(name) = between(headline, "no matching package named `", "`").or_else(|| {
        headline.starts_with("no matching package").then(|| between(words, "searched package name: `", "`")).flatten()
    }) {
        let searched = between(words, "location searched: ", "\n").unwrap_or_else(|| "the registry".to_owned());
        let meant = between(words, "perhaps you meant:", "\n").map(|name| format!(" (perhaps you meant{name})"));
        let meant = meant.unwrap_or_default();
        return Failure::new(
            Stage::Build,
            format!("there is no package `{name}` in {searched}{meant}: check its name among the dependencies"),
        );
    }
    if let Some(requirement) = between(headline, "failed to select a version for the requirement `", "`") {
        let there = between(words, "candidate versions found which didn't match: ", "\n");
        let there = there.map(|versions| format!("; there are {}", one_line(&versions))).unwrap_or_default();
        return Failure::new(Stage::Build, format!("no version of a dependency matches `{requirement}`{there}"));
    }
    if let Some(package) = between(headline, "failed to run custom build command for `", " v") {
        let output = words.split_once("--- stderr\n").map_or("", |(_, output)| output);
        let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).take(3).collect();
        let why = if lines.is_empty() { causes(words).last().cloned().unwrap_or_default() } else { lines.join(" ") };
        return Failure::new(Stage::Build, format!("the build script of `{package}` failed: {}", one_line(&why)));
    }
    let stage = if is_about_a_manifest(words) { Stage::Manifest } else { Stage::Build };
    if headline.trim().is_empty() {
        return Failure::new(stage, "cargo failed and does not say why");
    }
    let whole = std::iter::once(headline.to_owned()).chain(causes(words)).collect::<Vec<_>>().join(": ");
    Failure::new(stage, format!("cargo cannot build it: {}", one_line(&whole)))
}

fn is_about_a_manifest(words: &str) -> bool {
    words.contains("failed to parse manifest at ")
        || words.lines().any(|line| line.trim_start().starts_with("--> ") && line.contains("Cargo.toml:"))
}

/// What stands under each `Caused by:`.
fn causes(words: &str) -> Vec<String> {
    let blocks = words.split("\nCaused by:\n").skip(1);
    let first_paragraph = |block: &str| {
        block.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect::<Vec<_>>().join(" ")
    };
    blocks.map(first_paragraph).collect()
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(rest.split(after).next().unwrap_or(rest).to_owned())
}

/// Adds what was said, whole.
fn with(failure: Failure, errors: &[Diagnostic], words: &str) -> Failure {
    let mut diagnostics = errors.to_vec();
    if !words.trim().is_empty() {
        let line = words.lines().find_map(|line| {
            line.trim_start().strip_prefix("--> ")?.split_once("Cargo.toml:")?.1.split(':').next()?.parse().ok()
        });
        let file = if line.is_some() { "Cargo.toml".to_owned() } else { String::new() };
        let rendered = words.chars().take(20_000).collect();
        diagnostics.push(Diagnostic { file, line: line.unwrap_or(0), message: failure.reason.clone(), rendered });
    }
    Failure { diagnostics, ..failure }
}

#[cfg(test)]
#[path = "trouble_tests.rs"]
mod tests;
