//! The entries in the plugin's tables: added one after the other, whichever server hears of an event, read, and removed from the
//! beginning. What must not live here: HTTP, and how anything is written out.

use crate::{
    chain::{Entry, Verification},
    query::EntryQuery,
};
use camlock_plugin::{
    Event, Host, HostError,
    database::{Row, RowStream, SqlValue, Transaction},
};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// So many are removed in one transaction.
const AT_ONCE: i64 = 5_000;

const COLUMNS: &str = "number, topic, at, position, depth, trace, payload, hash";

/// The log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AuditStore(Host);

/// Where the chain ends, and where what is left of it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chain {
    last: i64,
    hash: String,
    first: i64,
    /// The hash before the first.
    before: String,
}

/// What a look along the chain came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct VerifiedLog {
    pub(crate) ok: bool,
    /// The first entry that is there; earlier ones were removed for their age.
    pub(crate) first: i64,
    /// The last one; what it was can be kept elsewhere, and asked for later.
    pub(crate) last: i64,
    pub(crate) hash: String,
    /// What is the matter.
    pub(crate) why: Option<String>,
}

fn entry(row: &Row) -> Result<Entry, HostError> {
    Ok(Entry {
        number: row.get("number")?,
        topic: row.get("topic")?,
        at: row.get("at")?,
        position: row.get("position")?,
        depth: row.get("depth")?,
        trace: row.get("trace")?,
        payload: row.get("payload")?,
        hash: row.get("hash")?,
    })
}

fn micros(time: SystemTime) -> i64 {
    let passed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_micros()).unwrap_or(i64::MAX)
}

impl AuditStore {
    pub(crate) fn new(host: Host) -> Self {
        AuditStore(host)
    }

    /// Adds an event, unless it is there: what is kept may come more than once.
    pub(crate) async fn add(&self, event: &Event) -> Result<(), HostError> {
        let mut transaction = self.0.database().begin().await?;
        let chain = hold(&mut transaction).await?;
        let position = i64::try_from(event.position).unwrap_or(i64::MAX);
        if position > 0 {
            let sql = "SELECT number FROM p_audit_log__events WHERE topic = $1 AND position = $2";
            if transaction.query(sql, (&*event.topic, position)).await?.next().await?.is_some() {
                return transaction.rollback().await;
            }
        }
        let mut added = Entry {
            number: chain.last + 1,
            topic: event.topic.to_string(),
            at: micros(event.at),
            position,
            depth: event.depth.into(),
            trace: event.trace_id.to_string(),
            payload: event.payload.to_vec(),
            hash: String::new(),
        };
        added.hash = added.hash_after(&chain.hash);
        let sql = format!("INSERT INTO p_audit_log__events ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
        let Entry { number, topic, at, position, depth, trace, payload, hash } = added;
        let told = hash.clone();
        transaction.execute(&sql, (number, topic, at, position, depth, trace, payload, hash)).await?;
        let sql = "UPDATE p_audit_log__chain SET last = $1, hash = $2 WHERE id = 1";
        transaction.execute(sql, (number, told)).await?;
        transaction.commit().await
    }

    /// Entries, in their order, as they are taken.
    pub(crate) async fn read(&self, query: &EntryQuery) -> Result<Entries, HostError> {
        let (condition, values) = query.condition();
        let sql = format!("SELECT {COLUMNS} FROM p_audit_log__events WHERE {condition} ORDER BY number");
        Ok(Entries { rows: self.0.database().query(&sql, values).await?, query: query.clone() })
    }

    /// Looks along all of it, and whether an entry is still the one that it was.
    pub(crate) async fn verify(&self, known: Option<(i64, &str)>) -> Result<VerifiedLog, HostError> {
        loop {
            let chain = self.chain().await?;
            let why = self.look_along(&chain, known).await?;
            // What was removed for its age in the meantime is not missing.
            if why.is_none() || self.chain().await?.first == chain.first {
                let Chain { last, hash, first, .. } = chain;
                return Ok(VerifiedLog { ok: why.is_none(), first, last, hash, why });
            }
        }
    }

    async fn chain(&self) -> Result<Chain, HostError> {
        let mut transaction = self.0.database().begin().await?;
        let chain = look(&mut transaction).await?;
        transaction.rollback().await?;
        Ok(chain)
    }

    /// What is the matter with it, if something is. What is added meanwhile is not looked at.
    async fn look_along(&self, chain: &Chain, known: Option<(i64, &str)>) -> Result<Option<String>, HostError> {
        let sql = format!("SELECT {COLUMNS} FROM p_audit_log__events WHERE number <= $1 ORDER BY number");
        let mut rows = self.0.database().query(&sql, (chain.last,)).await?;
        let mut verification = Verification::from(chain.first, chain.before.clone());
        while let Some(row) = rows.next().await? {
            let entry = entry(&row)?;
            if let Err(why) = verification.look(&entry) {
                return Ok(Some(why));
            }
            if let Some((number, hash)) = known
                && number == entry.number
                && hash != entry.hash
            {
                return Ok(Some(format!("entry {number} is not the one that is known")));
            }
        }
        let is_missing = |(number, _): (i64, &str)| (number > chain.last).then(|| format!("entry {number} is missing"));
        Ok(verification.end(chain.last, &chain.hash).err().or_else(|| known.and_then(is_missing)))
    }

    /// Removes what is older than this: how many entries that were. The rest stays a chain.
    pub(crate) async fn remove_before(&self, time: SystemTime) -> Result<u64, HostError> {
        let mut removed = 0;
        loop {
            let mut transaction = self.0.database().begin().await?;
            let chain = hold(&mut transaction).await?;
            let sql = "SELECT min(number) AS number FROM p_audit_log__events WHERE at >= $1";
            let youngest: Option<i64> = one(&mut transaction, sql, (micros(time),)).await?;
            // Only from the beginning: an old one after a younger one waits for that.
            let end = youngest.map_or(chain.last, |number| number - 1).min(chain.first - 1 + AT_ONCE);
            if end < chain.first {
                transaction.rollback().await?;
                return Ok(removed);
            }
            let sql = "SELECT hash FROM p_audit_log__events WHERE number = $1";
            let Some(hash) = one::<String>(&mut transaction, sql, (end,)).await? else {
                transaction.rollback().await?;
                return Ok(removed);
            };
            removed += transaction.execute("DELETE FROM p_audit_log__events WHERE number <= $1", (end,)).await?;
            let sql = "UPDATE p_audit_log__chain SET first = $1, before = $2 WHERE id = 1";
            transaction.execute(sql, (end + 1, hash)).await?;
            transaction.commit().await?;
        }
    }
}

/// Entries that are read.
pub(crate) struct Entries {
    rows: RowStream<'static>,
    query: EntryQuery,
}

impl Entries {
    /// The next one that is wanted.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, HostError> {
        while let Some(row) = self.rows.next().await? {
            let entry = entry(&row)?;
            if self.query.fits(&entry.topic) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// The chain, which nobody else changes until the transaction ends.
async fn hold(transaction: &mut Transaction) -> Result<Chain, HostError> {
    transaction.execute("UPDATE p_audit_log__chain SET last = last WHERE id = 1", ()).await?;
    look(transaction).await
}

async fn look(transaction: &mut Transaction) -> Result<Chain, HostError> {
    let sql = "SELECT last, hash, first, before FROM p_audit_log__chain WHERE id = 1";
    let mut rows = transaction.query(sql, ()).await?;
    let missing = || HostError::new(camlock_plugin::HostErrorCode::NotFound, "the chain's own row is missing");
    let row = rows.next().await?.ok_or_else(missing)?;
    Ok(Chain { last: row.get("last")?, hash: row.get("hash")?, first: row.get("first")?, before: row.get("before")? })
}

/// The first value of the first row; none if that is null, or there is no row.
async fn one<T: camlock_plugin::database::FromSql>(
    transaction: &mut Transaction,
    sql: &str,
    params: impl camlock_plugin::database::SqlParams,
) -> Result<Option<T>, HostError> {
    let mut rows = transaction.query(sql, params).await?;
    let Some(row) = rows.next().await? else { return Ok(None) };
    Ok(row.values().first().filter(|value| **value != SqlValue::Null).and_then(T::from_sql))
}
