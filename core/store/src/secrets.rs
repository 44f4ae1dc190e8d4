//! What is on record of secrets: those of plugins' configurations, sealed, and proof of which key seals them.
//!
//! What must not live here: keys, and how it is sealed.

use crate::{
    Standing, StoreOptions, Trouble, TroubleKind,
    address::Address,
    connection::{DatabaseConnection, Dialect, Value},
    database::{Database, Word, Work},
    schema,
    shared::StoreCore,
    words::Words,
};
use camlock_policy::{
    MASK, SealedSecret, SealedSecrets,
    registry::{Actor, Record, Unavailable},
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Text},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// So often, and with such pauses, SQLite's log is emptied in vain: somebody may be reading it.
const EMPTYING: (u32, Duration) = (40, Duration::from_millis(250));

/// However many secrets there are, sealing them anew takes less.
const RESEALING: Duration = Duration::from_secs(60);

#[derive(QueryableByName)]
pub(crate) struct SecretRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    pub(crate) plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    pub(crate) pointer: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    key_id: String,
    #[diesel(sql_type = Binary)]
    sealed: Vec<u8>,
}

impl SecretRow {
    pub(crate) const QUERY: &str = "SELECT plugin, pointer, key_id, sealed FROM plugin_secrets";

    pub(crate) fn secret(self) -> (String, SealedSecret) {
        (self.pointer, SealedSecret { key_id: self.key_id, bytes: self.sealed })
    }
}

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    key_id: String,
    #[diesel(sql_type = Binary)]
    sealed: Vec<u8>,
}

const KEY: &str = "SELECT key_id, sealed FROM secrets_key";

impl From<KeyRow> for SealedSecret {
    fn from(row: KeyRow) -> Self {
        SealedSecret { key_id: row.key_id, bytes: row.sealed }
    }
}

/// Of all secrets those that a mask stands for.
pub(crate) fn masked(config: &serde_json::Value, mut secrets: SealedSecrets) -> SealedSecrets {
    secrets.retain(|pointer, _| config.pointer(pointer).is_some_and(|value| *value == *MASK));
    secrets
}

/// Whether something that is sealed now lay there in plain.
pub(crate) fn was_plain(before: &Record, after: &Record) -> bool {
    let plain = |pointer: &String| before.config.pointer(pointer).is_some_and(|value| *value != *MASK);
    after.secrets.keys().any(plain)
}

/// Writes the secrets of a record that are not as they were, and nothing of what is not wanted any more stays.
pub(crate) async fn write(work: &mut Work, before: &Record, after: &Record) -> Result<(), Trouble> {
    let name = &after.name;
    let there = "SELECT pointer AS word FROM plugin_secrets WHERE plugin = $1";
    let there = work.rows::<Word>(there, vec![name.into()]).await?;
    for pointer in there.into_iter().map(|row| row.word).filter(|pointer| !after.secrets.contains_key(pointer)) {
        let delete = "DELETE FROM plugin_secrets WHERE plugin = $1 AND pointer = $2";
        work.run(delete, vec![name.into(), pointer.into()]).await?;
    }
    let is_new = |(pointer, sealed): &(&String, &SealedSecret)| before.secrets.get(*pointer) != Some(sealed);
    let new: Vec<_> = after.secrets.iter().filter(is_new).collect();
    if new.is_empty() {
        return Ok(());
    }
    let share = match work.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR SHARE",
    };
    let key = work.row::<KeyRow>(&format!("{KEY}{share}"), vec![]).await?;
    if let Some(key) = key.filter(|key| new.iter().any(|(_, sealed)| sealed.key_id != key.key_id)) {
        return Err(Trouble::passing(format!("secrets are sealed with the key {} by now: try again", key.key_id)));
    }
    let now = work.dialect().now();
    let put = format!(
        "INSERT INTO plugin_secrets (plugin, pointer, key_id, sealed) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (plugin, pointer) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, at = {now}"
    );
    for (pointer, sealed) in new {
        let values = vec![name.into(), pointer.into(), (&sealed.key_id).into(), sealed.bytes.clone().into()];
        work.run(&put, values).await?;
    }
    Ok(())
}

/// Empties SQLite's log, in which there may still be what lay in plain. What is freed in the file is overwritten in any case.
pub(crate) fn forget_plain(database: &Arc<Database>) {
    if database.dialect() == Dialect::Postgres {
        return;
    }
    let database = database.clone();
    tokio::spawn(async move {
        for _ in 0..EMPTYING.0 {
            if let Ok(mut work) = database.heartbeat().await
                && let Ok(Some(Emptied { busy: 0 })) = work.row("PRAGMA wal_checkpoint(TRUNCATE)", vec![]).await
            {
                return;
            }
            tokio::time::sleep(EMPTYING.1).await;
        }
        tracing::warn!(
            "a secret that was written in plain may still be in the log of {}: somebody reads it all the time",
            database.address
        );
    });
}

#[derive(QueryableByName)]
struct Emptied {
    #[diesel(sql_type = BigInt)]
    busy: i64,
}

/// What is on record of a fleet's key.
#[derive(Clone)]
pub struct KeyRecord(pub(crate) StoreCore);

impl std::fmt::Debug for KeyRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("KeyRecord").field(&self.0.database).finish()
    }
}

impl KeyRecord {
    /// Proof of which key it is, if there is one.
    pub async fn check(&self) -> Result<Option<SealedSecret>, Unavailable> {
        let database = self.0.database.clone();
        let read = async move {
            let mut work = database.alone().await?;
            Ok(work.row::<KeyRow>(KEY, vec![]).await?.map(SealedSecret::from))
        };
        self.0.database.within(read).await
    }

    /// Puts proof of a key there, unless there is one: what is there then.
    pub async fn propose(&self, check: SealedSecret) -> Result<SealedSecret, Unavailable> {
        let database = self.0.database.clone();
        let put = async move {
            let mut work = database.write().await?;
            let insert = "INSERT INTO secrets_key (key_id, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            work.run(insert, vec![(&check.key_id).into(), check.bytes.clone().into()]).await?;
            let there = work.row::<KeyRow>(KEY, vec![]).await?;
            work.commit().await?;
            Ok(there.map_or(check, SealedSecret::from))
        };
        self.0.database.within(put).await
    }

    /// Waits until it can be asked.
    pub async fn usable(&self) {
        let mut trouble = self.0.database.follow_trouble();
        // The sender lives as long as this.
        let _ = trouble.wait_for(Option::is_none).await;
    }
}

/// What is on record of secrets, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretsOnRecord {
    /// Proof of which key seals them.
    pub check: Option<SealedSecret>,
    /// How many are sealed, by plugin.
    pub plugins: BTreeMap<String, usize>,
}

/// Looks, without a change to anything.
pub(crate) async fn look(address: &Address) -> Result<SecretsOnRecord, Trouble> {
    if schema::look(address).await? != Standing::Current {
        return Ok(SecretsOnRecord::default());
    }
    let mut connection = DatabaseConnection::open_to_look(address, &Arc::default()).await?;
    let of = |error| Trouble::of_using(address, &error);
    let key = connection.rows::<KeyRow>(KEY, vec![]).await.map_err(of)?.pop();
    let mut plugins = BTreeMap::new();
    let names = "SELECT plugin AS word FROM plugin_secrets ORDER BY plugin";
    for row in connection.rows::<Word>(names, vec![]).await.map_err(of)? {
        *plugins.entry(row.word).or_default() += 1;
    }
    Ok(SecretsOnRecord { check: key.map(SealedSecret::from), plugins })
}

/// Seals a secret of a plugin, at a place, anew; or says why it cannot be.
pub type Reseal<'a> = &'a (dyn Fn(&str, &str, &SealedSecret) -> Result<SealedSecret, String> + Send + Sync);

/// Seals everything anew, all or nothing: how many secrets that were.
pub(crate) async fn reseal(
    address: Address,
    options: &StoreOptions,
    (from, to): (&str, SealedSecret),
    reseal: Reseal<'_>,
) -> Result<usize, Trouble> {
    let refused = |why: String| Trouble::new(TroubleKind::Settings, format!("{why}; nothing was changed"));
    match schema::look(&address).await? {
        Standing::Current => {}
        Standing::Empty => return Err(refused(format!("there is no registry in {}", address.place()))),
        Standing::Older(_) => {
            return Err(refused(format!("{} is not up to date: `camlock migrate` brings it there", address.place())));
        }
    }
    let database = Database::new(address, options.limit);
    let mut work = database.act(Actor::Admin.as_str(), "").await?;
    work.patiently(RESEALING).await?;
    // The plugins first: that is the order in which all take hold of things.
    let lock = work.dialect().lock();
    work.rows::<Word>(&format!("SELECT name AS word FROM plugins ORDER BY name{lock}"), vec![]).await?;
    let there = work.row::<KeyRow>(&format!("{KEY}{lock}"), vec![]).await?.map(|key| key.key_id);
    if there.as_deref() != Some(from) {
        let there =
            there.map_or_else(|| "there is no key on record".to_owned(), |key| format!("the key is {key} by now"));
        return Err(refused(there));
    }
    let rows = work.rows::<SecretRow>(SecretRow::QUERY, vec![]).await?;
    let count = rows.len();
    for row in rows {
        let plugin = row.plugin.clone();
        let (pointer, sealed) = row.secret();
        let anew = reseal(&plugin, &pointer, &sealed).map_err(&refused)?;
        let put = "UPDATE plugin_secrets SET key_id = $3, sealed = $4 WHERE plugin = $1 AND pointer = $2";
        let values: Vec<Value> = vec![plugin.into(), pointer.into(), anew.key_id.into(), anew.bytes.into()];
        work.run(put, values).await?;
    }
    let now = work.dialect().now();
    let key = format!("UPDATE secrets_key SET key_id = $1, sealed = $2, at = {now}");
    let detail = serde_json::json!({ "key": to.key_id, "secrets": count });
    work.run(&key, vec![to.key_id.into(), to.bytes.into()]).await?;
    let note = format!(
        "INSERT INTO plugin_journal (what, actor, detail) VALUES ('secrets-rotated', $1, {})",
        work.dialect().json("$2")
    );
    work.run(&note, vec![Actor::Admin.as_str().into(), detail.to_string().into()]).await?;
    work.commit().await?;
    database.close();
    Ok(count)
}
