//! A table of what cargo says, in its own words, and what people are told.

use super::*;

const FAILED: i32 = 101 << 8;

fn explained(said: &str) -> Failure {
    explain(&BuildOutcome {
        status: ExitStatus::from_raw(FAILED),
        errors: &[],
        count: 0,
        said,
        shadow: "/data/builds/src/hello",
        manifest: "Cargo.toml",
    })
}

fn error(file: &str, line: u32, message: &str) -> Diagnostic {
    Diagnostic { file: file.to_owned(), line, message: message.to_owned(), rendered: format!("error: {message}") }
}

#[test]
fn cargos_words_become_a_sentence() {
    for (said, stage, transient, reason) in [
        (
            "    Updating crates.io index\nerror: no matching package named `no-such` found\nlocation searched: crates.io index\n\
             required by package `eee v0.1.0 (/data/builds/src/hello)`\n",
            Stage::Build,
            false,
            "there is no package `no-such` in crates.io index: check its name among the dependencies",
        ),
        (
            "error: failed to select a version for the requirement `serde = \"^99\"`\n\
             candidate versions found which didn't match: 1.0.229, 1.0.228, ...\nlocation searched: crates.io index\n",
            Stage::Build,
            false,
            "no version of a dependency matches `serde = \"^99\"`; there are 1.0.229, 1.0.228, ...",
        ),
        (
            "    Updating git repository `http://127.0.0.1:1/x.git`\n\
             error: failed to get `foo` as a dependency of package `eee v0.1.0 (/data/builds/src/hello)`\n\n\
             Caused by:\n  failed to load source for dependency `foo`\n\nCaused by:\n  unable to update http://127.0.0.1:1/x.git\n\n\
             Caused by:\n  failed to connect to 127.0.0.1: Connection refused; class=Os (2)\n",
            Stage::Build,
            true,
            "the dependency `foo` cannot be fetched, for the network does not answer: failed to connect to 127.0.0.1: \
             Connection refused; class=Os (2); it is tried again",
        ),
        (
            "error: failed to get `foo` as a dependency of package `eee`\n\nCaused by:\n  download of config.json failed\n\n\
             Caused by:\n  failed to download from `https://index.crates.io/config.json`\n\n\
             Caused by:\n  [6] Could not resolve hostname (Could not resolve host: index.crates.io)\n",
            Stage::Build,
            true,
            "the dependency `foo` cannot be fetched, for the network does not answer: [6] Could not resolve hostname (Could not \
             resolve host: index.crates.io); it is tried again",
        ),
        (
            "   Compiling eee v0.1.0\nerror: failed to run custom build command for `eee v0.1.0 (/data/builds/src/hello)`\n\n\
             Caused by:\n  process didn't exit successfully: `x` (exit status: 101)\n  --- stderr\n\n  \
             thread 'main' (26756) panicked at build.rs:1:12:\n  oh no\n",
            Stage::Build,
            false,
            "the build script of `eee` failed: thread 'main' (26756) panicked at build.rs:1:12: oh no",
        ),
        (
            "error: failed to run custom build command for `eee v0.1.0`\n\nCaused by:\n  process didn't exit successfully: `x` \
             (exit status: 3)\n",
            Stage::Build,
            false,
            "the build script of `eee` failed: process didn't exit successfully: `x` (exit status: 3)",
        ),
        (
            "error: failed to parse manifest at `/data/builds/src/hello/Cargo.toml`\n\nCaused by:\n  failed to parse the version \
             requirement `1x` for dependency `serde`\n\nCaused by:\n  expected comma after major version number, found 'x'\n",
            Stage::Manifest,
            false,
            "cargo cannot build it: failed to parse manifest at `Cargo.toml`: failed to parse the version requirement `1x` for \
             dependency `serde`: expected comma after major version number, found 'x'",
        ),
        (
            "error: rustc 1.95.0 is not supported by the following package:\n  eee@0.1.0 requires rustc 1.99\n\n",
            Stage::Build,
            false,
            "cargo cannot build it: rustc 1.95.0 is not supported by the following package:",
        ),
        (
            "error: failed to write x\n\nCaused by:\n  No space left on device (os error 28)\n",
            Stage::Build,
            true,
            "there is no space left on the disk on which plugins are built; free some, and it is tried again",
        ),
        (
            "error: could not compile `eee` (lib)\n\nCaused by:\n  process didn't exit successfully: `rustc x` (signal: 9, SIGKILL: kill)\n",
            Stage::Build,
            true,
            "a compiler was killed by signal 9 while it built, perhaps for lack of memory; it is tried again",
        ),
        ("", Stage::Build, false, "cargo failed and does not say why"),
    ] {
        let failure = explained(said);
        assert_eq!((failure.stage, failure.transient, &*failure.reason), (stage, transient, reason), "{said}");
    }
}

#[test]
fn a_place_in_the_manifest_is_kept() {
    let failure = explained(
        "error: invalid type: integer `7`\n --> ../../data/builds/src/hello/Cargo.toml:6:9\n  |\n6 | serde = 7\n",
    );
    assert_eq!(failure.stage, Stage::Manifest);
    assert_eq!((&*failure.diagnostics[0].file, failure.diagnostics[0].line), ("Cargo.toml", 6));
}

#[test]
fn compilers_errors_are_counted_and_the_first_is_told() {
    let went = |errors: &[Diagnostic], count: usize| {
        explain(&BuildOutcome {
            status: ExitStatus::from_raw(FAILED),
            errors,
            count,
            said: "error: could not compile `hello`",
            shadow: "/x",
            manifest: "Cargo.toml",
        })
    };
    let one = went(&[error("src/lib.rs", 7, "cannot find value `x`")], 1);
    assert_eq!(one.reason, "it does not compile: src/lib.rs:7: cannot find value `x`");
    assert_eq!(one.diagnostics.len(), 1);
    let two = went(&[error("src/lib.rs", 7, "first"), error("", 0, "second")], 2);
    assert_eq!(two.reason, "it does not compile, with 2 errors; the first: src/lib.rs:7: first");
    assert_eq!(
        went(&[error("", 0, "linker `cc` not found")], 1).reason,
        "it does not compile: linker `cc` not found; install a C compiler, which brings the linker"
    );
    assert!(went(&[error("", 0, "failed: No space left on device (os error 28)")], 1).transient);
}

#[test]
fn a_killed_cargo_is_tried_again() {
    let killed = explain(&BuildOutcome {
        status: ExitStatus::from_raw(9),
        errors: &[],
        count: 0,
        said: "   Compiling serde v1.0\n",
        shadow: "/x",
        manifest: "Cargo.toml",
    });
    assert_eq!(killed.reason, "cargo was killed by signal 9 while it built; it is tried again");
    assert!(killed.transient);
}

#[test]
fn the_commonest_errors_have_a_hint() {
    let explained = |message: &str, rendered: &str| {
        let error = Diagnostic { rendered: rendered.to_owned(), ..error("src/lib.rs", 5, message) };
        explain(&BuildOutcome {
            status: ExitStatus::from_raw(FAILED),
            errors: &[error],
            count: 1,
            said: "",
            shadow: "/data/builds/src/hello",
            manifest: "Cargo.toml",
        })
        .reason
    };
    let boxed = "`?` couldn't convert the error: `dyn std::error::Error + Send + Sync: Sized` is not satisfied";
    for (message, rendered, hint) in [
        (
            boxed,
            "  = note: required for `camlock_plugin::Error` to implement `From<Box<dyn std::error::Error + Send + Sync>>`",
            "; a `Box<dyn Error>` is no error itself",
        ),
        (
            "the trait bound `axum::Router: Into<Routes>` is not satisfied",
            "note: there are multiple different versions of crate `axum` in the dependency graph",
            "; its `axum` is another version than that of `camlock-plugin`",
        ),
        (
            "mismatched types",
            "note: two different versions of crate `http` are being used; two types coming from two different versions",
            "; two versions of `http` are among its dependencies",
        ),
        (
            "environment variable `API_KEY` not defined at compile time",
            "",
            "; builds see few of the server's variables: set `API_KEY` under `[env]`",
        ),
        ("linker `cc` not found", "", "; install a C compiler"),
    ] {
        let reason = explained(message, rendered);
        assert!(reason.starts_with(&format!("it does not compile: src/lib.rs:5: {message}{hint}")), "{reason}");
    }
    let reason = explained("`?` couldn't convert the error to `u8`", "the trait `From<String>` is not implemented");
    assert!(!reason.contains(';'), "{reason}");
}
