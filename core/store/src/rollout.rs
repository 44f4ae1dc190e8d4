//! Rollouts: whoever asks for anything about one holds its plugin's row, so that they take turns.

use crate::{
    Trouble,
    connection::Value,
    database::{Word, Work},
    record::count,
    shared::StoreCore,
    words::{OptionalWords, Words},
};
use camlock_policy::{
    Digest, Fingerprint,
    registry::{Agreed, NodeId, Proposal, Proposed, Record, Rollout, RolloutId, RolloutState},
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(QueryableByName)]
struct RolloutRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    fingerprint: Option<String>,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    digest: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    version: String,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    from_digest: Option<String>,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    proposer: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    actor: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    asked: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    state: String,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    left_ms: i64,
}

#[derive(QueryableByName)]
struct AnswerRow {
    #[diesel(sql_type = BigInt)]
    rollout: i64,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    node: String,
    #[diesel(sql_type = Bool)]
    ok: bool,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    reason: Option<String>,
}

/// A rollout, with what only its settling needs.
struct RolloutOnRecord {
    rollout: Rollout,
    from: Option<String>,
    actor: String,
}

/// Reads rollouts that meet a condition.
async fn read(work: &mut Work, condition: &str, values: Vec<Value>) -> Result<Vec<RolloutOnRecord>, Trouble> {
    let dialect = work.dialect();
    let query = format!(
        "SELECT id, plugin, fingerprint, digest, version, from_digest, proposer, actor, CAST(nodes AS TEXT) AS asked, state, \
         reason, {} - {} AS left_ms FROM rollouts WHERE {condition} ORDER BY id",
        dialect.milliseconds("deadline"),
        dialect.milliseconds(dialect.now())
    );
    let rows = work.rows::<RolloutRow>(&query, values.clone()).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let query = format!(
        "SELECT rollout, node, ok, reason FROM rollout_answers WHERE rollout IN (SELECT id FROM rollouts WHERE {condition})"
    );
    let mut answers: BTreeMap<i64, BTreeMap<NodeId, Result<(), String>>> = BTreeMap::new();
    for answer in work.rows::<AnswerRow>(&query, values).await? {
        let said = if answer.ok { Ok(()) } else { Err(answer.reason.unwrap_or_default()) };
        answers.entry(answer.rollout).or_default().insert(answer.node, said);
    }
    // A digest that is none was written by somebody else, and is nobody's to roll out.
    Ok(rows.into_iter().filter_map(|row| known(&mut answers, row)).collect())
}

fn known(
    answers: &mut BTreeMap<i64, BTreeMap<NodeId, Result<(), String>>>,
    row: RolloutRow,
) -> Option<RolloutOnRecord> {
    let digest: Digest = row.digest.parse().ok()?;
    let state = match row.state.as_str() {
        "open" => RolloutState::Open,
        "committed" => RolloutState::Committed,
        _ => RolloutState::Failed(row.reason.unwrap_or_default()),
    };
    let rollout = Rollout {
        id: count(row.id),
        plugin: row.plugin,
        agreed: Agreed { fingerprint: row.fingerprint.map(Fingerprint), digest, version: row.version },
        proposer: row.proposer,
        nodes: serde_json::from_str(&row.asked).unwrap_or_default(),
        answers: answers.remove(&row.id).unwrap_or_default(),
        state,
        left_ms: Some(count(row.left_ms)).filter(|left| *left > 0),
    };
    Some(RolloutOnRecord { rollout, from: row.from_digest, actor: row.actor })
}

impl StoreCore {
    /// Open ones, and these.
    pub(crate) async fn rollouts(
        &self,
        work: &mut Work,
        wanted: &BTreeSet<RolloutId>,
    ) -> Result<Vec<Rollout>, Trouble> {
        let places: String = (1..=wanted.len()).map(|number| format!(", ${number}")).collect();
        let condition = format!("state = 'open' OR id IN (0{places})");
        let known = read(work, &condition, wanted.iter().map(|id| Value::from(*id)).collect()).await?;
        Ok(known.into_iter().map(|known| known.rollout).collect())
    }

    pub(crate) async fn propose_it(&self, proposal: Proposal) -> Result<Proposed, Trouble> {
        let Proposal { plugin, agreed, by, seen } = proposal;
        let mut work = self.database.act(by.as_str(), self.node()).await?;
        let Some(record) = self.record(&mut work, &plugin).await?.filter(|record| !record.removed) else {
            work.commit().await?;
            return Ok(Proposed::Unknown);
        };
        if let Some(seen) = seen {
            self.note_seen(&mut work, &plugin, &seen).await?;
        }
        let proposed = self.propose_in(&mut work, record, agreed, by.as_str()).await?;
        work.commit().await?;
        Ok(proposed)
    }

    async fn propose_in(&self, work: &mut Work, record: Record, agreed: Agreed, by: &str) -> Result<Proposed, Trouble> {
        let plugin = record.name.clone();
        if record.agreed.as_ref().is_some_and(|there| there.digest == agreed.digest) {
            if agreed.fingerprint.is_none() || record.agreed.as_ref() == Some(&agreed) {
                return Ok(Proposed::Agreed(Box::new(record)));
            }
            // The same bytes came of other sources: it is known by these from now on.
            return self.agree(work, &plugin, &agreed).await;
        }
        let open = read(work, "plugin = $1 AND state = 'open'", vec![(&plugin).into()]).await?.pop();
        if let Some(mut open) = open {
            let overdue = open.rollout.left_ms.is_none();
            if open.rollout.agreed.digest == agreed.digest {
                self.put_answer(work, &mut open, Ok(())).await?;
                self.conclude_in(work, &mut open, overdue).await?;
                return self.asked(work, open).await;
            }
            if open.rollout.proposer == self.node() {
                self.fail(work, &mut open, "a newer version was proposed".to_owned()).await?;
            } else if !overdue {
                return Ok(Proposed::Asking(Box::new(open.rollout)));
            } else {
                self.conclude_in(work, &mut open, true).await?;
                work.act_as(by, self.node()).await?;
            }
        }
        let alive = format!("SELECT id AS word FROM nodes WHERE heard_at > {}", work.dialect().later("$1"));
        let silence = -i64::try_from(self.options.silence.as_millis()).unwrap_or(i64::MAX);
        let alive = work.rows::<Word>(&alive, vec![silence.into()]).await?;
        let mut nodes: BTreeSet<NodeId> = alive.into_iter().map(|node| node.word).collect();
        nodes.insert(self.node().to_owned());
        if nodes.len() == 1 {
            return self.agree(work, &plugin, &agreed).await;
        }
        let dialect = work.dialect();
        let insert = format!(
            "INSERT INTO rollouts (plugin, fingerprint, digest, version, from_digest, proposer, actor, nodes, deadline) \
             SELECT name, $2, $3, $4, artifact_digest, $5, $6, {}, {} FROM plugins WHERE name = $1",
            dialect.json("$7"),
            dialect.later("$8")
        );
        let values: Vec<Value> = vec![
            (&plugin).into(),
            agreed.fingerprint.as_ref().map(|fingerprint| fingerprint.0.clone()).into(),
            agreed.digest.to_string().into(),
            (&agreed.version).into(),
            self.node().into(),
            by.into(),
            serde_json::json!(nodes).to_string().into(),
            self.options.rollout.into(),
        ];
        work.run(&insert, values).await?;
        let begun = read(work, "plugin = $1 AND state = 'open'", vec![(&plugin).into()]).await?.pop();
        let Some(mut begun) = begun else {
            return Err(Trouble::passing(format!("a rollout of {plugin} was begun and is gone")));
        };
        self.put_answer(work, &mut begun, Ok(())).await?;
        Ok(Proposed::Asking(Box::new(begun.rollout)))
    }

    /// What became of a rollout that somebody takes part in.
    async fn asked(&self, work: &mut Work, known: RolloutOnRecord) -> Result<Proposed, Trouble> {
        if known.rollout.state == RolloutState::Committed
            && let Some(record) = self.record(work, &known.rollout.plugin).await?
        {
            return Ok(Proposed::Agreed(Box::new(record)));
        }
        Ok(Proposed::Asking(Box::new(known.rollout)))
    }

    /// This is to serve; nobody else has to be asked.
    async fn agree(&self, work: &mut Work, plugin: &str, agreed: &Agreed) -> Result<Proposed, Trouble> {
        let agree = "UPDATE plugins SET artifact_digest = $2, fingerprint = $3, version = $4 WHERE name = $1";
        let values: Vec<Value> = vec![
            plugin.into(),
            agreed.digest.to_string().into(),
            agreed.fingerprint.as_ref().map(|fingerprint| fingerprint.0.clone()).into(),
            (&agreed.version).into(),
        ];
        work.run(agree, values).await?;
        Ok(match self.record(work, plugin).await? {
            Some(record) => Proposed::Agreed(Box::new(record)),
            None => Proposed::Unknown,
        })
    }

    /// Takes this node's answer, if there is one, and ends the rollout if it can be ended.
    pub(crate) async fn settle(
        &self,
        id: RolloutId,
        answer: Option<Result<(), String>>,
    ) -> Result<RolloutState, Trouble> {
        let mut work = self.database.write().await?;
        // Its plugin first: that is the order in which all take hold of things.
        let hold = format!(
            "SELECT name AS word FROM plugins WHERE name = (SELECT plugin FROM rollouts WHERE id = $1){}",
            work.dialect().lock()
        );
        work.rows::<Word>(&hold, vec![id.into()]).await?;
        let Some(mut known) = read(&mut work, "id = $1", vec![id.into()]).await?.pop() else {
            work.commit().await?;
            return Ok(RolloutState::Failed("there is no such rollout".to_owned()));
        };
        if known.rollout.state == RolloutState::Open {
            if let Some(answer) = answer {
                self.put_answer(&mut work, &mut known, answer).await?;
            }
            let overdue = known.rollout.left_ms.is_none();
            self.conclude_in(&mut work, &mut known, overdue).await?;
        }
        work.commit().await?;
        Ok(known.rollout.state)
    }

    async fn put_answer(
        &self,
        work: &mut Work,
        known: &mut RolloutOnRecord,
        answer: Result<(), String>,
    ) -> Result<(), Trouble> {
        let put = format!(
            "INSERT INTO rollout_answers (rollout, node, ok, reason, at) VALUES ($1, $2, $3, $4, {}) \
             ON CONFLICT (rollout, node) DO UPDATE SET ok = excluded.ok, reason = excluded.reason, at = excluded.at",
            work.dialect().now()
        );
        let values: Vec<Value> = vec![
            known.rollout.id.into(),
            self.node().into(),
            answer.is_ok().into(),
            answer.as_ref().err().cloned().into(),
        ];
        work.run(&put, values).await?;
        known.rollout.answers.insert(self.node().to_owned(), answer);
        Ok(())
    }

    /// Ends an open rollout if its answers, or its time, say so.
    async fn conclude_in(&self, work: &mut Work, known: &mut RolloutOnRecord, overdue: bool) -> Result<(), Trouble> {
        let Rollout { answers, nodes, proposer, .. } = &known.rollout;
        if let Some((node, why)) = answers.iter().find_map(|(node, answer)| Some((node, answer.as_ref().err()?))) {
            let why = format!("{node}: {why}");
            return self.fail(work, known, why).await;
        }
        let complete = nodes.iter().all(|node| answers.contains_key(node));
        if !complete && !overdue {
            return Ok(());
        }
        if !answers.contains_key(proposer) {
            return self.fail(work, known, "the proposer went silent".to_owned()).await;
        }
        // In the proposer's name, whoever comes to end it.
        work.act_as(&known.actor, &known.rollout.proposer).await?;
        let commit = "UPDATE plugins SET artifact_digest = $2, fingerprint = $3, version = $4 \
             WHERE name = $1 AND removed = $5 AND (artifact_digest IS NOT DISTINCT FROM $6 OR artifact_digest = $2)";
        let agreed = &known.rollout.agreed;
        let values: Vec<Value> = vec![
            (&known.rollout.plugin).into(),
            agreed.digest.to_string().into(),
            agreed.fingerprint.as_ref().map(|fingerprint| fingerprint.0.clone()).into(),
            (&agreed.version).into(),
            false.into(),
            known.from.clone().into(),
        ];
        if work.run(commit, values).await? == 0 {
            return self.fail(work, known, "something else was decided meanwhile".to_owned()).await;
        }
        let committed = "UPDATE rollouts SET state = 'committed' WHERE id = $1 AND state = 'open'";
        work.run(committed, vec![known.rollout.id.into()]).await?;
        known.rollout.state = RolloutState::Committed;
        Ok(())
    }

    async fn fail(&self, work: &mut Work, known: &mut RolloutOnRecord, why: String) -> Result<(), Trouble> {
        let failed = "UPDATE rollouts SET state = 'failed', reason = $2 WHERE id = $1 AND state = 'open'";
        work.run(failed, vec![known.rollout.id.into(), (&why).into()]).await?;
        let note = format!(
            "INSERT INTO plugin_journal (node, plugin, what, actor, detail) VALUES ($1, $2, 'rollout-failed', $3, {})",
            work.dialect().json("$4")
        );
        let detail = serde_json::json!({
            "digest": known.rollout.agreed.digest, "version": known.rollout.agreed.version, "reason": why,
        });
        let values: Vec<Value> = vec![
            (&known.rollout.proposer).into(),
            (&known.rollout.plugin).into(),
            (&known.actor).into(),
            detail.to_string().into(),
        ];
        work.run(&note, values).await?;
        known.rollout.state = RolloutState::Failed(why);
        Ok(())
    }
}
