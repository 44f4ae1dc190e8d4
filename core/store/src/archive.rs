//! The journal and the fleet, as people look them up.

use crate::{
    Trouble,
    clerk::time,
    connection::{Dialect, Value, number},
    database::Work,
    record::count,
    registry::whole,
    shared::StoreCore,
    words::{OptionalWords, Words},
};
use camlock_policy::{
    BoxFuture, Fingerprint, Headline,
    registry::{Archive, Event, EventId, EventPage, EventQuery, NodeId, NodeView, Served, Unavailable},
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::watch;

/// What was written but may not be read yet is looked for again after so long.
const AGAIN: Duration = Duration::from_millis(200);

/// A page is no longer than this.
const LONGEST: usize = 1_000;

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    written_by: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    at_ms: Option<i64>,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    node: Option<String>,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    plugin: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    generation: Option<i64>,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    what: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    actor: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    details: String,
}

#[derive(QueryableByName)]
struct Hidden {
    #[diesel(sql_type = Bool)]
    hidden: bool,
}

#[derive(QueryableByName)]
struct NodeRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    id: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    host: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    address: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    version: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    started_ms: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    heard_ms: Option<i64>,
    #[diesel(sql_type = Nullable<Bool>)]
    stale: Option<bool>,
}

#[derive(QueryableByName)]
struct ServedRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    node: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    state: String,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    reason: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    generation: Option<i64>,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    artifact_digest: Option<String>,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    version: Option<String>,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    seen: Option<String>,
    #[diesel(sql_type = BigInt)]
    revision: i64,
    /// What is agreed on is wanted, and this is something else.
    #[diesel(sql_type = Bool)]
    lags: bool,
}

impl Archive for StoreCore {
    fn nodes(&self) -> BoxFuture<Result<Vec<NodeView>, Unavailable>> {
        let this = self.clone();
        self.database.within(async move {
            let mut work = this.database.read().await?;
            let nodes = this.fleet_now(&mut work).await?;
            work.commit().await?;
            Ok(nodes)
        })
    }

    fn events(&self, query: EventQuery) -> BoxFuture<Result<EventPage, Unavailable>> {
        let this = self.clone();
        self.database.within(async move {
            let mut work = this.database.read().await?;
            let page = this.page(&mut work, query).await?;
            work.commit().await?;
            Ok(page)
        })
    }

    fn fresh(&self) -> watch::Receiver<u64> {
        self.fresh.subscribe()
    }
}

impl StoreCore {
    async fn fleet_now(&self, work: &mut Work) -> Result<Vec<NodeView>, Trouble> {
        let dialect = work.dialect();
        let nodes = format!(
            "SELECT id, host, address, version, {} AS started_ms, {} AS heard_ms, heard_at <= {} AS stale \
             FROM nodes ORDER BY id",
            dialect.milliseconds("started_at"),
            dialect.milliseconds("heard_at"),
            dialect.later("$1")
        );
        let silence = -i64::try_from(self.options.silence.as_millis()).unwrap_or(i64::MAX);
        let nodes = work.rows::<NodeRow>(&nodes, vec![silence.into()]).await?;
        let served = "SELECT node, plugin, state, reason, generation, node_plugins.artifact_digest, node_plugins.version, seen, \
             node_plugins.revision, plugins.name IS NOT NULL AND plugins.artifact_digest IS NOT NULL AND plugins.enabled \
             AND NOT plugins.removed AND state NOT IN ('missing', 'disabled') \
             AND node_plugins.artifact_digest IS DISTINCT FROM plugins.artifact_digest AS lags \
             FROM node_plugins LEFT JOIN plugins ON plugins.name = plugin ORDER BY node, plugin";
        let mut of: BTreeMap<NodeId, (Vec<Served>, Vec<String>)> = BTreeMap::new();
        for row in work.rows::<ServedRow>(served, vec![]).await? {
            let (serves, lags) = of.entry(row.node.clone()).or_default();
            if row.lags {
                lags.push(row.plugin.clone());
            }
            serves.extend(served_of(row));
        }
        Ok(nodes
            .into_iter()
            .map(|row| {
                let (serves, lags) = of.remove(&row.id).unwrap_or_default();
                NodeView {
                    this: row.id == self.node(),
                    id: row.id,
                    host: row.host,
                    address: row.address,
                    version: row.version,
                    started: time(row.started_ms.unwrap_or(0)),
                    heard: time(row.heard_ms.unwrap_or(0)),
                    stale: row.stale.unwrap_or(true),
                    serves,
                    lags,
                }
            })
            .collect())
    }

    async fn page(&self, work: &mut Work, query: EventQuery) -> Result<EventPage, Trouble> {
        let EventQuery { after, before, plugin, limit } = query;
        let dialect = work.dialect();
        let (transaction, settled) = match dialect {
            Dialect::Sqlite => ("0", "1 = 1"),
            // What older transactions still write would come before what is read: it is not read yet.
            Dialect::Postgres => {
                ("CAST(CAST(xact AS TEXT) AS BIGINT)", "xact < pg_snapshot_xmin(pg_current_snapshot())")
            }
        };
        let mut conditions = vec![settled.to_owned()];
        let mut values: Vec<Value> = Vec::new();
        let beyond = |conditions: &mut Vec<String>, values: &mut Vec<Value>, sign: &str, id: EventId| match dialect {
            Dialect::Sqlite => {
                values.push(number(id.number).into());
                conditions.push(format!("id {sign} ${}", values.len()));
            }
            Dialect::Postgres => {
                values.extend([Value::from(id.transaction.to_string()), number(id.number).into()]);
                let (xact, id) = (values.len() - 1, values.len());
                conditions.push(format!("(xact, id) {sign} (CAST(${xact} AS XID8), ${id})"));
            }
        };
        if let Some(after) = after {
            beyond(&mut conditions, &mut values, ">", after);
        }
        if let Some(before) = before {
            beyond(&mut conditions, &mut values, "<", before);
        }
        if let Some(plugin) = plugin {
            values.push(plugin.into());
            conditions.push(format!("plugin = ${}", values.len()));
        }
        let limit = limit.clamp(1, LONGEST);
        values.push(number(limit as u64 + 1).into());
        let way = if after.is_some() { "" } else { " DESC" };
        let order = match dialect {
            Dialect::Sqlite => format!("id{way}"),
            Dialect::Postgres => format!("xact{way}, id{way}"),
        };
        let events = format!(
            "SELECT id AS number, {transaction} AS written_by, {} AS at_ms, node, plugin, generation, what, actor, \
             CAST(detail AS TEXT) AS details FROM plugin_journal WHERE {} ORDER BY {order} LIMIT ${}",
            dialect.milliseconds("at"),
            conditions.join(" AND "),
            values.len()
        );
        let mut rows = work.rows::<EventRow>(&events, values).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        if dialect == Dialect::Postgres && !more {
            self.come_back(work).await?;
        }
        Ok(EventPage { events: rows.into_iter().map(event).collect(), more })
    }

    /// If there is something that may not be read yet, those who follow the journal are told again a little later: nobody notifies
    /// when the transaction that it waits for has ended.
    async fn come_back(&self, work: &mut Work) -> Result<(), Trouble> {
        let hidden = "SELECT EXISTS (SELECT 1 FROM plugin_journal WHERE xact >= pg_snapshot_xmin(pg_current_snapshot())) AS hidden";
        if work.row::<Hidden>(hidden, vec![]).await?.is_some_and(|row| row.hidden) {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(AGAIN).await;
                this.fresh.send_modify(|count| *count += 1);
            });
        }
        Ok(())
    }
}

fn event(row: EventRow) -> Event {
    Event {
        id: EventId { transaction: count(row.written_by), number: count(row.number) },
        at: time(row.at_ms.unwrap_or(0)),
        node: row.node,
        plugin: row.plugin,
        generation: whole(row.generation),
        what: row.what,
        by: row.actor.into(),
        detail: serde_json::from_str(&row.details).unwrap_or_default(),
    }
}

/// What a node said. A row that only remembers what it saw, or holds a word of a newer version, says nothing of what it serves.
fn served_of(row: ServedRow) -> Option<Served> {
    let states = [
        Headline::Serving,
        Headline::Starting,
        Headline::Waiting,
        Headline::Failed,
        Headline::Disabled,
        Headline::Missing,
        Headline::Quarantined,
    ];
    Some(Served {
        state: *states.iter().find(|state| state.word() == row.state)?,
        plugin: row.plugin,
        reason: row.reason,
        generation: whole(row.generation),
        artifact: row.artifact_digest.and_then(|digest| digest.parse().ok()),
        version: row.version,
        seen: row.seen.map(Fingerprint),
        revision: count(row.revision),
        endpoints: None,
    })
}
