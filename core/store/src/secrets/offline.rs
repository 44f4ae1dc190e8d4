//! Secrets looked at, and sealed anew, without a server. What must not live here: what a server does with them (`secrets`).

use super::{KEY, KeyRow, SecretRow};
use crate::{
    Standing, StoreOptions, Trouble, TroubleKind,
    address::Address,
    connection::{DatabaseConnection, Value},
    database::{Database, Word},
    schema,
};
use camlock_policy::{SealedSecret, registry::Actor};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// However many secrets there are, sealing them anew takes less.
const RESEALING: Duration = Duration::from_secs(60);

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
        let anew = reseal(&plugin, &pointer, &sealed).map_err(refused)?;
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
