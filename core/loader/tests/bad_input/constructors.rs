//! Libraries that cannot be opened, or misbehave while they are: the constructors of a library run before anything else of it.

use crate::{
    creates::{QUICK, bad, timed_out},
    place::Place,
};
use camlock_loader::{Verdict, VerifierLimits};
use camlock_testing::{Altered, trial};

const OPENED: &str = "while the library was opened and its constructors ran";

#[trial]
fn crash() {
    bad(&Altered::that("constructor crashes"), &format!("it crashed with SIGSEGV {OPENED}"));
}

#[trial]
fn hang() {
    timed_out(&Altered::that("constructor hangs"), &format!("it did not come to an end within 1 s {OPENED}"));
}

#[trial]
fn exit_well() {
    let sentence = format!("it ended the process with status 0 {OPENED}");
    bad(&Altered::that("constructor exits well"), &sentence);
}

#[trial]
fn exit_badly() {
    let sentence = format!("it ended the process with status 3 {OPENED}");
    bad(&Altered::that("constructor exits badly"), &sentence);
}

#[trial]
fn undefined_symbol() {
    let place = Place::new();
    let verdict = place.verify(&Altered::candidate("undefined").0, VerifierLimits::default());
    let Ok(Verdict::Bad(sentence)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(sentence, "it cannot be opened: undefined symbol: camlock_defined_nowhere");
    place.expect_clean();
}

/// What is missing may be there tomorrow: the sentence names it, and is not kept.
#[trial]
fn a_missing_library() {
    let place = Place::new();
    let good = Altered::good();
    let name = b"\0libc.so.6\0";
    let at = good.0.windows(name.len()).position(|bytes| bytes == name).expect("it needs libc");
    let verdict = place.verify(&good.patch(at, b"\0libz.so.0\0").0, VerifierLimits::default());
    let Ok(Verdict::Bad(sentence)) = verdict else { panic!("{verdict:?}") };
    let words = "libz.so.0: cannot open shared object file: No such file or directory";
    assert_eq!(sentence, format!("it cannot be opened: {words}"));
    assert!(place.names("verdicts").is_empty());
    place.expect_clean();
}

/// Its sections are in order, its dynamic section is not.
#[trial]
fn a_file_the_linker_refuses() {
    let good = Altered::good();
    let dynamic = good.number(good.header_of(".dynamic") + 0x18);
    let place = Place::new();
    let verdict = place.verify(&good.patch(dynamic, &[0xff; 64]).0, QUICK);
    // Whether the linker says so or stumbles is the linker's affair.
    let Ok(Verdict::Bad(sentence)) = verdict else { panic!("{verdict:?}") };
    assert!(sentence.starts_with("it cannot be opened: ") || sentence.starts_with("it crashed with "), "{sentence}");
    assert!(!sentence.contains('\n'), "{sentence}");
    place.expect_clean();
}

/// After the worst of them, all in one process, a good plugin is loaded and leaves again.
#[trial]
fn the_process_goes_on() {
    let place = Place::new();
    for mode in ["constructor crashes", "constructor exits well", "aborts", "panics"] {
        let verdict = place.verify(&Altered::that(mode), VerifierLimits::default()).expect("a verdict");
        assert!(matches!(verdict, Verdict::Bad(_)), "{mode}: {verdict:?}");
    }
    let artifact = place.stage(&Altered::good().0);
    let verdict = place.run(place.verifier(VerifierLimits::default()).verify(&artifact)).expect("a verdict");
    assert!(matches!(verdict, Verdict::Good(_)), "{verdict:?}");
    let loaded = place.load(&artifact).expect("it can be loaded");
    place.unload(loaded);
    place.expect_clean();
}
