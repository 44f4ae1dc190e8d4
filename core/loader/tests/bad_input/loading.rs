//! What was verified and still goes wrong when a server loads it.

use crate::place::Place;
use camlock_loader::{
    Artifact, LoadError, LoadedGeneration, Loader, LoaderOptions, StageError, Verdict, VerifierLimits,
};
use camlock_policy::{Ending, Loaded};
use camlock_testing::{Altered, trial};
use std::{
    fs, thread,
    time::{Duration, Instant},
};

#[trial]
fn create_waits() {
    create_is_cancelled("waits in a server");
}

#[trial]
fn create_sleeps() {
    create_is_cancelled("sleeps in a server");
}

const LITTLE: LoaderOptions = LoaderOptions { create: Duration::from_millis(300) };

/// One that the verifier finds nothing wrong with.
fn verified(place: &Place, mode: &str) -> Artifact {
    let artifact = place.stage(&Altered::that(mode));
    let verdict = place.run(place.verifier(VerifierLimits::default()).verify(&artifact));
    assert!(matches!(verdict, Ok(Verdict::Good(_))), "{verdict:?}");
    artifact
}

fn refused(place: &Place, artifact: &Artifact) -> LoadError {
    place.load(artifact).map(|_| ()).expect_err("it is refused")
}

/// The stored copy is not what was verified: it is never opened, and staging again mends it.
#[trial]
fn rotten() {
    let place = Place::new();
    let artifact = verified(&place, "well");
    let good = fs::read(&artifact.path).unwrap();
    for damage in [Altered(good.clone()).patch(good.len() / 2, b"rotten"), Altered(good.clone()).cut(1000)] {
        fs::write(&artifact.path, damage.0).unwrap();
        let error = refused(&place, &artifact);
        let path = artifact.path.display();
        let sentence = format!("the stored artifact {path} is damaged: its bytes no longer have their digest");
        assert_eq!(error.to_string(), sentence);
        place.expect_clean();
    }
    let again = place.stage(&good);
    assert_eq!((again.digest, &again.path), (artifact.digest, &artifact.path));
    let loaded = place.load(&again).expect("it can be loaded again");
    place.unload(loaded);
    place.expect_clean();
}

/// What was staged before is copied along with the look at it: nothing is left of a copy that nobody loads, nor do those count
/// that are gone or cannot be made.
#[trial]
fn recalled() {
    let place = Place::new();
    let artifact = verified(&place, "well");
    let recall = || place.staging.recall(artifact.digest, &place.path("run"));
    let unwanted = recall().unwrap();
    assert_eq!(place.copies().len(), 1);
    drop(unwanted);
    place.expect_clean();

    let wanted = recall().unwrap();
    let copies = place.copies();
    let loaded = place.load(&wanted).expect("it can be loaded");
    assert_eq!(place.copies(), copies);
    let other = place.load(&wanted).expect("it can be loaded twice");
    assert_eq!(place.copies().len(), 2);
    place.unload(loaded);
    place.unload(other);
    place.expect_clean();

    let cleared = recall().unwrap();
    for copy in place.copies() {
        fs::remove_file(copy).unwrap();
    }
    place.unload(place.load(&cleared).expect("another copy is made"));
    place.expect_clean();

    let good = fs::read(&artifact.path).unwrap();
    fs::write(&artifact.path, Altered(good.clone()).patch(good.len() / 2, b"rotten").0).unwrap();
    assert!(matches!(recall(), Err(StageError::Rotten(_))));
    place.expect_clean();

    fs::write(&artifact.path, good).unwrap();
    fs::remove_dir_all(place.path("run")).unwrap();
    assert!(matches!(refused(&place, &recall().unwrap()), LoadError::NoCopy { .. }));
}

#[trial]
fn vanished() {
    let place = Place::new();
    let artifact = verified(&place, "well");
    fs::remove_file(&artifact.path).unwrap();
    let sentence = format!("the stored artifact {} cannot be read: no such file or directory", artifact.path.display());
    assert_eq!(refused(&place, &artifact).to_string(), sentence);
    place.expect_clean();
}

#[trial]
fn no_directory_for_copies() {
    let place = Place::new();
    let artifact = verified(&place, "well");
    fs::remove_dir_all(place.path("run")).unwrap();
    let run = fs::canonicalize(place.path("")).unwrap().join("run");
    let sentence = format!(
        "no private copy can be made in {}: no such file or directory; make room there, or let the server write there",
        run.display()
    );
    assert_eq!(refused(&place, &artifact).to_string(), sentence);
    fs::remove_dir_all(place.path("artifacts")).unwrap();
    let error = place.staging.stage(&place.file(&Altered::good().0)).map(|_| ()).expect_err("no place");
    assert!(matches!(error, StageError::NoCopy { .. }));
    let artifacts = place.path("artifacts");
    let sentence = format!(
        "no copy can be kept in {}: no such file or directory; make room there, or let the server write there",
        artifacts.display()
    );
    assert_eq!(error.to_string(), sentence);
    place.expect_clean();
}

/// Whatever became of it, its library leaves by itself.
fn expect_gone(place: &Place) {
    let began = Instant::now();
    loop {
        let left = place.loader.overview();
        if left.is_empty() {
            break place.expect_clean();
        }
        assert!(began.elapsed() < Duration::from_secs(300), "{left:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[trial]
fn create_fails() {
    let place = Place::new();
    let artifact = verified(&place, "fails in a server");
    assert_eq!(refused(&place, &artifact).to_string(), "`create` failed: not here");
    expect_gone(&place);
}

#[trial]
fn create_panics() {
    let place = Place::new();
    let artifact = verified(&place, "panics in a server");
    let sentence = refused(&place, &artifact).to_string();
    assert!(sentence.starts_with("`create` panicked: not here (candidates/examples/misbehaving.rs:"), "{sentence}");
    expect_gone(&place);
}

fn create_is_cancelled(mode: &str) {
    let place = Place::with(LITTLE);
    let artifact = verified(&place, mode);
    assert_eq!(refused(&place, &artifact).to_string(), "`create` did not come to an end within 0.3 s");
    expect_gone(&place);
}

/// A thread that blocks cannot be helped: it is given up, the operator sees what holds the generation, and once it returns
/// the generation leaves.
#[trial]
fn create_blocks() {
    let place = Place::with(LITTLE);
    let artifact = verified(&place, "blocks in a server");
    let began = Instant::now();
    assert_eq!(refused(&place, &artifact).to_string(), "`create` did not come to an end within 0.3 s");
    assert!(began.elapsed() < Duration::from_secs(9), "it was waited for: {:?}", began.elapsed());
    let left = place.loader.overview();
    let [LoadedGeneration { plugin, held_by, ending, .. }] = &left[..] else { panic!("{left:?}") };
    assert_eq!((plugin.as_str(), held_by.as_str()), ("candidates", "a job of the plugin still runs"));
    assert_eq!(*ending, Ending::Alive);
    expect_gone(&place);
}

/// A server that crashed could not clear up; the next one does, and leaves alone what others use: whatever their process
/// numbers are, which in containers are all the same.
#[trial]
fn copies_of_processes_that_are_no_more() {
    let place = Place::new();
    let artifact = verified(&place, "well");
    let loaded = place.load(&artifact).expect("it can be loaded");
    let [used] = &place.copies()[..] else { panic!("one copy: {:?}", place.copies()) };
    let abandoned = place.path("run").join("0123456789abcdef0123456789abcdef");
    fs::create_dir(&abandoned).unwrap();
    fs::write(abandoned.join("copy.so"), "").unwrap();
    fs::write(place.path("run").join("notes.txt"), "").unwrap();
    let other = Loader::new(place.path("run"), LoaderOptions::default(), None).unwrap();
    assert!(!abandoned.exists());
    assert!(used.exists() && place.path("run").join("notes.txt").exists());
    fs::remove_file(place.path("run").join("notes.txt")).unwrap();
    drop(other);
    place.unload(loaded);
    place.expect_clean();
}

/// Constructors run where they can be given up: nobody else waits for them.
#[trial]
fn constructors_block() {
    let place = Place::with(LITTLE);
    let artifact = verified(&place, "constructor blocks in a server");
    assert_eq!(refused(&place, &artifact).to_string(), "its constructors did not come to an end within 0.3 s");
    let [LoadedGeneration { held_by, ending, .. }] = &place.loader.overview()[..] else { panic!("it is there still") };
    assert_eq!((held_by.as_str(), ending), ("a job of the plugin still runs", &Ending::Alive));
    let other = place.stage(&Altered::good().0);
    place.unload(place.load(&other).expect("another one is loaded meanwhile"));
    assert_eq!(place.loader.overview().len(), 1, "and gone before the first is");
    expect_gone(&place);
}

/// So do destructors.
#[trial]
fn destructors_block() {
    let place = Place::new();
    let artifact = verified(&place, "destructor blocks in a server");
    let Loaded { instance, mut ending, .. } = place.load(&artifact).expect("it can be loaded");
    drop(instance);
    let other = place.stage(&Altered::good().0);
    place.unload(place.load(&other).expect("another one is loaded meanwhile"));
    assert_eq!(*ending.borrow(), Ending::Alive, "and gone before the first is");
    place.run(async {
        let ended = ending.wait_for(|ending| *ending != Ending::Alive).await.unwrap().clone();
        assert!(matches!(ended, Ending::Unmapped { .. }), "{ended:?}");
    });
    place.expect_clean();
}

#[trial]
fn routes_panic() {
    let place = Place::new();
    let artifact = verified(&place, "routes panic in a server");
    let sentence = refused(&place, &artifact).to_string();
    assert!(sentence.starts_with("`routes` panicked: not here either (candidates/examples/"), "{sentence}");
    expect_gone(&place);
}

/// Verdicts may be kept on another machine's word; what the linker refuses here is told here.
#[trial]
fn undefined_symbol() {
    let place = Place::new();
    let artifact = place.stage(&Altered::candidate("undefined").0);
    let sentence = "it cannot be opened: undefined symbol: camlock_defined_nowhere";
    assert_eq!(refused(&place, &artifact).to_string(), sentence);
    expect_gone(&place);
}
