//! Which verdicts are kept, and that what is kept is only believed if it can be read.

use crate::{creates::QUICK, place::Place};
use camlock_loader::{Staging, Verdict, VerifierLimits, VerifyError};
use camlock_testing::{Altered, trial};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

fn kept(place: &Place) -> PathBuf {
    let names = place.names("verdicts");
    let [name] = &names[..] else { panic!("one verdict, not {names:?}") };
    place.path("verdicts").join(name)
}

/// A verdict that only a file can have given shows that nothing was started the second time.
#[trial]
fn kept_by_digest() {
    let place = Place::new();
    let good = Altered::good().0;
    assert!(matches!(place.verify(&good, VerifierLimits::default()), Ok(Verdict::Good(_))));
    fs::write(kept(&place), r#"{"bad":"remembered"}"#).unwrap();
    let again = place.verify(&good, VerifierLimits::default());
    assert!(matches!(&again, Ok(Verdict::Bad(told)) if told == "remembered"), "{again:?}");
    // Other bytes, another verdict.
    let other = place.verify(&Altered::that("something else"), VerifierLimits::default());
    assert!(matches!(other, Ok(Verdict::Good(_))), "{other:?}");
    assert_eq!(place.names("verdicts").len(), 2);
    place.expect_clean();
}

#[trial]
fn a_damaged_one_is_none() {
    let place = Place::new();
    let good = Altered::good().0;
    assert!(matches!(place.verify(&good, VerifierLimits::default()), Ok(Verdict::Good(_))));
    let path = kept(&place);
    let whole = fs::read(&path).unwrap();
    for damaged in [&b""[..], &whole[..whole.len() / 2], b"\xff\xfe", b"{\"excellent\":{}}"] {
        fs::write(&path, damaged).unwrap();
        let verdict = place.verify(&good, VerifierLimits::default());
        assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
        assert_eq!(fs::read(&path).unwrap(), whole, "a whole one took its place");
    }
    place.expect_clean();
}

/// It is given all the same.
#[trial]
fn one_that_cannot_be_kept() {
    let place = Place::new();
    let artifact = place.stage(&Altered::good().0);
    let verifier = place.verifier(VerifierLimits::default());
    fs::remove_dir(place.path("verdicts")).unwrap();
    let verdict = place.run(verifier.verify(&artifact));
    assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
    place.expect_clean();
}

/// The same bytes are tried again, with more time.
#[trial]
fn too_little_time_is_none() {
    let place = Place::new();
    let artifact = place.stage(&Altered::that("waits"));
    for _ in 0..2 {
        let error = place.run(place.verifier(QUICK).verify(&artifact)).expect_err("no verdict");
        assert!(matches!(error, VerifyError::TimedOut { .. }), "{error}");
    }
    assert!(place.names("verdicts").is_empty());
    place.expect_clean();
}

#[trial]
fn an_artifact_that_vanished() {
    let place = Place::new();
    let artifact = place.stage(&Altered::good().0);
    fs::remove_file(&artifact.path).unwrap();
    let error = place.run(place.verifier(VerifierLimits::default()).verify(&artifact)).expect_err("no verdict");
    let path = artifact.path.display();
    assert_eq!(error.to_string(), format!("the stored copy {path} cannot be read: no such file or directory"));
    assert!(place.names("verdicts").is_empty());
    place.expect_clean();
}

/// What damaged bytes do is not held against the artifact: staged again, it is as good as ever.
#[trial]
fn a_rotten_copy() {
    let place = Place::new();
    let good = Altered::good().0;
    let artifact = place.stage(&good);
    fs::write(&artifact.path, &good[..good.len() / 2]).unwrap();
    let error = place.run(place.verifier(VerifierLimits::default()).verify(&artifact)).expect_err("no verdict");
    let path = artifact.path.display();
    let sentence = format!("the stored copy {path} is damaged: its bytes no longer have their digest");
    assert_eq!(error.to_string(), sentence);
    assert!(place.names("verdicts").is_empty());
    let verdict = place.verify(&good, VerifierLimits::default());
    assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
    place.expect_clean();
}

/// A process that was killed while it wrote leaves half a file; the next one clears it away, but not what is being written.
#[trial]
fn half_written_files_are_cleared_away() {
    let place = Place::new();
    let _ = place.verifier(VerifierLimits::default());
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    for dir in ["artifacts", "verdicts"] {
        for (name, time) in [(".7-1", old), (".7-2", SystemTime::now()), ("kept", old)] {
            let file = fs::File::create(place.path(dir).join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        Staging::at(place.path("artifacts")).unwrap();
        let _ = place.verifier(VerifierLimits::default());
        let mut names = place.names(dir);
        names.sort();
        assert_eq!(names, [".7-2", "kept"], "{dir}");
    }
}
