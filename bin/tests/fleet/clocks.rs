//! A fleet whose clocks are not the same: what one does is neither given up nor done once more by another.

use crate::{
    Fleet,
    tasks::{enqueue, put_there, read},
};
use camlock_testing::set_clock;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// How far each is ahead, in seconds. A server that is silent for two seconds is dead.
const AHEAD: [i64; 3] = [0, 5, -5];

#[test]
fn clocks_five_seconds_apart() {
    let fleet = Fleet::of_which(3, &[], |number, site, command| set_clock(command, &site.path(""), AHEAD[number]));
    put_there(&fleet);
    let mut ids = BTreeSet::new();
    // Some are short, and some take longer than a server may be silent.
    for milliseconds in [50, 50, 50, 4_000] {
        for node in &fleet.nodes {
            ids.extend(enqueue(&node.server, 40, &json!({ "do": "wait", "milliseconds": milliseconds })));
        }
    }
    let open = "SELECT count(*) FROM camlock.tasks WHERE type = 'CHORE' AND state NOT IN ('done', 'dead')";
    fleet.nodes[0].server.until(|_| fleet.sql(open), |open| open == "0");
    let more = "SELECT count(*) FROM camlock.tasks WHERE type = 'CHORE' AND (state <> 'done' OR attempt <> 1 OR failures <> 0)";
    assert_eq!(fleet.sql(more), "0", "each was done by its first attempt");
    // By the machine's own clock each began once, and ended.
    let mut spans = BTreeMap::<String, Vec<&str>>::new();
    let ledgers: Vec<String> = fleet.nodes.iter().map(|node| read(&node.site, "ledger")).collect();
    for line in ledgers.iter().flat_map(|ledger| ledger.lines()) {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, what, id, _] = words[..] else { continue };
        spans.entry(id.to_owned()).or_default().push(what);
    }
    for id in &ids {
        assert_eq!(spans[id], ["begun", "done"], "{id}");
    }
    assert!(ledgers.iter().all(|ledger| ledger.contains(" done ")), "all take part");
    // Each time of a schedule comes once, by the database's clock.
    let mut ticks: Vec<u64> = Vec::new();
    for node in &fleet.nodes {
        ticks.extend(
            read(&node.site, "ticks").lines().filter_map(|line| line.strip_prefix("tick ")?.parse::<u64>().ok()),
        );
    }
    ticks.sort_unstable();
    assert!(ticks.len() >= 3 && ticks.windows(2).all(|two| two[1] > two[0]), "{ticks:?}");
}
