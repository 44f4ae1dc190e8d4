//! Handlers that block threads, for whoever looks at a list on which all seems well. Pure.

use super::{counted, plain};
use camlock_api::ServerHealth;
use std::collections::BTreeMap;

/// A line for each plugin that blocks threads; none if no plugin does.
pub(crate) fn blocking(health: &ServerHealth) -> Option<String> {
    let mut by_plugin: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for handler in health.blocked.iter().flatten() {
        let (threads, longest) = by_plugin.entry(&handler.plugin).or_default();
        *threads += 1;
        *longest = longest.max(handler.seconds);
    }
    let all = (health.status == "blocked").then(|| "no serving thread is left for others: requests wait".to_owned());
    let each = by_plugin.into_iter().map(|(plugin, (threads, longest))| {
        let threads = counted(threads, "thread");
        format!("{} blocks {threads}, for {longest:.0} s by now: `camlock doctor` says where", plain(plugin))
    });
    let lines: Vec<_> = all.into_iter().chain(each).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_api::BlockedHandler;

    fn handler(plugin: &str, seconds: f64) -> BlockedHandler {
        BlockedHandler { plugin: plugin.into(), generation: 1, method: "GET".into(), route: "/loop".into(), seconds }
    }

    #[test]
    fn each_plugin_is_named_once() {
        let mut health = ServerHealth { status: "ok".into(), ..ServerHealth::default() };
        assert_eq!(blocking(&health), None);
        health.blocked = Some(vec![handler("two", 3.0), handler("one", 2.0), handler("two", 40.4)]);
        let each = "one blocks 1 thread, for 2 s by now: `camlock doctor` says where\n\
                    two blocks 2 threads, for 40 s by now: `camlock doctor` says where";
        assert_eq!(blocking(&health).as_deref(), Some(each));
        health.status = "blocked".into();
        let all = format!("no serving thread is left for others: requests wait\n{each}");
        assert_eq!(blocking(&health), Some(all));
    }
}
