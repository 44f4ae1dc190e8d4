//! What is on record of secrets: those of plugins' configurations, sealed, and proof of which key seals them.
//!
//! What must not live here: keys, and how it is sealed.

mod offline;

pub use offline::{Reseal, SecretsOnRecord};
pub(crate) use offline::{look, reseal};

use crate::{
    Trouble,
    connection::Dialect,
    database::{Database, Word, Work},
    shared::StoreCore,
    words::Words,
};
use camlock_policy::{
    MASK, SealedSecret, SealedSecrets,
    registry::{Record, Unavailable},
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Text},
};
use std::{sync::Arc, time::Duration};

/// So often, and with such pauses, SQLite's log is emptied in vain: somebody may be reading it.
const EMPTYING: (u32, Duration) = (40, Duration::from_millis(250));

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
