//! The supervisor's port.

use crate::{
    Trouble,
    connection::{Value, places},
    database::{Word, Work},
    record::count,
    secrets,
    shared::StoreCore,
    words::Words,
};
use camlock_policy::{
    BoxFuture, Fingerprint, Grants, PluginSource,
    registry::{
        Actor, Decision, Happened, Newcomer, NotDecided, Proposal, Proposed, Reading, Record, Registry, RolloutId,
        RolloutState, Served, Snapshot, Unavailable,
    },
};
use diesel::{QueryableByName, sql_types::Text};
use std::collections::{BTreeMap, BTreeSet};

/// So many rows are written by one statement.
const AT_ONCE: usize = 500;

impl Registry for StoreCore {
    fn this_node(&self) -> String {
        self.node().to_owned()
    }

    fn read(&self, reading: Reading) -> BoxFuture<Result<Snapshot, Unavailable>> {
        let this = self.clone();
        self.database.within(async move {
            let mut work = this.database.read().await?;
            let records = this.records(&mut work, reading.names.as_ref()).await?;
            let rollouts = this.rollouts(&mut work, &reading.rollouts).await?;
            let seen = this.seen(&mut work).await?;
            work.commit().await?;
            Ok(Snapshot { records, rollouts, seen, stale: None })
        })
    }

    fn register(&self, newcomers: Vec<Newcomer>) -> BoxFuture<Result<Vec<Record>, Unavailable>> {
        let this = self.clone();
        self.database.within(async move {
            let mut work = this.database.act(Actor::Filesystem.as_str(), this.node()).await?;
            for newcomers in newcomers.chunks(AT_ONCE) {
                enter(&mut work, newcomers).await?;
            }
            let names = newcomers.into_iter().map(|newcomer| newcomer.name).collect();
            let records = this.records(&mut work, Some(&names)).await?;
            work.commit().await?;
            Ok(records)
        })
    }

    fn decide(
        &self,
        name: &str,
        decision: Decision,
        by: Actor,
        revision: Option<u64>,
    ) -> BoxFuture<Result<Record, NotDecided>> {
        let (this, name) = (self.clone(), name.to_owned());
        let decided = self.database.within(async move {
            let mut work = this.database.act(by.as_str(), this.node()).await?;
            let Some(before) = this.record(&mut work, &name).await? else {
                work.commit().await?;
                return Ok(Err(NotDecided::Unknown(name)));
            };
            if revision.is_some_and(|revision| revision != before.revision) {
                work.commit().await?;
                return Ok(Err(NotDecided::Outdated(before.revision)));
            }
            let mut after = before.clone();
            after.take(&decision);
            write(&mut work, &before, &after).await?;
            let record = this.record(&mut work, &name).await?;
            work.commit().await?;
            if secrets::was_plain(&before, &after) {
                secrets::forget_plain(&this.database);
            }
            Ok(record.ok_or(NotDecided::Unknown(name)))
        });
        Box::pin(async move { decided.await? })
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<Result<Proposed, Unavailable>> {
        let this = self.clone();
        self.database.within(async move { this.propose_it(proposal).await })
    }

    fn answer(&self, rollout: RolloutId, answer: Result<(), String>) -> BoxFuture<Result<RolloutState, Unavailable>> {
        let this = self.clone();
        self.database.within(async move { this.settle(rollout, Some(answer)).await })
    }

    fn conclude(&self, rollout: RolloutId) -> BoxFuture<Result<RolloutState, Unavailable>> {
        let this = self.clone();
        self.database.within(async move { this.settle(rollout, None).await })
    }

    fn report(&self, served: Vec<Served>) -> BoxFuture<Result<(), Unavailable>> {
        let this = self.clone();
        self.database.within(async move {
            let mut work = this.database.report().await?;
            // What is told last of a plugin counts.
            let served: BTreeMap<String, Served> =
                served.into_iter().map(|served| (served.plugin.clone(), served)).collect();
            let served: Vec<Served> = served.into_values().collect();
            for served in served.chunks(AT_ONCE) {
                // The plugins first: that is the order in which all take hold of things.
                let there = still_there(&mut work, served).await?;
                this.put_served(&mut work, served).await?;
                put_endpoints(&mut work, served, &there).await?;
            }
            work.commit().await
        })
    }

    fn note(&self, happened: Happened) {
        self.keep_note(happened);
    }
}

/// Writes what is not as it was.
async fn write(work: &mut Work, before: &Record, after: &Record) -> Result<(), Trouble> {
    let name = &after.name;
    if before.purge != after.purge {
        let update = "UPDATE plugins SET purge = $2, revision = 0 WHERE name = $1";
        work.run(update, vec![name.into(), after.purge.into()]).await?;
    }
    if (before.enabled, &before.config, before.reloads, before.removed)
        != (after.enabled, &after.config, after.reloads, after.removed)
    {
        let update = format!(
            "UPDATE plugins SET enabled = $2, config = {}, reloads = $4, removed = $5 WHERE name = $1",
            work.dialect().json("$3")
        );
        let values: Vec<Value> = vec![
            name.into(),
            after.enabled.into(),
            after.config.to_string().into(),
            after.reloads.into(),
            after.removed.into(),
        ];
        work.run(&update, values).await?;
    }
    if before.config != after.config || before.secrets != after.secrets {
        secrets::write(work, before, after).await?;
    }
    if before.source != after.source {
        let update = "UPDATE plugins SET source = $2, revision = 0 WHERE name = $1";
        work.run(update, vec![name.into(), after.source.to_string().into()]).await?;
    }
    if before.isolation != after.isolation {
        let update = "UPDATE plugins SET isolation = $2 WHERE name = $1";
        work.run(update, vec![name.into(), after.isolation.map(|isolation| isolation.word().to_owned()).into()])
            .await?;
    }
    if let Some(grants) = after.grants.as_ref().filter(|grants| {
        // What was granted to one from the same source is there already.
        before.source != after.source || before.grants.as_ref() != Some(grants)
    }) {
        put_grants(work, name, &after.source, grants).await?;
    }
    for digest in before.quarantine.keys().filter(|digest| !after.quarantine.contains_key(digest)) {
        let pardon = "DELETE FROM plugin_quarantine WHERE plugin = $1 AND digest = $2";
        work.run(pardon, vec![name.into(), digest.to_string().into()]).await?;
    }
    for (digest, reason) in after.quarantine.iter().filter(|(digest, why)| before.quarantine.get(digest) != Some(why)) {
        let quarantine = "INSERT INTO plugin_quarantine (plugin, digest, reason) VALUES ($1, $2, $3) \
             ON CONFLICT (plugin, digest) DO UPDATE SET reason = excluded.reason";
        work.run(quarantine, vec![name.into(), digest.to_string().into(), reason.into()]).await?;
    }
    Ok(())
}

/// Writes what is granted to a plugin from there.
async fn put_grants(work: &mut Work, name: &str, source: &PluginSource, grants: &Grants) -> Result<(), Trouble> {
    let granted = match grants {
        Grants::Asked => "asked".to_owned(),
        Grants::These(these) => these.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
    };
    let now = work.dialect().now();
    let put = format!(
        "INSERT INTO plugin_grants (plugin, source, granted) VALUES ($1, $2, $3) \
         ON CONFLICT (plugin, source) DO UPDATE SET granted = excluded.granted, at = {now}"
    );
    work.run(&put, vec![name.into(), source.to_string().into(), granted.into()]).await.map(drop)
}

/// Makes records, and lets those that were removed begin anew.
async fn enter(work: &mut Work, newcomers: &[Newcomer]) -> Result<(), Trouble> {
    let values = |newcomer: &Newcomer| -> [Value; 5] {
        let kind = if newcomer.built_in { "static" } else { "dynamic" };
        let source = newcomer.source.to_string();
        [(&newcomer.name).into(), newcomer.enabled.into(), kind.into(), (&newcomer.path).into(), source.into()]
    };
    let enter = format!(
        "INSERT INTO plugins (name, enabled, kind, source_path, source) VALUES {} ON CONFLICT (name) DO NOTHING",
        places(newcomers.len(), 5)
    );
    let all_new = work.run(&enter, newcomers.iter().flat_map(values).collect()).await? == newcomers.len();
    if !all_new {
        begin_anew(work, newcomers, values).await?;
    }
    // Of those that have a record already what comes on terms of its own is written by a decision.
    for newcomer in newcomers.iter().filter(|_| all_new) {
        if let Some(grants) = &newcomer.grants {
            put_grants(work, &newcomer.name, &newcomer.source, grants).await?;
        }
    }
    Ok(())
}

/// Those of these whose record was removed begin anew.
async fn begin_anew(
    work: &mut Work,
    newcomers: &[Newcomer],
    values: impl Fn(&Newcomer) -> [Value; 5],
) -> Result<(), Trouble> {
    let removed = format!(
        "SELECT name AS word FROM plugins WHERE removed = $1 AND name IN {}{}",
        names_after(1, newcomers.len()),
        work.dialect().lock()
    );
    let named = [vec![true.into()], newcomers.iter().map(|newcomer| (&newcomer.name).into()).collect()].concat();
    let removed: BTreeSet<String> = work.rows::<Word>(&removed, named).await?.into_iter().map(|row| row.word).collect();
    for newcomer in newcomers.iter().filter(|newcomer| removed.contains(&newcomer.name)) {
        for belonging in ["plugin_quarantine", "plugin_grants", "plugin_secrets"] {
            let delete = format!("DELETE FROM {belonging} WHERE plugin = $1");
            work.run(&delete, vec![(&newcomer.name).into()]).await?;
        }
        let anew = "UPDATE plugins SET enabled = $2, kind = $3, source_path = $4, source = $5, version = '', \
             artifact_digest = NULL, fingerprint = NULL, isolation = NULL, config = '{}', removed = $6, purge = $6 WHERE name = $1";
        work.run(anew, [values(newcomer).to_vec(), vec![false.into()]].concat()).await?;
        if let Some(grants) = &newcomer.grants {
            put_grants(work, &newcomer.name, &newcomer.source, grants).await?;
        }
    }
    Ok(())
}

/// Which of these have a record. It is not deleted until the work ends.
async fn still_there(work: &mut Work, served: &[Served]) -> Result<BTreeSet<String>, Trouble> {
    let keep = work.dialect().keep();
    let there =
        format!("SELECT name AS word FROM plugins WHERE name IN {} ORDER BY name{keep}", names_after(0, served.len()));
    let names = served.iter().map(|served| Value::from(&served.plugin)).collect();
    Ok(work.rows::<Word>(&there, names).await?.into_iter().map(|row| row.word).collect())
}

/// Puts on record what plugins answer, as far as it is told.
async fn put_endpoints(work: &mut Work, served: &[Served], there: &BTreeSet<String>) -> Result<(), Trouble> {
    let told = |served: &Served| Some((Value::from(&served.plugin), served.plugin.clone(), served.endpoints.clone()?));
    let told: Vec<_> = served.iter().filter_map(told).collect();
    if told.is_empty() {
        return Ok(());
    }
    let named: Vec<Value> = told.iter().map(|(value, ..)| value.clone()).collect();
    let before = format!("DELETE FROM plugin_endpoints WHERE plugin IN {}", names_after(0, told.len()));
    work.run(&before, named).await?;
    let rows: Vec<[Value; 4]> = told
        .into_iter()
        .filter(|(_, name, _)| there.contains(name))
        .flat_map(|(value, _, endpoints)| endpoints.into_iter().map(move |endpoint| (value.clone(), endpoint)))
        .map(|(plugin, endpoint)| {
            [plugin, endpoint.method.into(), endpoint.path.into(), endpoint.source.into_owned().into()]
        })
        .collect();
    for rows in rows.chunks(AT_ONCE) {
        let insert = format!(
            "INSERT INTO plugin_endpoints (plugin, method, path, source) VALUES {} \
             ON CONFLICT (plugin, method, path) DO NOTHING",
            places(rows.len(), 4)
        );
        work.run(&insert, rows.iter().flatten().cloned().collect()).await?;
    }
    Ok(())
}

/// A list of so many parameters, after so many others.
fn names_after(others: usize, count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|place| format!("${}", others + place)).collect();
    format!("({})", places.join(", "))
}

#[derive(QueryableByName)]
struct SeenRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    seen: String,
}

impl StoreCore {
    /// What lay in this node's directory.
    async fn seen(&self, work: &mut Work) -> Result<BTreeMap<String, Fingerprint>, Trouble> {
        let seen = "SELECT plugin, seen FROM node_plugins WHERE node = $1 AND seen IS NOT NULL";
        let rows = work.rows::<SeenRow>(seen, vec![self.node().into()]).await?;
        Ok(rows.into_iter().map(|row| (row.plugin, Fingerprint(row.seen))).collect())
    }

    /// Puts on record what this node serves.
    async fn put_served(&self, work: &mut Work, served: &[Served]) -> Result<(), Trouble> {
        let put = format!(
            "INSERT INTO node_plugins (node, plugin, state, reason, generation, artifact_digest, version, seen, revision) \
             VALUES {} ON CONFLICT (node, plugin) DO UPDATE SET \
             state = excluded.state, reason = excluded.reason, generation = excluded.generation, \
             artifact_digest = excluded.artifact_digest, version = excluded.version, \
             seen = coalesce(excluded.seen, node_plugins.seen), revision = excluded.revision, at = excluded.at",
            places(served.len(), 9)
        );
        let values = |served: &Served| -> [Value; 9] {
            [
                self.node().into(),
                (&served.plugin).into(),
                served.state.word().into(),
                served.reason.clone().into(),
                served.generation.into(),
                served.artifact.map(|digest| digest.to_string()).into(),
                served.version.clone().into(),
                served.seen.as_ref().map(|fingerprint| fingerprint.0.clone()).into(),
                served.revision.into(),
            ]
        };
        work.run(&put, served.iter().flat_map(values).collect()).await.map(drop)
    }

    /// Notes what this node saw of a plugin's directory when it proposed.
    pub(crate) async fn note_seen(&self, work: &mut Work, plugin: &str, seen: &Fingerprint) -> Result<(), Trouble> {
        let now = work.dialect().now();
        let note = format!(
            "INSERT INTO node_plugins (node, plugin, state, seen, at) VALUES ($1, $2, 'starting', $3, {now}) \
             ON CONFLICT (node, plugin) DO UPDATE SET seen = excluded.seen"
        );
        work.run(&note, vec![self.node().into(), plugin.into(), (&seen.0).into()]).await.map(drop)
    }
}

/// As databases count, back.
pub(crate) fn whole(number: Option<i64>) -> Option<u64> {
    number.map(count)
}
