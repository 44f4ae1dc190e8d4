//! Several servers, each with a directory of its own, on one record.

use super::world::{Script, Server, World, kept, limits};
use camlock_policy::{
    Act, Digest, Done, Headline, Installation, Order, PluginSource, Refused, Settings, Source,
    registry::{Actor, Decision, Registry},
};
use camlock_testing::MemoryRegistry;
use std::time::Duration;

/// A server of a fleet, with a world of its own.
pub(super) struct Node {
    pub(super) world: World,
    pub(super) server: Server,
    pub(super) registry: MemoryRegistry,
}

async fn fleet(names: &[&str]) -> Vec<Node> {
    fleet_with(names, Settings { limits: limits(), ..Settings::default() }).await
}

/// So many servers that all serve `hello`, fingerprint `a`.
pub(super) async fn fleet_with(names: &[&str], settings: Settings) -> Vec<Node> {
    let shared = MemoryRegistry::default();
    shared.gone("this");
    let mut nodes = Vec::new();
    for name in names {
        let (world, registry) = (World::new(), shared.node(name));
        world.put("hello", "a", Script::default());
        let server = world.start_on(&registry, settings.clone());
        server.serves("hello", 1).await;
        nodes.push(Node { world, server, registry });
    }
    nodes
}

impl Node {
    /// Installs `hello` from a catalog on this server.
    pub(super) async fn installs_by_name(&self, fingerprint: &str) -> Result<Done, Refused> {
        let installation = Installation {
            source: Source::Path(format!("hello:{fingerprint}").into()),
            name: None,
            replace: true,
            origin: PluginSource::Catalog("main".to_owned()),
            grants: None,
            by: Actor::from("me"),
            held: None,
        };
        let placement = self.server.manager.install(installation).await.unwrap();
        placement.outcome.await.unwrap()
    }

    pub(super) async fn comes_to(&self, fingerprint: &str) {
        let digest = kept("hello", fingerprint).digest;
        self.server
            .until("hello", |plugin| plugin.serving.as_ref().is_some_and(|it| it.artifact == Some(digest)))
            .await;
    }

    pub(super) fn serves(&self) -> Option<Digest> {
        self.server.manager.plugin("hello")?.serving.as_ref()?.artifact
    }
}

#[tokio::test(start_paused = true)]
async fn all_swap_to_what_one_proposes() {
    let nodes = fleet(&["one", "two", "three"]).await;
    for node in &nodes[1..] {
        node.world.know("hello", "b", Script { verify: Duration::from_secs(2), ..Script::default() });
    }
    nodes[0].world.put("hello", "b", Script::default());
    nodes[0].server.manager.look();
    nodes[0].world.logged("start hello:b 2").await;
    // It is ready, and waits for the others.
    assert_eq!(nodes[0].serves(), Some(kept("hello", "a").digest));
    for node in &nodes {
        node.comes_to("b").await;
    }
    // The others built nothing, and keep to what was agreed on although their directories have the old one.
    for node in &nodes[1..] {
        assert!(!node.world.taken().iter().any(|line| line.starts_with("build hello:b")));
        node.server.manager.look();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(nodes.iter().all(|node| node.serves() == Some(kept("hello", "b").digest)));
    // The one whose directory changes next proposes next.
    for node in [&nodes[0], &nodes[2]] {
        node.world.know("hello", "c", Script::default());
    }
    nodes[1].world.put("hello", "c", Script::default());
    nodes[1].comes_to("c").await;
    for node in &nodes {
        node.comes_to("c").await;
    }
}

/// A server had the bytes, and was told to serve them before it had noted what they came of.
#[tokio::test(start_paused = true)]
async fn what_lay_there_without_a_record_may_be_gone_back_to() {
    let nodes = fleet(&["one", "two"]).await;
    for fingerprint in ["b", "c"] {
        nodes[1].world.know("hello", fingerprint, Script::default());
        nodes[0].world.put("hello", fingerprint, Script::default());
        for node in &nodes {
            node.comes_to(fingerprint).await;
        }
    }
    let act = Act::Rollback { to: None, force: false };
    nodes[1].server.manager.act("hello", act).await.unwrap();
    for node in &nodes {
        node.comes_to("b").await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_makes_it_fail_for_all() {
    let nodes = fleet(&["one", "two", "three"]).await;
    nodes[1].world.know("hello", "b", Script::default());
    nodes[2].world.know("hello", "b", Script { start_fails: true, ..Script::default() });
    nodes[0].world.put("hello", "b", Script::default());
    let view = nodes[0].server.until("hello", |plugin| plugin.failed.is_some()).await;
    let reason = &view.failed.as_ref().unwrap().reason;
    assert!(
        reason.starts_with("version 1.0.0 was not agreed on, and nobody swapped: three: start: `start` failed"),
        "{reason}"
    );
    for node in &nodes {
        assert_eq!(node.serves(), Some(kept("hello", "a").digest));
        node.server.until("hello", |plugin| plugin.candidate.is_none() && plugin.draining.is_empty()).await;
    }
    // Mended, it comes.
    for node in &nodes[1..] {
        node.world.know("hello", "c", Script::default());
    }
    nodes[0].world.put("hello", "c", Script::default());
    for node in &nodes {
        node.comes_to("c").await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_waited_for_until_the_deadline() {
    let nodes = fleet(&["one", "two", "three"]).await;
    nodes[1].world.know("hello", "b", Script::default());
    nodes[2].world.know("hello", "b", Script { verify: Duration::from_secs(3600), ..Script::default() });
    let began = tokio::time::Instant::now();
    nodes[0].world.put("hello", "b", Script::default());
    nodes[0].comes_to("b").await;
    nodes[1].comes_to("b").await;
    assert!((30..40).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    // It takes what was agreed on when it can.
    nodes[2].comes_to("b").await;
}

#[tokio::test(start_paused = true)]
async fn going_back_is_the_same_act() {
    let nodes = fleet(&["one", "two"]).await;
    nodes[1].world.know("hello", "b", Script::default());
    nodes[0].world.put("hello", "b", Script::default());
    for node in &nodes {
        node.comes_to("b").await;
    }
    let order = Order {
        plugin: "hello".into(),
        act: Act::Rollback { to: None, force: false },
        by: "me".into(),
        revision: None,
    };
    nodes[0].server.manager.order(order).await.unwrap();
    for node in &nodes {
        node.comes_to("a").await;
    }
    // Bad health is an operator too.
    nodes[0].world.put("hello", "c", Script::default());
    nodes[1].world.know("hello", "c", Script::default());
    for node in &nodes {
        node.comes_to("c").await;
    }
    nodes[1].world.rewrite("hello", "c", |script| script.panics = 3);
    for node in &nodes {
        node.comes_to("a").await;
    }
    assert!(nodes[0].registry.record("hello").unwrap().quarantine.contains_key(&kept("hello", "c").digest));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_lacks_it_is_that_nodes_affair() {
    let nodes = fleet(&["one", "two"]).await;
    nodes[1].world.remove("hello");
    nodes[1].server.until("hello", |plugin| plugin.state == Headline::Missing).await;
    nodes[0].world.put("hello", "b", Script::default());
    nodes[0].comes_to("b").await;
    // It comes back with the old one, and serves what was agreed on.
    nodes[1].world.know("hello", "b", Script::default());
    nodes[1].world.put("hello", "a", Script::default());
    nodes[1].comes_to("b").await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_takes_what_was_agreed_on() {
    let nodes = fleet(&["one"]).await;
    nodes[0].world.put("hello", "b", Script::default());
    nodes[0].comes_to("b").await;
    let (world, registry) = (World::new(), nodes[0].registry.node("two"));
    world.put("hello", "older", Script::default());
    world.know("hello", "b", Script::default());
    let server = world.start_on(&registry, Settings { limits: limits(), ..Settings::default() });
    let late = Node { world, server, registry };
    late.comes_to("b").await;
    assert!(!late.world.taken().iter().any(|line| line.starts_with("build")));
    assert_eq!(nodes[0].serves(), Some(kept("hello", "b").digest));
}

#[tokio::test(start_paused = true)]
async fn all_obey_a_toggle_and_a_reload() {
    let nodes = fleet(&["one", "two"]).await;
    let off = Decision { enabled: Some(false), ..Decision::default() };
    nodes[1].registry.decide("hello", off, "somebody".into(), None).await.unwrap();
    for node in &nodes {
        node.server.until("hello", |plugin| plugin.state == Headline::Disabled).await;
    }
    nodes[0].server.manager.act("hello", Act::Enable(true)).await.unwrap();
    for node in &nodes {
        node.server.serves("hello", 2).await;
    }
    nodes[0].server.reload("hello").await.unwrap();
    for node in &nodes {
        node.server.serves("hello", 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_builds_what_changed_everywhere() {
    let nodes = fleet(&["one", "two", "three"]).await;
    for node in &nodes {
        node.world.put("hello", "b", Script { build: Duration::from_secs(5), ..Script::default() });
    }
    for node in &nodes {
        node.comes_to("b").await;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(nodes.iter().all(|node| node.serves() == Some(kept("hello", "b").digest)));
}
