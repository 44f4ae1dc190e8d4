//! The supervisor's port.

use crate::{
    Trouble,
    connection::Value,
    database::Work,
    record::count,
    shared::Shared,
};
use camlock_core::{
    BoxFuture, Mark,
    registry::{
        Actor, Decision, Happened, Newcomer, NotDecided, Proposal, Proposed, Reading, Record, Registry, RolloutId,
        RolloutState, Served, Snapshot, Unavailable,
    },
};
use diesel::{QueryableByName, sql_types::Text};
use std::collections::{BTreeMap, BTreeSet};

impl Registry for Shared {
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
            let mut work = this.database.act("filesystem", this.node()).await?;
            let mut names = BTreeSet::new();
            for newcomer in newcomers {
                this.enter(&mut work, &newcomer).await?;
                names.insert(newcomer.name);
            }
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
            let mut work = this.database.act(&by, this.node()).await?;
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
            let mut work = this.database.write().await?;
            for served in served {
                this.report_one(&mut work, served).await?;
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

#[derive(QueryableByName)]
struct Seen {
    #[diesel(sql_type = Text)]
    plugin: String,
    #[diesel(sql_type = Text)]
    seen: String,
}

impl Shared {
    /// What lay in this node's directory.
    async fn seen(&self, work: &mut Work) -> Result<BTreeMap<String, Mark>, Trouble> {
        let seen = "SELECT plugin, seen FROM node_plugins WHERE node = $1 AND seen IS NOT NULL";
        let rows = work.rows::<Seen>(seen, vec![self.node().into()]).await?;
        Ok(rows.into_iter().map(|row| (row.plugin, Mark(row.seen))).collect())
    }

    /// Makes a record, or lets one that was removed begin anew.
    async fn enter(&self, work: &mut Work, newcomer: &Newcomer) -> Result<(), Trouble> {
        let kind = if newcomer.built_in { "static" } else { "dynamic" };
        let values: Vec<Value> =
            vec![(&newcomer.name).into(), newcomer.enabled.into(), kind.into(), (&newcomer.path).into()];
        let enter = "INSERT INTO plugins (name, enabled, kind, source_path) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING";
        if work.run(enter, values.clone()).await? > 0 {
            return Ok(());
        }
        let removed = "SELECT name AS plugin, '' AS seen FROM plugins WHERE name = $1 AND removed = $2";
        let removed = format!("{removed}{}", work.dialect().lock());
        if work.row::<Seen>(&removed, vec![(&newcomer.name).into(), true.into()]).await?.is_none() {
            return Ok(());
        }
        work.run("DELETE FROM plugin_quarantine WHERE plugin = $1", vec![(&newcomer.name).into()]).await?;
        let anew = "UPDATE plugins SET enabled = $2, kind = $3, source_path = $4, version = '', artifact_digest = NULL, \
             fingerprint = NULL, config = '{}', removed = $5 WHERE name = $1";
        let values = [values, vec![false.into()]].concat();
        work.run(anew, values).await.map(drop)
    }

    /// Puts on record what this node serves of one plugin.
    async fn report_one(&self, work: &mut Work, served: Served) -> Result<(), Trouble> {
        let Served { plugin, state, reason, generation, artifact, version, seen, revision, endpoints } = served;
        let now = work.dialect().now();
        let report = format!(
            "INSERT INTO node_plugins (node, plugin, state, reason, generation, artifact_digest, version, seen, revision, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, {now}) ON CONFLICT (node, plugin) DO UPDATE SET \
             state = excluded.state, reason = excluded.reason, generation = excluded.generation, \
             artifact_digest = excluded.artifact_digest, version = excluded.version, \
             seen = coalesce(excluded.seen, node_plugins.seen), revision = excluded.revision, at = excluded.at"
        );
        let values: Vec<Value> = vec![
            self.node().into(),
            (&plugin).into(),
            state.word().into(),
            reason.into(),
            generation.into(),
            artifact.map(|digest| digest.to_string()).into(),
            version.into(),
            seen.map(|mark| mark.0).into(),
            revision.into(),
        ];
        work.run(&report, values).await?;
        let Some(endpoints) = endpoints else { return Ok(()) };
        work.run("DELETE FROM plugin_endpoints WHERE plugin = $1", vec![(&plugin).into()]).await?;
        let insert = "INSERT INTO plugin_endpoints (plugin, method, path, source) \
             SELECT name, $2, $3, $4 FROM plugins WHERE name = $1 ON CONFLICT (plugin, method, path) DO NOTHING";
        for endpoint in endpoints {
            let values: Vec<Value> =
                vec![(&plugin).into(), endpoint.method.into(), endpoint.path.into(), endpoint.source.into()];
            work.run(insert, values).await?;
        }
        Ok(())
    }

    /// Notes what this node saw of a plugin's directory when it proposed.
    pub(crate) async fn note_seen(&self, work: &mut Work, plugin: &str, seen: &Mark) -> Result<(), Trouble> {
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
