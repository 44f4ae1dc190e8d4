//! Copying a registry into an empty one, from either database into either.
//!
//! What operators decided, what happened, what was built, and who may do what goes over as it is, with its numbers and times; not
//! what servers only say of themselves: that they are there, what they serve, rollouts, rights to build. Of the source one moment is
//! read. In the target all is one transaction, and its triggers rest meanwhile: nothing of this is decided now.
//!
//! What must not live here: what the columns mean.

mod side;
mod tables;

use crate::{
    Standing, StoreOptions, Trouble, TroubleKind,
    address::Address,
    connection::{Dialect, Value},
    schema,
};
use camlock_policy::Digest;
use serde_json::json;
use side::Side;
use std::sync::{Arc, atomic::AtomicU64};
use tables::{
    ARTIFACTS, CATALOG_ADVISED, CATALOG_INSTALLS, CATALOG_NAMES, CATALOG_UPDATES, CATALOGS, CopiedRow, CopiedTable,
    ENDPOINTS, GRANTS, JOURNAL, LAYOUTS, PLUGINS, QUARANTINE, SECRETS, SECRETS_KEY, TOKENS,
};

/// So many rows are in memory at once.
const PAGE: usize = 1_000;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Plugins, also those that were removed.
    pub plugins: usize,
    /// What was decided that plugins may.
    pub granted: usize,
    /// Secrets of their configurations, sealed as they are.
    pub secrets: usize,
    /// Artifacts that are kept out.
    pub quarantined: usize,
    /// Their endpoints.
    pub endpoints: usize,
    /// Entries of the journal.
    pub events: usize,
    /// Artifacts that are known.
    pub artifacts: usize,
    /// Those of them whose bytes are shared in the registry.
    pub shared: usize,
    /// Tokens.
    pub tokens: usize,
}

/// Copies.
pub(crate) async fn copy(from: &Address, to: &Address, options: &StoreOptions) -> Result<Copied, Trouble> {
    let refused = |sentence: String| Err(Trouble::new(TroubleKind::Settings, sentence));
    match schema::look(from).await? {
        Standing::Current => {}
        Standing::Empty => return refused(format!("there is no registry in {}; nothing was copied", from.place())),
        Standing::Older(_) => {
            return refused(format!(
                "{} was written by an older Camlock; nothing was copied: `camlock migrate` with that `--database-url` brings it \
                 up to date",
                from.place()
            ));
        }
    }
    match schema::look(to).await? {
        Standing::Current => {}
        Standing::Empty => schema::bring_up(to, &Arc::new(AtomicU64::new(0))).await?,
        Standing::Older(_) => return refused(not_empty(to, "it was written by an older Camlock")),
    }
    let (mut from, mut to) = (Side::to_read(from).await?, Side::to_write(to).await?);
    if let Some(what) = to.in_use(options.silence).await? {
        return refused(not_empty(&to.address, &what));
    }
    to.rest_triggers().await?;
    // A server that ran there may have left word of a key that nothing is sealed with.
    to.forget_key().await?;
    whole(&mut from, &mut to, &SECRETS_KEY).await?;
    let mut copied = Copied {
        plugins: plugins(&mut from, &mut to).await?,
        granted: whole(&mut from, &mut to, &GRANTS).await?,
        secrets: whole(&mut from, &mut to, &SECRETS).await?,
        quarantined: whole(&mut from, &mut to, &QUARANTINE).await?,
        endpoints: whole(&mut from, &mut to, &ENDPOINTS).await?,
        artifacts: whole(&mut from, &mut to, &ARTIFACTS).await?,
        tokens: whole(&mut from, &mut to, &TOKENS).await?,
        ..Copied::default()
    };
    for table in [&CATALOGS, &CATALOG_NAMES, &CATALOG_INSTALLS, &CATALOG_ADVISED, &CATALOG_UPDATES, &LAYOUTS] {
        whole(&mut from, &mut to, table).await?;
    }
    copied.events = journal(&mut from, &mut to).await?;
    copied.shared = bytes(&mut from, &mut to).await?;
    let revision = from.last_revision().await?;
    to.go_on_after(revision).await?;
    to.wake_triggers().await?;
    to.commit().await?;
    Ok(copied)
}

fn not_empty(to: &Address, what: &str) -> String {
    format!("{} is in use: {what}. Nothing was copied, nothing changed: name an empty one", to.place())
}

/// A table that fits into memory.
async fn whole(from: &mut Side, to: &mut Side, table: &CopiedTable) -> Result<usize, Trouble> {
    // In some clients of SQLite what belongs to a plugin outlives it.
    let which = match table.columns[0].0 {
        "plugin" => "WHERE plugin IN (SELECT name FROM plugins)",
        _ => "",
    };
    let rows = from.rows(table, "", which, Vec::new()).await?;
    to.insert(table, &rows).await?;
    Ok(rows.len())
}

/// Plugins. What SQLite lets an operator write, and PostgreSQL does not keep, a person has to mend.
async fn plugins(from: &mut Side, to: &mut Side) -> Result<usize, Trouble> {
    if to.dialect() == Dialect::Postgres {
        let all = from.rows(&PLUGINS, "", "ORDER BY name", Vec::new()).await?;
        if let Some(why) = all.iter().find_map(cannot_be_kept) {
            return Err(Trouble::new(TroubleKind::Settings, format!("{why}; nothing was copied: mend that row first")));
        }
    }
    whole(from, to, &PLUGINS).await
}

fn cannot_be_kept(row: &CopiedRow) -> Option<String> {
    let text = |column: &str| {
        let at = PLUGINS.columns.iter().position(|(name, _)| *name == column);
        at.and_then(|at| row.get(at)).and_then(|value| value.as_str())
    };
    let name = text("name").unwrap_or_default();
    let config = text("config").unwrap_or_default();
    if !serde_json::from_str::<serde_json::Value>(config).is_ok_and(|config| config.is_object()) {
        return Some(format!("the configuration of plugin `{name}` is no JSON object"));
    }
    let digest = text("artifact_digest")?;
    let bad = digest.parse::<Digest>().is_err();
    bad.then(|| format!("the record of plugin `{name}` names the artifact {digest:?}, which is no digest"))
}

/// The journal, in its order. In PostgreSQL that is by transaction first: a number that would come out of order in the target
/// becomes the next one that does not. The others stay, so that whoever follows the journal goes on where it was.
async fn journal(from: &mut Side, to: &mut Side) -> Result<usize, Trouble> {
    let (mut count, mut last) = (0, 0);
    let mut read = (json!("0"), i64::MIN);
    loop {
        let number: Value = read.1.into();
        let (more, which, values) = match from.dialect() {
            Dialect::Sqlite => ("", "WHERE id > $1 ORDER BY id", vec![number]),
            Dialect::Postgres => {
                let transaction = read.0.as_str().unwrap_or_default().into();
                let which = "WHERE (xact, id) > (CAST($1 AS XID8), $2) ORDER BY xact, id";
                (", CAST(xact AS TEXT)", which, vec![transaction, number])
            }
        };
        let mut page = from.rows(&JOURNAL, more, &format!("{which} LIMIT {PAGE}"), values).await?;
        let Some(end) = page.last() else { return Ok(count) };
        read = (end.last().cloned().unwrap_or_default(), end[0].as_i64().unwrap_or(i64::MAX));
        for row in &mut page {
            last = row[0].as_i64().unwrap_or_default().max(last + 1);
            row[0] = last.into();
        }
        to.insert(&JOURNAL, &page).await?;
        count += page.len();
    }
}

/// Artifacts' bytes, one after the other: each is megabytes.
async fn bytes(from: &mut Side, to: &mut Side) -> Result<usize, Trouble> {
    let digests = from.digests().await?;
    for digest in &digests {
        if let Some(bytes) = from.bytes(digest).await? {
            to.insert_bytes(digest, bytes).await?;
        }
    }
    Ok(digests.len())
}
