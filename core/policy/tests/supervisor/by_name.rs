//! What was installed by name is an entry of the registry: every server of a fleet serves it, wherever it was put into a directory.

use super::{
    fleet::Node,
    world::{Script, World, kept, limits},
};
use camlock_policy::{
    Act, Failure, Headline, PluginSource, Refused, Settings, Stage,
    registry::{Decision, Registry},
};
use camlock_testing::MemoryRegistry;
use std::time::Duration;

/// Longer than it takes until a directory is looked at by itself.
const LONG: Duration = Duration::from_secs(120);

fn settings() -> Settings {
    Settings { limits: limits(), ..Settings::default() }
}

fn node(registry: MemoryRegistry, known: &[(&str, Script)]) -> Node {
    let world = World::new();
    for (fingerprint, script) in known {
        world.know("hello", fingerprint, script.clone());
    }
    let server = world.start_on(&registry, settings());
    Node { world, server, registry }
}

/// So many servers with empty directories.
fn empty(names: &[&str]) -> Vec<Node> {
    let shared = MemoryRegistry::default();
    shared.gone("this");
    let all = [("a", Script::default()), ("b", Script { version: "1.1.0", ..Script::default() })];
    names.iter().map(|name| node(shared.node(name), &all)).collect()
}

impl Node {
    fn path(&self) -> Option<String> {
        self.server.manager.plugin("hello")?.path.clone()
    }

    fn built(&self) -> bool {
        self.world.taken().iter().any(|line| line.starts_with("build"))
    }

    fn noted(&self, what: &str) -> usize {
        self.registry.noted().iter().filter(|happened| happened.what == what).count()
    }

    /// It is not even known any more.
    async fn forgets(&self) {
        let mut seen = self.server.manager.watch();
        seen.wait_for(|overview| overview.plugins.is_empty()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn all_serve_it_and_who_comes_later_does() {
    let nodes = empty(&["one", "two"]);
    nodes[0].installs_by_name("a").await.unwrap();
    for node in &nodes {
        node.comes_to("a").await;
    }
    assert!(nodes[0].path().is_some() && nodes[1].path().is_none() && !nodes[1].built());
    let late = node(nodes[0].registry.node("three"), &[("a", Script::default())]);
    late.comes_to("a").await;
    // Though nobody is left in whose directory it lies, and however often theirs are looked at.
    nodes[0].server.manager.end().await;
    late.server.manager.end().await;
    let again = Node { server: late.world.start_on(&late.registry, settings()), ..late };
    again.comes_to("a").await;
    again.server.manager.look();
    tokio::time::sleep(LONG).await;
    assert_eq!(again.serves(), Some(kept("hello", "a").digest));
    assert!(!again.built());
}

#[tokio::test(start_paused = true)]
async fn it_is_updated_reloaded_and_gone_back_from_anywhere() {
    let nodes = empty(&["one", "two", "three"]);
    nodes[0].installs_by_name("a").await.unwrap();
    nodes[1].comes_to("a").await;
    nodes[1].server.reload("hello").await.unwrap();
    assert_eq!(nodes[1].serves(), Some(kept("hello", "a").digest));
    // On one in whose directory it did not lie, and does from now on.
    nodes[1].installs_by_name("b").await.unwrap();
    for node in &nodes {
        node.comes_to("b").await;
    }
    assert!(nodes[1].path().is_some() && nodes[2].path().is_none());
    // What lay where it was installed first would be an older version from now on.
    nodes[0].server.until("hello", |plugin| plugin.path.is_none()).await;
    assert!(nodes[0].world.taken().iter().any(|line| line == "move hello"));
    nodes[2].server.manager.act("hello", Act::Rollback { to: None, force: false }).await.unwrap();
    for node in &nodes {
        node.comes_to("a").await;
        node.server.manager.look();
    }
    tokio::time::sleep(LONG).await;
    assert!(nodes.iter().all(|node| node.serves() == Some(kept("hello", "a").digest)));
    assert!(nodes.iter().all(|node| node.noted("own-entry") == 0));
    nodes[2].server.manager.act("hello", Act::Enable(false)).await.unwrap();
    for node in &nodes {
        node.server.until("hello", |plugin| plugin.state == Headline::Disabled).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_serve_it_keeps_it_from_all() {
    let nodes = empty(&["one", "two"]);
    nodes[1].world.know("hello", "a", Script { start_fails: true, ..Script::default() });
    let refused = nodes[0].installs_by_name("a").await.unwrap_err();
    let Refused::Failed { failure, .. } = refused else { panic!("{refused:?}") };
    assert!(failure.reason.contains("two: start:"), "{failure}");
    assert!(nodes.iter().all(|node| node.serves().is_none()));
    let told = nodes[1].server.manager.plugin("hello").unwrap();
    assert_eq!(
        (told.state, told.reason.as_deref()),
        (Headline::Missing, Some("it was installed by name, and no version of it is agreed on yet"))
    );
    // It is taken back, and nobody knows it any more.
    nodes[0].server.manager.act("hello", Act::Remove { purge: false }).await.unwrap();
    for node in &nodes {
        node.forgets().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_that_name_counts_in_its_place_and_is_told() {
    let nodes = empty(&["one", "two"]);
    nodes[0].installs_by_name("a").await.unwrap();
    nodes[1].comes_to("a").await;
    nodes[1].world.put("hello", "b", Script { version: "1.1.0", ..Script::default() });
    nodes[1].server.manager.look();
    nodes[1].comes_to("b").await;
    assert_eq!(nodes[1].noted("own-entry"), 1);
    // As with every change of a directory, the others are asked, and what is taken out of it again is agreed on all the same.
    nodes[0].comes_to("b").await;
    nodes[1].world.remove("hello");
    nodes[1].server.manager.look();
    nodes[1].server.until("hello", |plugin| plugin.path.is_none()).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(nodes[1].serves(), Some(kept("hello", "b").digest));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_broken_leaves_what_serves_and_is_forgotten_with_it() {
    let nodes = empty(&["one", "two"]);
    nodes[0].installs_by_name("a").await.unwrap();
    nodes[1].comes_to("a").await;
    nodes[1].world.put(
        "hello",
        "c",
        Script { build_fails: Some(Failure::new(Stage::Build, "it does not compile")), ..Script::default() },
    );
    nodes[1].server.manager.look();
    nodes[1].server.until("hello", |plugin| plugin.failed.is_some()).await;
    assert_eq!(nodes[1].serves(), Some(kept("hello", "a").digest));
    nodes[1].world.remove("hello");
    nodes[1].server.manager.look();
    let whole = nodes[1].server.until("hello", |plugin| plugin.failed.is_none()).await;
    assert_eq!((whole.state, whole.path.as_deref()), (Headline::Serving, None));
}

#[tokio::test(start_paused = true)]
async fn it_is_removed_everywhere() {
    let nodes = empty(&["one", "two"]);
    for by in [1, 0] {
        nodes[0].installs_by_name("a").await.unwrap();
        nodes[1].comes_to("a").await;
        nodes[by].server.manager.act("hello", Act::Remove { purge: false }).await.unwrap();
        for node in &nodes {
            node.forgets().await;
        }
    }
    // Nothing of it comes back.
    tokio::time::sleep(LONG).await;
    assert!(nodes.iter().all(|node| node.server.manager.plugin("hello").is_none()));
}

#[tokio::test(start_paused = true)]
async fn what_lay_in_a_directory_is_that_nodes_affair_still() {
    let nodes = empty(&["one", "two"]);
    nodes[0].world.put("hello", "a", Script::default());
    nodes[0].server.manager.look();
    nodes[0].comes_to("a").await;
    tokio::time::sleep(LONG).await;
    let told = nodes[1].server.manager.plugin("hello").unwrap();
    assert_eq!((told.state, told.serving.is_none()), (Headline::Missing, true));
    // Until somebody says that it came from a catalog.
    let arrival = Some((PluginSource::Catalog("main".to_owned()), None));
    let decision = Decision { arrival, ..Decision::default() };
    nodes[0].registry.decide("hello", decision, "me".into(), None).await.unwrap();
    nodes[1].comes_to("a").await;
}

#[tokio::test(start_paused = true)]
async fn what_it_kept_goes_on_every_server_once_it_serves_no_more() {
    let nodes = empty(&["one", "two"]);
    nodes[0].installs_by_name("a").await.unwrap();
    nodes[1].comes_to("a").await;
    let lease = nodes[1].world.request("hello");
    let remove = nodes[1].server.manager.act("hello", Act::Remove { purge: true });
    let letting_go = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!nodes[1].world.taken().iter().any(|line| line.starts_with("purge")), "a request is under way");
        drop(lease);
    };
    let (removed, ()) = tokio::join!(remove, letting_go);
    removed.unwrap();
    for node in &nodes {
        node.forgets().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let purges: Vec<_> = node.world.taken().into_iter().filter(|line| line.starts_with("purge")).collect();
        assert_eq!(purges, ["purge hello", "purged hello"], "once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_again_tries_what_is_new_in_its_directory() {
    let nodes = empty(&["one", "two"]);
    nodes[0].installs_by_name("a").await.unwrap();
    nodes[1].comes_to("a").await;
    // It is told what nothing lay there, a moment later.
    tokio::time::sleep(LONG).await;
    nodes[1].server.manager.end().await;
    nodes[1].world.put("hello", "b", Script { version: "1.1.0", ..Script::default() });
    let server = nodes[1].world.start_on(&nodes[1].registry, settings());
    let again = Node { world: nodes[1].world.clone(), server, registry: nodes[1].registry.clone() };
    again.comes_to("b").await;
    nodes[0].comes_to("b").await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_over_with_what_serves_after_it() {
    let nodes = empty(&["one", "two"]);
    nodes[0].installs_by_name("a").await.unwrap();
    nodes[1].comes_to("a").await;
    nodes[1].world.know("hello", "c", Script { start_fails: true, ..Script::default() });
    nodes[0].world.know("hello", "c", Script::default());
    assert!(nodes[0].installs_by_name("c").await.is_err());
    nodes[0].installs_by_name("b").await.unwrap();
    nodes[1].comes_to("b").await;
    nodes[1].server.until("hello", |plugin| plugin.failed.is_none()).await;
}
