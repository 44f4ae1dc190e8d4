use super::*;
use camlock_policy::{Digest, Fingerprint, registry::Agreed};
use camlock_testing::MemoryRegistry as Real;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use tokio::sync::oneshot;

const NAME: &str = "postgres://db.example.org/camlock";

struct DataDirectory {
    dir: tempfile::TempDir,
}

impl DataDirectory {
    fn new() -> Self {
        DataDirectory { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("last-known.json")
    }

    async fn before(&self, real: &Real) -> LastKnown {
        LastKnown::before(Arc::new(real.clone()), NAME, self.file()).await
    }

    fn content(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file()).unwrap()).unwrap()
    }

    /// The names on file, and whether each is wanted.
    fn on_file(&self) -> Vec<(String, bool)> {
        let content = self.content();
        let records = content["records"].as_array().unwrap().iter();
        records.map(|record| (record["name"].as_str().unwrap().to_owned(), record["enabled"] == true)).collect()
    }
}

fn newcomer(name: &str) -> Newcomer {
    Newcomer {
        name: name.to_owned(),
        built_in: false,
        path: name.to_owned(),
        enabled: true,
        source: camlock_policy::PluginSource::Directory,
        grants: None,
    }
}

fn disabled() -> Decision {
    Decision { enabled: Some(false), ..Decision::default() }
}

fn proposal(plugin: &str, bytes: &str) -> Proposal {
    let fingerprint = Fingerprint(format!("of {bytes}"));
    let agreed = Agreed {
        fingerprint: Some(fingerprint.clone()),
        digest: Digest::of(bytes.as_bytes()),
        version: "0.1.0".to_owned(),
    };
    Proposal { plugin: plugin.to_owned(), agreed, by: "filesystem".into(), seen: Some(fingerprint) }
}

async fn all(registry: &dyn Registry) -> Result<Snapshot, Unavailable> {
    registry.read(Reading::default()).await
}

async fn some(registry: &dyn Registry, name: &str) -> Result<Snapshot, Unavailable> {
    registry.read(Reading { names: Some([name.to_owned()].into()), ..Reading::default() }).await
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.records.iter().map(|record| record.name.as_str()).collect()
}

/// A registry that knew `kept` and `off`, and a process that kept that; both are gone.
async fn an_earlier_run(place: &DataDirectory) -> Real {
    let real = Real::default();
    let registry = place.before(&real).await;
    registry.register(vec![newcomer("kept"), newcomer("off")]).await.unwrap();
    registry.decide("off", disabled(), "ana".into(), None).await.unwrap();
    registry.propose(proposal("kept", "one")).await.unwrap();
    registry.written().await;
    real
}

#[tokio::test(start_paused = true)]
async fn without_the_registry_what_was_last_known_holds_until_it_is_back() {
    let place = DataDirectory::new();
    let real = an_earlier_run(&place).await;
    let truth = all(&real).await.unwrap();
    real.break_down(Some("the registry at db.example.org does not answer"));

    let registry = place.before(&real).await;
    let told = all(&registry).await.unwrap();
    let why = "the registry at db.example.org does not answer; until then what was last known holds";
    assert_eq!(told, Snapshot { stale: Some(why.to_owned()), ..truth });
    assert_eq!(names(&some(&registry, "off").await.unwrap()), ["off"]);
    assert_eq!(names(&some(&registry, "never-seen").await.unwrap()), Vec::<&str>::new());
    // Nothing is decided without it.
    let refused = registry.decide("off", disabled(), "ana".into(), None).await;
    assert!(matches!(refused, Err(NotDecided::Unavailable(_))), "{refused:?}");

    real.break_down(None);
    real.decide("kept", disabled(), "ana".into(), None).await.unwrap();
    let back = all(&registry).await.unwrap();
    assert_eq!((back.stale, back.records[0].enabled), (None, false));
    // From now on it is asked alone.
    real.break_down(Some("gone again"));
    assert_eq!(all(&registry).await, Err(Unavailable("gone again".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn whatever_passes_is_learnt() {
    let place = DataDirectory::new();
    let real = Real::default();
    let registry = place.before(&real).await;
    registry.register(vec![newcomer("one"), newcomer("two")]).await.unwrap();
    registry.written().await;
    assert_eq!(place.on_file(), [("one".to_owned(), true), ("two".to_owned(), true)]);

    registry.decide("one", disabled(), "ana".into(), None).await.unwrap();
    registry.written().await;
    assert_eq!(place.on_file(), [("one".to_owned(), false), ("two".to_owned(), true)]);

    registry.propose(proposal("two", "bytes")).await.unwrap();
    registry.written().await;
    let content = place.content();
    assert_eq!(content["records"][1]["agreed"]["digest"], json!(Digest::of(b"bytes")));
    assert_eq!(content["seen"], json!({ "two": "of bytes" }));
    assert_eq!((&content["version"], &content["registry"]), (&json!(1), &json!(NAME)));

    let served = Served {
        plugin: "one".to_owned(),
        state: camlock_policy::Headline::Disabled,
        reason: None,
        generation: None,
        artifact: None,
        version: None,
        seen: Some(Fingerprint("reported".to_owned())),
        revision: 3,
        endpoints: None,
    };
    registry.report(vec![served]).await.unwrap();
    registry.written().await;
    assert_eq!(place.content()["seen"], json!({ "one": "reported", "two": "of bytes" }));

    // What others do is learnt by reading: of one, and of all.
    real.delete("one");
    real.register(vec![newcomer("three")]).await.unwrap();
    some(&registry, "one").await.unwrap();
    registry.written().await;
    assert_eq!(place.on_file(), [("two".to_owned(), true)]);
    all(&registry).await.unwrap();
    registry.written().await;
    assert_eq!(place.on_file(), [("three".to_owned(), true), ("two".to_owned(), true)]);
    assert_eq!(fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_others_are_asked_about_is_no_record_yet() {
    let place = DataDirectory::new();
    let real = Real::default();
    let _other = real.node("other");
    let registry = place.before(&real).await;
    registry.register(vec![newcomer("one")]).await.unwrap();
    assert!(matches!(registry.propose(proposal("one", "bytes")).await, Ok(Proposed::Asking(_))));
    assert_eq!(registry.propose(proposal("nobody", "bytes")).await, Ok(Proposed::Unknown));
    registry.written().await;
    assert_eq!(place.content()["records"][0]["agreed"], Value::Null);
    assert_eq!(place.content()["seen"], json!({ "one": "of bytes" }));
}

/// The file's inode: each writing makes another one.
fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

#[tokio::test(start_paused = true)]
async fn it_is_written_once_for_what_changes_at_once_and_not_at_all_for_what_stays() {
    let place = DataDirectory::new();
    let real = Real::default();
    let registry = place.before(&real).await;
    let many: Vec<_> = (0..1000).map(|number| newcomer(&format!("plugin-{number}"))).collect();
    registry.register(many).await.unwrap();
    sleep(Duration::from_millis(900)).await;
    assert!(!place.file().exists(), "more may come");
    registry.decide("plugin-1", disabled(), "ana".into(), None).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    registry.written().await;
    let first = inode(&place.file());
    assert_eq!(place.on_file().iter().filter(|(_, enabled)| !enabled).count(), 1);

    // Nothing new in any of this.
    all(&registry).await.unwrap();
    some(&registry, "plugin-1").await.unwrap();
    registry.register(vec![newcomer("plugin-1")]).await.unwrap();
    registry.decide("plugin-1", disabled(), "ana".into(), None).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(inode(&place.file()), first);
    // Nor after a start that finds all as it was.
    drop(registry);
    let registry = place.before(&real).await;
    all(&registry).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(inode(&place.file()), first);
}

#[tokio::test(start_paused = true)]
async fn the_last_change_is_written_after_the_registry_was_let_go() {
    let place = DataDirectory::new();
    let registry = place.before(&Real::default()).await;
    registry.register(vec![newcomer("late")]).await.unwrap();
    drop(registry);
    sleep(Duration::from_secs(2)).await;
    // Writing is not in the paused clock's time.
    while !place.file().exists() {
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
    }
    assert_eq!(place.on_file(), [("late".to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_used_is_as_if_there_were_none_and_is_told() {
    let place = DataDirectory::new();
    let real = an_earlier_run(&place).await;
    let good = fs::read_to_string(place.file()).unwrap();
    let file = place.file().display().to_string();
    let cases = [
        (None, format!("there is no {file}")),
        (Some(String::new()), format!("{file} is damaged")),
        (Some(good[..good.len() / 2].to_owned()), format!("{file} is damaged")),
        (Some("\0".repeat(good.len())), format!("{file} is damaged")),
        (Some(good.replace("\"enabled\"", "\"enobled\"")), format!("{file} is damaged")),
        (
            Some(good.replace("\"version\":1", "\"version\":2")),
            format!("{file} was written by another version of Camlock (its form is 2, not 1)"),
        ),
        (
            Some(good.replace("db.example.org", "elsewhere.example.org")),
            format!("{file} is about another registry, postgres://elsewhere.example.org/camlock"),
        ),
    ];
    for (content, why) in cases {
        match &content {
            Some(content) => fs::write(place.file(), content).unwrap(),
            None => fs::remove_file(place.file()).unwrap(),
        }
        real.break_down(Some("no answer"));
        let registry = place.before(&real).await;
        let told = all(&registry).await.unwrap_err().to_string();
        assert_eq!(told, format!("no answer; and nothing is known from before: {why}"));
        assert_eq!(fs::read_to_string(place.file()).ok(), content, "it is left as it is until there is a better one");
        // What is read takes its place.
        real.break_down(None);
        all(&registry).await.unwrap();
        registry.written().await;
        assert_eq!(fs::read_to_string(place.file()).unwrap(), good);
    }
    fs::remove_file(place.file()).unwrap();
    fs::create_dir(place.file()).unwrap();
    real.break_down(Some("no answer"));
    let told = all(&place.before(&real).await).await.unwrap_err().to_string();
    assert_eq!(told, format!("no answer; and nothing is known from before: {file} cannot be read: is a directory"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_written_is_tried_again() {
    let place = DataDirectory::new();
    // In its way lies a directory with something in it.
    fs::create_dir(place.file()).unwrap();
    fs::write(place.file().join("in-the-way"), "").unwrap();
    let real = Real::default();
    let registry = place.before(&real).await;
    registry.register(vec![newcomer("one")]).await.unwrap();
    registry.written().await;
    assert!(place.file().is_dir());
    assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 1, "nothing is left lying about");
    // The registry serves nevertheless.
    assert_eq!(names(&all(&registry).await.unwrap()), ["one"]);

    fs::remove_dir_all(place.file()).unwrap();
    sleep(AGAIN + Duration::from_millis(1)).await;
    while !place.file().exists() {
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
    }
    assert_eq!(place.on_file(), [("one".to_owned(), true)]);
}

/// A registry of which each reading is answered when, and as, the test says.
#[derive(Default)]
struct Slow(Mutex<Vec<oneshot::Sender<Snapshot>>>);

impl Registry for Slow {
    fn this_node(&self) -> String {
        "slow".to_owned()
    }

    fn read(&self, _: Reading) -> BoxFuture<Result<Snapshot, Unavailable>> {
        let (answer, answered) = oneshot::channel();
        self.0.lock().unwrap().push(answer);
        Box::pin(async move { answered.await.map_err(|_| Unavailable("no answer".to_owned())) })
    }

    fn register(&self, newcomers: Vec<Newcomer>) -> BoxFuture<Result<Vec<Record>, Unavailable>> {
        let records = newcomers.iter().map(|newcomer| Record::of(newcomer, 9, 9)).collect();
        Box::pin(std::future::ready(Ok(records)))
    }

    fn decide(&self, name: &str, _: Decision, _: Actor, _: Option<u64>) -> BoxFuture<Result<Record, NotDecided>> {
        let record = Record { enabled: false, ..Record::of(&newcomer(name), 10, 1) };
        Box::pin(std::future::ready(Ok(record)))
    }

    fn propose(&self, _: Proposal) -> BoxFuture<Result<Proposed, Unavailable>> {
        unreachable!("nothing is proposed")
    }

    fn answer(&self, _: RolloutId, _: Result<(), String>) -> BoxFuture<Result<RolloutState, Unavailable>> {
        unreachable!("nothing is answered")
    }

    fn conclude(&self, _: RolloutId) -> BoxFuture<Result<RolloutState, Unavailable>> {
        unreachable!("nothing is concluded")
    }

    fn report(&self, _: Vec<Served>) -> BoxFuture<Result<(), Unavailable>> {
        unreachable!("nothing is reported")
    }

    fn note(&self, _: Happened) {}
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_late_undoes_nothing() {
    let place = DataDirectory::new();
    let slow = Arc::new(Slow::default());
    let registry = LastKnown::before(slow.clone(), NAME, place.file()).await;
    let answer = |snapshot| slow.0.lock().unwrap().remove(0).send(snapshot).unwrap();
    let old = Snapshot { records: vec![Record::of(&newcomer("old"), 5, 1)], ..Snapshot::default() };

    let reading = registry.read(Reading::default());
    registry.decide("old", disabled(), "ana".into(), None).await.unwrap();
    registry.register(vec![newcomer("made-meanwhile")]).await.unwrap();
    answer(old.clone());
    reading.await.unwrap();
    registry.written().await;
    assert_eq!(place.on_file(), [("made-meanwhile".to_owned(), true), ("old".to_owned(), false)]);

    // A registry that was put back to an earlier state is believed.
    let reading = registry.read(Reading::default());
    answer(old);
    reading.await.unwrap();
    registry.written().await;
    assert_eq!(place.on_file(), [("old".to_owned(), true)]);

    // What is old itself teaches nothing.
    let reading = registry.read(Reading::default());
    answer(Snapshot { stale: Some("long ago".to_owned()), ..Snapshot::default() });
    reading.await.unwrap();
    registry.written().await;
    assert_eq!(place.on_file(), [("old".to_owned(), true)]);
}
