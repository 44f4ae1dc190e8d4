//! How three nodes come to serve the same.

use crate::world::*;
use camlock_policy::registry::RegistryChange;
use camlock_policy::registry::{Proposed, Reading, Record, Rollout, RolloutState};
use camlock_store::StoreOptions;
use camlock_testing::trial;
use std::{collections::BTreeSet, time::Duration};

struct Fleet {
    one: Node,
    two: Node,
    three: Node,
}

async fn fleet(world: &World, change: impl Fn(&mut StoreOptions)) -> Fleet {
    let one = world.open_with("one", &change).await;
    one.register(&["alpha"]).await;
    Fleet { one, two: world.open_with("two", &change).await, three: world.open_with("three", &change).await }
}

async fn asked(node: &Node, sources: &str) -> Rollout {
    match node.registry.propose(proposal("alpha", sources)).await.unwrap() {
        Proposed::Asking(rollout) => *rollout,
        other => panic!("{other:?}"),
    }
}

async fn agreed_at_once(node: &Node, sources: &str) -> Record {
    match node.registry.propose(proposal("alpha", sources)).await.unwrap() {
        Proposed::Agreed(record) => *record,
        other => panic!("{other:?}"),
    }
}

async fn state(node: &Node, rollout: &Rollout) -> RolloutState {
    let reading = Reading { names: Some(BTreeSet::new()), rollouts: [rollout.id].into() };
    let found = node.registry.read(reading).await.unwrap().rollouts;
    found.into_iter().find(|found| found.id == rollout.id).unwrap().state
}

#[trial(with = crate::on_each_database)]
async fn alone(world: World) {
    let one = world.open("one").await;
    assert_eq!(one.registry.propose(proposal("alpha", "first")).await.unwrap(), Proposed::Unknown);
    one.register(&["alpha"]).await;
    let record = agreed_at_once(&one, "first").await;
    assert_eq!(record.agreed, Some(agreed("first", "1.0.0")));
    assert_eq!(one.read().await.seen["alpha"].0, "first");
    assert_eq!(agreed_at_once(&one, "first").await, record, "it is agreed on already");
    // The same bytes, of other sources.
    let mut other = proposal("alpha", "first");
    other.agreed.fingerprint = Some(camlock_policy::Fingerprint("with a comment".to_owned()));
    let Proposed::Agreed(again) = one.registry.propose(other.clone()).await.unwrap() else { panic!() };
    assert_eq!(again.agreed, Some(other.agreed));
    assert!(again.revision > record.revision);
}

#[trial(with = crate::on_each_database)]
async fn all_are_ready(world: World) {
    let Fleet { one, two, three } = fleet(&world, |_| {}).await;
    for node in [&one, &two, &three] {
        node.quiet().await;
    }
    let rollout = asked(&one, "first").await;
    let us = one.store.node();
    assert_eq!(rollout.nodes.len(), 3);
    assert_eq!((rollout.proposer.as_str(), &rollout.answers), (us, &[(us.to_owned(), Ok(()))].into()));
    assert!(rollout.left_ms.is_some_and(|left| (20_000..=30_000).contains(&left)), "{rollout:?}");
    two.until_heard(|change| *change == RegistryChange::Rollouts).await;
    let open = two.read().await.rollouts;
    assert_eq!((open[0].id, &open[0].agreed), (rollout.id, &rollout.agreed));
    assert_eq!(two.registry.answer(rollout.id, Ok(())).await.unwrap(), RolloutState::Open);
    assert_eq!(one.record("alpha").await.unwrap().agreed, None);
    assert_eq!(three.registry.answer(rollout.id, Ok(())).await.unwrap(), RolloutState::Committed);
    one.until_told("alpha").await;
    for node in [&one, &two, &three] {
        assert_eq!(node.record("alpha").await.unwrap().agreed, Some(rollout.agreed.clone()));
        assert_eq!(state(node, &rollout).await, RolloutState::Committed);
    }
    assert!(one.read().await.rollouts.is_empty(), "only open ones, unless it is asked for");
    // Answers that come late change nothing.
    let late = two.registry.answer(rollout.id, Err("no".to_owned())).await.unwrap();
    assert_eq!(late, RolloutState::Committed);
    let journal = world.sql("SELECT actor, node FROM plugin_journal WHERE what = 'agreed'");
    assert_eq!(journal, format!("filesystem|{us}"));
}

#[trial(with = crate::on_each_database)]
async fn all_at_once(world: World) {
    let Fleet { one, two, three } = fleet(&world, |_| {}).await;
    for number in 0..5 {
        let rollout = asked(&one, &format!("sources {number}")).await;
        let (two, three) =
            tokio::join!(two.registry.answer(rollout.id, Ok(())), three.registry.answer(rollout.id, Ok(())));
        let mut states = [two.unwrap(), three.unwrap()];
        states.sort_by_key(|state| *state == RolloutState::Committed);
        assert_eq!(states, [RolloutState::Open, RolloutState::Committed]);
    }
    // Three propose at the same time; one proposal is asked about, and the others wait for it.
    let (a, b, c) = tokio::join!(asked(&one, "x"), asked(&two, "y"), asked(&three, "z"));
    assert!(a.id == b.id && b.id == c.id);
}

#[trial(with = crate::on_each_database)]
async fn one_cannot(world: World) {
    let Fleet { one, two, three } = fleet(&world, |_| {}).await;
    let rollout = asked(&one, "first").await;
    let refused = two.registry.answer(rollout.id, Err("it does not verify".to_owned())).await.unwrap();
    let why = format!("{}: it does not verify", two.store.node());
    assert_eq!(refused, RolloutState::Failed(why.clone()));
    assert_eq!(three.registry.answer(rollout.id, Ok(())).await.unwrap(), RolloutState::Failed(why.clone()));
    assert_eq!(state(&one, &rollout).await, RolloutState::Failed(why));
    assert_eq!(one.record("alpha").await.unwrap().agreed, None);
    assert_eq!(world.sql("SELECT count(*) FROM plugin_journal WHERE what = 'rollout-failed'"), "1");
    // The next one is free.
    assert!(asked(&one, "second").await.id > rollout.id);
}

#[trial(with = crate::on_each_database)]
async fn one_is_silent(world: World) {
    let Fleet { one, two, three } = fleet(&world, |options| options.rollout = Duration::from_millis(400)).await;
    let rollout = asked(&one, "first").await;
    assert_eq!(two.registry.answer(rollout.id, Ok(())).await.unwrap(), RolloutState::Open);
    assert_eq!(one.registry.conclude(rollout.id).await.unwrap(), RolloutState::Open, "its time is not over");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(two.registry.conclude(rollout.id).await.unwrap(), RolloutState::Committed);
    // Who was silent takes what was committed.
    assert_eq!(three.record("alpha").await.unwrap().agreed, Some(rollout.agreed));
    assert_eq!(
        three.registry.conclude(4_711).await.unwrap(),
        RolloutState::Failed("there is no such rollout".to_owned())
    );
}

#[trial(with = crate::on_each_database)]
async fn a_newer_proposal(world: World) {
    let Fleet { one, two, three } = fleet(&world, |_| {}).await;
    let first = asked(&one, "first").await;
    // Another one's waits for it.
    assert_eq!(asked(&two, "other").await.id, first.id);
    // The same from another one is an answer.
    let same = asked(&two, "first").await;
    assert!(same.id == first.id && same.answers.contains_key(two.store.node()));
    let second = asked(&one, "second").await;
    assert!(second.id > first.id);
    let superseded = RolloutState::Failed("a newer version was proposed".to_owned());
    assert_eq!(three.registry.answer(first.id, Ok(())).await.unwrap(), superseded);
    for node in [&two, &three] {
        node.registry.answer(second.id, Ok(())).await.unwrap();
    }
    assert_eq!(one.record("alpha").await.unwrap().agreed, Some(second.agreed));
}

#[trial(with = crate::on_each_database)]
async fn something_else_meanwhile(world: World) {
    let Fleet { one, two, three } = fleet(&world, |_| {}).await;
    let rollout = asked(&one, "first").await;
    two.registry.answer(rollout.id, Ok(())).await.unwrap();
    let by_hand = agreed("by hand", "1.0.0").digest;
    world.sql(&format!("UPDATE plugins SET artifact_digest = '{by_hand}' WHERE name = 'alpha'"));
    let failed = three.registry.answer(rollout.id, Ok(())).await.unwrap();
    assert_eq!(failed, RolloutState::Failed("something else was decided meanwhile".to_owned()));
    assert_eq!(one.record("alpha").await.unwrap().agreed.unwrap().digest, by_hand);
    // Deleted: there is nothing to roll out any more.
    let rollout = asked(&one, "second").await;
    world.sql("DELETE FROM plugins WHERE name = 'alpha'");
    let gone = two.registry.answer(rollout.id, Ok(())).await.unwrap();
    assert_eq!(gone, RolloutState::Failed("the record was deleted".to_owned()));
}

#[trial(with = crate::on_each_database)]
async fn who_is_gone_is_not_asked(world: World) {
    let quick = |options: &mut StoreOptions| {
        (options.heartbeat, options.silence) = (Duration::from_millis(100), Duration::from_millis(500));
    };
    let Fleet { one, two, three } = fleet(&world, quick).await;
    // One ends in order, one dies.
    three.store.end().await;
    let left: BTreeSet<_> = [one.store.node(), two.store.node()].map(str::to_owned).into();
    assert_eq!(asked(&one, "first").await.nodes, left);
    drop(two);
    tokio::time::sleep(Duration::from_millis(600)).await;
    agreed_at_once(&one, "second").await;
    let nodes = one.store.archive().nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|node| (node.this, node.stale)).filter(|node| *node == (true, false)).count(), 1);
    assert_eq!(nodes.iter().filter(|node| node.stale).count(), 2);
}

#[trial(with = crate::on_each_database)]
async fn who_lags(world: World) {
    let Fleet { one, two, three } = fleet(&world, |_| {}).await;
    let rollout = asked(&one, "new").await;
    for node in [&two, &three] {
        node.registry.answer(rollout.id, Ok(())).await.unwrap();
    }
    one.registry.report(vec![serving("alpha", "new")]).await.unwrap();
    two.registry.report(vec![serving("alpha", "old")]).await.unwrap();
    let nodes = one.store.archive().nodes().await.unwrap();
    let of = |node: &Node| nodes.iter().find(|view| view.id == node.store.node()).unwrap();
    assert!(of(&one).this && !of(&two).this && of(&one).address == "one:80" && of(&one).version == "1.0.0");
    assert_eq!((of(&one).lags.as_slice(), of(&one).serves[0].version.as_deref()), ([].as_slice(), Some("1.0.0")));
    assert_eq!(of(&two).lags, ["alpha"]);
    assert!(of(&three).serves.is_empty());
}
