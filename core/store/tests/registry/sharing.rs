//! Artifacts, the right to build them, and tokens.

use crate::world::*;
use camlock_policy::{
    Digest, Fingerprint, Kept,
    registry::{Claim, Exchange, NewToken, Role},
};
use camlock_store::{Objects, SharedExchange};
use camlock_testing::trial;
use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

fn kept(sources: &str, bytes: &str) -> Kept {
    Kept {
        name: "alpha".to_owned(),
        version: "1.0.0".to_owned(),
        fingerprint: Fingerprint(sources.to_owned()),
        digest: Digest::of(bytes.as_bytes()),
        at: SystemTime::now(),
    }
}

fn file(world: &World, bytes: &str) -> Option<PathBuf> {
    let path = world.directory.path().join(format!("{}.so", Digest::of(bytes.as_bytes()).hex()));
    fs::write(&path, bytes).unwrap();
    Some(path)
}

async fn claim(node: &Node, sources: &str) -> Claim {
    node.store.exchange().claim("alpha", &Fingerprint(sources.to_owned())).await.unwrap()
}

fn right(claim: Claim) -> camlock_policy::registry::RightToBuild {
    match claim {
        Claim::Build(right) => right,
        Claim::Built(digest) => panic!("{digest} was built"),
    }
}

#[trial(with = crate::on_each_database)]
async fn one_builds_the_others_fetch(world: World) {
    let (one, two) = (world.open("one").await, world.open("two").await);
    let mut heard_after = Vec::new();
    for sources in ["sources", "others", "yet others", "and others", "the last ones"] {
        let building = right(claim(&one, sources).await);
        // Something else may be built meanwhile.
        drop(right(claim(&two, "other sources").await));
        let exchange = two.store.exchange();
        let waiting = tokio::spawn(async move { exchange.claim("alpha", &Fingerprint(sources.to_owned())).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished());
        let kept = kept(sources, "bytes");
        assert_eq!(one.store.exchange().offer(&kept, file(&world, "bytes")).await.unwrap(), kept.digest);
        let began = Instant::now();
        drop(building);
        let Claim::Built(digest) = waiting.await.unwrap().unwrap() else { panic!("it was built") };
        assert_eq!(digest, kept.digest);
        heard_after.push(began.elapsed());
    }
    // Who hears nothing of it looks after two seconds, each time.
    assert!(heard_after.iter().any(|after| *after < Duration::from_secs(1)), "{heard_after:?}");
    let digest = Digest::of(b"bytes");
    let fetched = two.store.exchange().fetch(digest).await.unwrap().unwrap();
    assert!(fetched.starts_with(world.directory.path().join("two")));
    assert_eq!(fs::read(fetched).unwrap(), b"bytes");
    assert_eq!(two.store.exchange().fetch(Digest::of(b"nowhere")).await.unwrap(), None);
    // A right is given back beside whoever dropped it.
    let deadline = Instant::now() + PATIENCE;
    while world.sql("SELECT count(*) FROM build_rights") != "0" {
        assert!(Instant::now() < deadline, "a right was not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[trial(with = crate::on_each_database)]
async fn the_first_counts(world: World) {
    let (one, two) = (world.open("one").await, world.open("two").await);
    let (first, second) = (kept("sources", "first"), kept("sources", "second"));
    let offers = [(&one, &first, "first"), (&two, &second, "second"), (&one, &first, "first")];
    for (node, kept, bytes) in offers {
        let counts = node.store.exchange().offer(kept, file(&world, bytes)).await.unwrap();
        assert_eq!(counts, first.digest);
    }
    assert_eq!(two.store.exchange().fetch(second.digest).await.unwrap(), None);
    // The same bytes of other sources are kept once, for both.
    let again = kept("other sources", "first");
    assert_eq!(two.store.exchange().offer(&again, file(&world, "first")).await.unwrap(), first.digest);
    assert_eq!(world.sql("SELECT count(*) FROM artifact_bytes"), "1");
    // As long as its bytes are to be had.
    world.sql("DELETE FROM artifact_bytes");
    drop(right(claim(&one, "sources").await));
    assert_eq!(two.store.exchange().offer(&second, file(&world, "second")).await.unwrap(), second.digest);
    assert!(matches!(claim(&one, "sources").await, Claim::Built(digest) if digest == second.digest));
    // Or elsewhere.
    let elsewhere = kept("yet others", "elsewhere");
    assert_eq!(one.store.exchange().offer(&elsewhere, None).await.unwrap(), elsewhere.digest);
    assert!(matches!(claim(&two, "yet others").await, Claim::Built(digest) if digest == elsewhere.digest));
    assert_eq!(two.store.exchange().fetch(elsewhere.digest).await.unwrap(), None);
}

/// Whoever holds a right renews it, on a connection of its own.
#[trial(with = crate::on_each_database)]
async fn a_right_is_renewed(world: World) {
    let quick = |options: &mut camlock_store::StoreOptions| options.right = Duration::from_millis(600);
    let (one, two) = (world.open_with("one", quick).await, world.open_with("two", quick).await);
    let building = right(claim(&one, "sources").await);
    let exchange = two.store.exchange();
    let waiting = tokio::spawn(async move { exchange.claim("alpha", &Fingerprint("sources".to_owned())).await });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!waiting.is_finished());
    drop(building);
    drop(right(waiting.await.unwrap().unwrap()));
}

/// A holder that stands still, its connection open, is replaced when its time is over.
#[trial(with = crate::on_each_database)]
async fn a_holder_that_stands_still(world: World) {
    let one = world.open("one").await;
    let mut holder = world.session();
    let (column, backend, until) = match world.kind {
        Kind::Sqlite => ("", "", "strftime('%Y-%m-%d %H:%M:%f', 'now', '1.5 seconds')"),
        Kind::Postgres => (", backend", ", pg_backend_pid()", "now() + interval '1.5 seconds'"),
    };
    holder.say(&format!(
        "INSERT INTO build_rights (plugin, fingerprint, node, holder, until{column}) \
         VALUES ('alpha', 'sources', 'gone', 'x', {until}{backend})"
    ));
    let began = Instant::now();
    drop(right(claim(&one, "sources").await));
    assert!(began.elapsed() > Duration::from_millis(1_000), "{:?}", began.elapsed());
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

/// A holder that died is replaced long before that, as its connection is gone. In SQLite nobody knows.
#[trial(with = crate::on_each_database)]
async fn a_holder_that_died(world: World) {
    if world.kind == Kind::Sqlite {
        return;
    }
    let long = |options: &mut camlock_store::StoreOptions| options.right = Duration::from_secs(120);
    let (one, two) = (world.open_with("one", long).await, world.open_with("two", long).await);
    let _building = right(claim(&one, "sources").await);
    let cut = "SELECT pg_terminate_backend(backend) FROM build_rights";
    assert_eq!(world.sql(cut), "t");
    let began = Instant::now();
    drop(right(claim(&two, "sources").await));
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

/// Whoever died in the middle of a build and comes back does not wait for itself.
#[trial(with = crate::on_each_database)]
async fn nobody_waits_for_itself(world: World) {
    let one = world.open("one").await;
    let id = one.store.node().to_owned();
    one.store.end().await;
    let mut other = world.session();
    let (column, backend, until) = match world.kind {
        Kind::Sqlite => ("", "", "strftime('%Y-%m-%d %H:%M:%f', 'now', '60 seconds')"),
        Kind::Postgres => (", backend", ", pg_backend_pid()", "now() + interval '60 seconds'"),
    };
    other.say(&format!(
        "INSERT INTO build_rights (plugin, fingerprint, node, holder, until{column}) \
         VALUES ('alpha', 'sources', '{id}', 'x', {until}{backend})"
    ));
    let one = world.open("one").await;
    tokio::time::timeout(Duration::from_secs(2), async { drop(right(claim(&one, "sources").await)) }).await.unwrap();
}

/// A file of SQLite that one server has for itself does not grow by what that server has anyway.
#[trial(with = crate::on_each_database)]
async fn bytes_are_for_others(world: World) {
    let one = world.open("one").await;
    let offer = async |name: &str, path| one.store.exchange().offer(&kept(name, name), path).await.unwrap();
    let shared = || world.sql("SELECT count(*) FROM artifact_bytes");
    let alone = if world.kind == Kind::Sqlite { "0" } else { "1" };
    let digest = offer("early", file(&world, "early")).await;
    assert_eq!((digest, shared()), (Digest::of(b"early"), alone.to_owned()));
    let known = "SELECT digest || size || CASE WHEN elsewhere THEN ' elsewhere' ELSE '' END FROM artifacts";
    assert_eq!(world.sql(known), format!("{digest}5"));
    assert_eq!(one.store.exchange().fetch(digest).await.unwrap().is_some(), world.kind == Kind::Postgres);

    let two = world.open("two").await;
    match (world.kind, claim(&two, "early").await) {
        (Kind::Sqlite, Claim::Build(_)) => {}
        (Kind::Postgres, Claim::Built(built)) => assert_eq!(built, digest),
        (_, claim) => panic!("{claim:?}"),
    }
    // Now there is somebody to share with.
    offer("early", file(&world, "early")).await;
    assert_eq!(shared(), "1");
    assert!(matches!(claim(&two, "early").await, Claim::Built(built) if built == digest));
    // What is there is not read again, of whatever sources: here it could not be.
    let unreadable = world.directory.path().join("unreadable");
    fs::create_dir(&unreadable).unwrap();
    offer("early", Some(unreadable.clone())).await;
    let again = Kept { fingerprint: Fingerprint("others".to_owned()), ..kept("early", "early") };
    assert_eq!(one.store.exchange().offer(&again, Some(unreadable.clone())).await.unwrap(), digest);
    assert!(matches!(claim(&two, "others").await, Claim::Built(built) if built == digest));
    let error = one.store.exchange().offer(&kept("new", "new"), Some(unreadable)).await.unwrap_err();
    assert!(error.to_string().contains("unreadable cannot be offered: "), "{error}");

    // Nobody has heard of the other one for long.
    let id = two.store.node().to_owned();
    two.store.end().await;
    offer("late", file(&world, "late")).await;
    assert_eq!(shared(), "2");
    let (then, sooner) = match world.kind {
        Kind::Sqlite => ("datetime('now', '-31 days')", "datetime('now', '-29 days')"),
        Kind::Postgres => ("now() - interval '31 days'", "now() - interval '29 days'"),
    };
    for (heard, name, count) in [(sooner, "29 days", 3), (then, "31 days", if alone == "0" { 3 } else { 4 })] {
        world.sql(&format!("UPDATE nodes SET heard_at = {heard} WHERE id = '{id}'"));
        offer(name, file(&world, name)).await;
        assert_eq!(shared(), count.to_string(), "{name}");
    }
}

#[trial(with = crate::on_each_database)]
async fn the_oldest_bytes_go(world: World) {
    let (one, _two) = (world.open("one").await, world.open("two").await);
    one.register(&["alpha"]).await;
    // The first one serves. It is said before the others come: either server may delete what is old at any time.
    let served = Digest::of(b"bytes 0");
    world.sql(&format!("UPDATE plugins SET artifact_digest = '{served}' WHERE name = 'alpha'"));
    for number in 0..8 {
        let bytes = format!("bytes {number}");
        let kept = kept(&format!("sources {number}"), &bytes);
        one.store.exchange().offer(&kept, file(&world, &bytes)).await.unwrap();
    }
    one.store.end().await;
    let one = world.open("one").await;
    let began = Instant::now();
    while world.sql("SELECT count(*) FROM artifact_bytes") != "6" {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let to_be_had = |bytes: &'static str| one.store.exchange().fetch(Digest::of(bytes.as_bytes()));
    assert!(to_be_had("bytes 0").await.unwrap().is_some() && to_be_had("bytes 3").await.unwrap().is_some());
    assert!(to_be_had("bytes 2").await.unwrap().is_none());
    drop(right(claim(&one, "sources 2").await));
}

/// Bytes that were deleted where they were shared come back from the server that still has them.
#[trial(with = crate::on_each_database)]
async fn lost_bytes_are_offered_again(world: World) {
    let (mut one, two) = (world.open("one").await, world.open("two").await);
    let kept = kept("sources", "bytes");
    let path = file(&world, "bytes");
    one.store.exchange().offer(&kept, path.clone()).await.unwrap();
    world.sql("DELETE FROM artifact_bytes");
    let exchange = one.store.exchange();
    one.store.answer_requests(exchange, move |digest| path.clone().filter(|_| digest == kept.digest));
    let fetched = two.store.exchange().fetch(kept.digest).await.unwrap().expect("it is offered again");
    assert_eq!(fs::read(fetched).unwrap(), b"bytes");
    assert_eq!(world.sql("SELECT count(*) FROM artifacts WHERE requested_at IS NOT NULL"), "0");
    assert!(matches!(claim(&two, "sources").await, Claim::Built(digest) if digest == kept.digest));
}

/// A request that nobody can answer ends soon, and whoever can answer it later does so when it comes.
#[trial(with = crate::on_each_database)]
async fn a_request_stays_until_it_is_answered(world: World) {
    let short = |options: &mut camlock_store::StoreOptions| options.request = Duration::from_millis(300);
    let (one, two) = (world.open("one").await, world.open_with("two", short).await);
    let kept = kept("sources", "bytes");
    one.store.exchange().offer(&kept, file(&world, "bytes")).await.unwrap();
    world.sql("DELETE FROM artifact_bytes");
    assert_eq!(two.store.exchange().fetch(kept.digest).await.unwrap(), None);
    let open = "SELECT digest FROM artifacts WHERE requested_at IS NOT NULL";
    assert_eq!(world.sql(open), kept.digest.to_string());

    // Bytes that are not what they were help nobody, and are not shared.
    let rotten = one.store.exchange().offer(&kept, file(&world, "other bytes")).await.unwrap_err();
    assert!(rotten.to_string().ends_with("cannot be offered: its bytes are not what they were"), "{rotten}");
    assert_eq!(world.sql(open), kept.digest.to_string());

    let mut three = world.open("three").await;
    let (exchange, path) = (three.store.exchange(), file(&world, "bytes"));
    three.store.answer_requests(exchange, move |_| path.clone());
    let deadline = Instant::now() + PATIENCE;
    while !world.sql(open).is_empty() {
        assert!(Instant::now() < deadline, "it was never offered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(two.store.exchange().fetch(kept.digest).await.unwrap().is_some());
}

/// The same where an object store lost them.
#[trial(with = crate::on_each_database)]
async fn what_the_object_store_lost_is_offered_again(world: World) {
    let (mut one, two) = (world.open("one").await, world.open("two").await);
    let shared = world.directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    let exchange = |node: &Node, name: &str| -> Arc<dyn Exchange> {
        let objects = Objects::open(&format!("file://{}", shared.display()), []).unwrap();
        let fetched = world.directory.path().join(name).join("fetched");
        Arc::new(SharedExchange::new(node.store.exchange(), Arc::new(objects), fetched))
    };
    let (ones, twos) = (exchange(&one, "one"), exchange(&two, "two"));
    let kept = kept("sources", "bytes");
    let path = file(&world, "bytes");
    ones.offer(&kept, path.clone()).await.unwrap();
    one.store.answer_requests(ones, move |digest| path.clone().filter(|_| digest == kept.digest));
    let objects = || fs::read_dir(shared.join("sha256")).map_or(0, Iterator::count);
    assert_eq!(objects(), 1);
    fs::remove_dir_all(shared.join("sha256")).unwrap();
    let fetched = twos.fetch(kept.digest).await.unwrap().expect("it is offered again");
    assert_eq!(fs::read(fetched).unwrap(), b"bytes");
    assert_eq!(objects(), 1);
    // Its bytes are on record as before: in the object store alone.
    let known = "SELECT count(*) FROM artifacts WHERE elsewhere AND requested_at IS NULL";
    assert_eq!((world.sql(known), world.sql("SELECT count(*) FROM artifact_bytes")), ("1".to_owned(), "0".to_owned()));
}

#[trial(with = crate::on_each_database)]
async fn tokens(world: World) {
    let (one, two) = (world.open("one").await, world.open("two").await);
    let token = |name: &str, secret: &str, expires| NewToken {
        name: name.to_owned(),
        role: Role::Operator,
        hash: Digest::of(secret.as_bytes()),
        expires,
    };
    let tokens = one.store.tokens();
    let create = |token| tokens.create(token, "tester".into());
    let soon = SystemTime::now() + Duration::from_secs(3_600);
    let made = create(token("ci", "secret", Some(soon))).await.unwrap().unwrap();
    assert_eq!(
        (made.name.as_str(), made.role, made.hash, made.revoked),
        ("ci", Role::Operator, Digest::of(b"secret"), None)
    );
    let expires = made.expires.unwrap();
    let apart = expires.duration_since(soon).or_else(|error| Ok::<_, ()>(error.duration())).unwrap();
    assert!(apart < Duration::from_millis(2), "{apart:?}");
    assert_eq!(one.store.tokens().known(), std::slice::from_ref(&made));
    assert_eq!(create(token("ci", "another", None)).await.unwrap(), None, "the name is taken");
    let known = |node: &Node, what: &'static str| {
        let tokens = node.store.tokens();
        async move {
            let began = Instant::now();
            while !match what {
                "there" => tokens.known().len() == 1,
                "revoked" => tokens.known().iter().all(|token| token.revoked.is_some()),
                _ => tokens.known().is_empty(),
            } {
                assert!(began.elapsed() < PATIENCE, "{what}");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    known(&two, "there").await;
    assert_eq!(two.store.tokens().known(), std::slice::from_ref(&made));
    assert!(one.store.tokens().revoke(made.id, "tester".into()).await.unwrap());
    assert!(!one.store.tokens().revoke(made.id, "tester".into()).await.unwrap());
    known(&two, "revoked").await;
    // The name is free again; and when one expires, too.
    let past = Some(SystemTime::now() - Duration::from_secs(1));
    let expired = create(token("ci", "short", past)).await.unwrap().unwrap();
    assert!(create(token("ci", "next", None)).await.unwrap().unwrap().id > expired.id);
    let journal = world.sql("SELECT what FROM plugin_journal WHERE plugin IS NULL ORDER BY id");
    assert_eq!(journal, "token-created\ntoken-revoked\ntoken-created\ntoken-created");
    assert!(!world.sql("SELECT * FROM api_tokens").contains("secret"));
    // Who starts anew knows them before anybody asks.
    assert_eq!(world.open("three").await.store.tokens().known().len(), 3);
    world.sql("DELETE FROM api_tokens");
    known(&two, "gone").await;
}
