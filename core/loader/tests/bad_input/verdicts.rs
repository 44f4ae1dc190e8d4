//! Which verdicts are kept, and that what is kept is only believed if it can be read.

use crate::{alter::Altered, creates::QUICK, place::Place};
use camlock_loader::{Limits, Verdict, VerifyError};
use camlock_testing::Trials;
use std::{fs, path::PathBuf};

pub fn add(trials: Trials) -> Trials {
    trials
        .add("verdicts::kept_by_digest", kept_by_digest)
        .add("verdicts::a_damaged_one_is_none", a_damaged_one_is_none)
        .add("verdicts::one_that_cannot_be_kept", one_that_cannot_be_kept)
        .add("verdicts::too_little_time_is_none", too_little_time_is_none)
        .add("verdicts::an_artifact_that_vanished", an_artifact_that_vanished)
}

fn kept(place: &Place) -> PathBuf {
    let names = place.names("verdicts");
    let [name] = &names[..] else { panic!("one verdict, not {names:?}") };
    place.path("verdicts").join(name)
}

/// A verdict that only a file can have given shows that nothing was started the second time.
fn kept_by_digest() {
    let place = Place::new();
    let good = Altered::good().0;
    assert!(matches!(place.verify(&good, Limits::default()), Ok(Verdict::Good(_))));
    fs::write(kept(&place), r#"{"bad":"remembered"}"#).unwrap();
    let again = place.verify(&good, Limits::default());
    assert!(matches!(&again, Ok(Verdict::Bad(told)) if told == "remembered"), "{again:?}");
    // Other bytes, another verdict.
    let other = place.verify(&Altered::that("something else"), Limits::default());
    assert!(matches!(other, Ok(Verdict::Good(_))), "{other:?}");
    assert_eq!(place.names("verdicts").len(), 2);
    place.expect_clean();
}

fn a_damaged_one_is_none() {
    let place = Place::new();
    let good = Altered::good().0;
    assert!(matches!(place.verify(&good, Limits::default()), Ok(Verdict::Good(_))));
    let path = kept(&place);
    let whole = fs::read(&path).unwrap();
    for damaged in [&b""[..], &whole[..whole.len() / 2], b"\xff\xfe", b"{\"excellent\":{}}"] {
        fs::write(&path, damaged).unwrap();
        let verdict = place.verify(&good, Limits::default());
        assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
        assert_eq!(fs::read(&path).unwrap(), whole, "a whole one took its place");
    }
    place.expect_clean();
}

/// It is given all the same.
fn one_that_cannot_be_kept() {
    let place = Place::new();
    let artifact = place.stage(&Altered::good().0);
    let verifier = place.verifier(Limits::default());
    fs::remove_dir(place.path("verdicts")).unwrap();
    let verdict = place.run(verifier.verify(&artifact));
    assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
    place.expect_clean();
}

/// The same bytes are tried again, with more time.
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

fn an_artifact_that_vanished() {
    let place = Place::new();
    let artifact = place.stage(&Altered::good().0);
    fs::remove_file(&artifact.path).unwrap();
    let error = place.run(place.verifier(Limits::default()).verify(&artifact)).expect_err("no verdict");
    assert_eq!(error.to_string(), "it could not be verified: no such file or directory");
    assert!(place.names("verdicts").is_empty());
    place.expect_clean();
}
