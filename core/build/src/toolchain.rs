//! Which compiler a build in some directory would use.
//!
//! Asking costs tens of milliseconds, so the answer is kept for as long as nothing changed that it depends on: which
//! `rustc` is found first, rustup's settings, the toolchain file, and the compiler itself.

use crate::{
    child::{self, ChildEnd, Stream, Switch},
    stamp::Stamp,
    tools::Tools,
    tree::Hash,
    words::one_line,
};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What is known of the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// What it says of itself.
    Known(String),
    /// There is one, but it does not say: the toolchain is not installed, perhaps. Building will tell.
    Silent(String),
    /// There is none.
    Missing,
}

/// What the answer depends on: the toolchain file above, and the directory if rustup was told of some directories.
type CompilerQuestion = (Option<Hash>, Option<PathBuf>);

/// The answers that are kept.
#[derive(Debug, Default)]
pub(crate) struct Compilers {
    answers: HashMap<CompilerQuestion, CompilerAnswer>,
    /// Whether rustup was told of directories, and in which round that was looked up.
    by_directory: Option<(u64, bool)>,
    round: u64,
}

#[derive(Debug)]
struct CompilerAnswer {
    compiler: Compiler,
    rests_on: Vec<(PathBuf, Option<Stamp>)>,
    checked_in: u64,
}

/// An answer should take no time; but a disk may sleep.
const PATIENCE: Duration = Duration::from_secs(20);

impl Compilers {
    /// From now on it is checked again whether the answers still hold.
    pub(crate) fn next_round(&mut self) {
        self.round += 1;
    }

    /// The compiler for a build in `directory`, where `file` is the digest of the toolchain file that holds there.
    pub(crate) fn for_directory(&mut self, tools: &Tools, directory: &Path, file: Option<Hash>) -> Compiler {
        let by_directory = match self.by_directory {
            Some((round, by_directory)) if round == self.round => by_directory,
            _ => fs::read_to_string(tools.rustup_settings()).is_ok_and(|text| has_overrides(&text)),
        };
        self.by_directory = Some((self.round, by_directory));
        let question = (file, by_directory.then(|| directory.to_owned()));
        if let Some(answer) = self.answers.get_mut(&question) {
            let holds =
                answer.checked_in == self.round || answer.rests_on.iter().all(|(path, before)| stamp(path) == *before);
            if holds {
                answer.checked_in = self.round;
                return answer.compiler.clone();
            }
        }
        let answer = ask(tools, directory, self.round);
        let compiler = answer.compiler.clone();
        // One that did not answer is asked again in the next round.
        if matches!(compiler, Compiler::Silent(_)) {
            self.answers.remove(&question);
        } else {
            self.answers.insert(question, answer);
        }
        compiler
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))
}

/// Whether rustup was told of toolchains for some directories.
fn has_overrides(settings: &str) -> bool {
    let table = settings.parse::<toml::Table>().unwrap_or_default();
    table.get("overrides").and_then(toml::Value::as_table).is_some_and(|overrides| !overrides.is_empty())
}

fn ask(tools: &Tools, directory: &Path, round: u64) -> CompilerAnswer {
    let settings = tools.rustup_settings();
    let mut rests_on = vec![(settings.clone(), stamp(&settings))];
    let Some(rustc) = tools.find("rustc") else {
        // Wherever one would be found first.
        rests_on.extend(tools.places("rustc").map(|path| (path, None)));
        return CompilerAnswer { compiler: Compiler::Missing, rests_on, checked_in: round };
    };
    rests_on.push((rustc.clone(), stamp(&rustc)));
    let mut command = tools.command(&rustc, directory);
    // A toolchain that is not there is installed by the build, which may take its time.
    command.args(["-vV", "--print", "sysroot"]).env("RUSTUP_AUTO_INSTALL", "0");
    let (mut output, mut errors) = (String::new(), String::new());
    let end = child::run(
        &mut command,
        &child::new_tag("rustc"),
        &Switch::default(),
        Instant::now() + PATIENCE,
        |stream, line| {
            let text = if stream == Stream::Output { &mut output } else { &mut errors };
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        },
    );
    let compiler = match end {
        Ok(ChildEnd::Exited(status)) if status.success() => {
            // The last line is the sysroot: it is where this compiler lies, and no part of what it is.
            let (version, sysroot) = output.trim_end().rsplit_once('\n').unwrap_or((&*output, ""));
            let binary = Path::new(sysroot).join("bin/rustc");
            rests_on.push((binary.clone(), stamp(&binary)));
            Compiler::Known(version.to_owned())
        }
        Ok(_) => Compiler::Silent(one_line(&errors)),
        Err(error) => Compiler::Silent(error.to_string()),
    };
    CompilerAnswer { compiler, rests_on, checked_in: round }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_of_directories_are_noticed() {
        assert!(!has_overrides("version = \"12\"\n\n[overrides]\n"));
        assert!(has_overrides("[overrides]\n\"/srv/x\" = \"nightly\"\n"));
        assert!(!has_overrides("broken ["));
    }

    #[test]
    fn the_compiler_answers_once_and_again_when_something_changed() {
        let dir = tempfile::tempdir().unwrap();
        let tools = Tools::from_environment();
        let mut compilers = Compilers::default();
        let Compiler::Known(version) = compilers.for_directory(&tools, dir.path(), None) else { panic!("no compiler") };
        assert!(version.starts_with("rustc 1.") && version.contains("host: "), "{version}");
        let started = Instant::now();
        for _ in 0..100 {
            compilers.next_round();
            assert_eq!(compilers.for_directory(&tools, dir.path(), None), Compiler::Known(version.clone()));
        }
        // Not a bound on time: a hundred answers take far longer than this test may.
        assert!(started.elapsed() < PATIENCE);

        let nobody = Tools::with_path(dir.path().as_os_str());
        let mut compilers = Compilers::default();
        assert_eq!(compilers.for_directory(&nobody, dir.path(), None), Compiler::Missing);
        std::os::unix::fs::symlink(tools.find("rustc").unwrap(), dir.path().join("rustc")).unwrap();
        compilers.next_round();
        assert_ne!(compilers.for_directory(&nobody, dir.path(), None), Compiler::Missing);
    }
}
