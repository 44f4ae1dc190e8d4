//! What is on record of catalogs: where they are, what of them was proved, what was installed from them, and installs that were begun.
//!
//! What must not live here: what is believed, and what is installed.

mod policies;

pub use self::policies::AdvisedPlugin;
use crate::{
    Trouble,
    connection::Value,
    database::Work,
    record::count,
    shared::StoreCore,
    words::{OptionalWords, Words},
};
use camlock_policy::registry::{Actor, Unavailable};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Integer, Nullable, Text},
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// A catalog, and what an operator lets it do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogRecord {
    /// What it is called here.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// The first root that is trusted.
    pub root: String,
    /// The metadata that was proved last, by file.
    pub metadata: BTreeMap<String, String>,
    /// The version of what vouches for it.
    pub proved: u64,
    /// Its own version.
    pub version: u64,
    /// Where two have a name, the one with the higher number has it.
    pub priority: i32,
    /// Which names it may provide; none: all.
    pub names: Vec<String>,
    /// Whose keys are taken; none: anybody's, and then the same for ever.
    pub publishers: Vec<String>,
    /// Which repositories' workflows must have attested what is taken; none: nobody has to.
    pub attested_by: Vec<String>,
    /// Which versions with which digests are taken of plugins that are named; none: all.
    pub pins: Vec<String>,
    /// Whether packages are taken that nobody signed.
    pub unsigned: bool,
}

/// To whom a name belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogName {
    /// The plugin.
    pub plugin: String,
    /// The catalog that it first came from.
    pub catalog: String,
    /// Its author's key; empty: nobody signed it.
    pub publisher: String,
}

/// What was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogInstall {
    /// The plugin.
    pub plugin: String,
    /// The catalog that it came from.
    pub catalog: String,
    /// Its version.
    pub version: String,
    /// What its package is known by.
    pub digest: String,
    /// The range that was asked for.
    pub wanted: String,
    /// What it asks of others.
    pub dependencies: BTreeMap<String, String>,
}

/// An install that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogIntent {
    /// Its number.
    pub id: u64,
    /// How far it is.
    pub state: String,
    /// What is to be done, as whoever began it wrote it.
    pub plan: String,
    /// Who asked for it.
    pub actor: String,
}

#[derive(QueryableByName)]
struct CatalogRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    name: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    url: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    root: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    metadata: String,
    #[diesel(sql_type = BigInt)]
    proved: i64,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Integer)]
    priority: i32,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    names: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    publishers: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    attested_by: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    pins: String,
    #[diesel(sql_type = Bool)]
    unsigned: bool,
}

#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    catalog: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    publisher: String,
}

#[derive(QueryableByName)]
struct InstallRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    catalog: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    version: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    digest: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    wanted: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    dependencies: String,
}

#[derive(QueryableByName)]
struct IntentRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    state: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plan: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    actor: String,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    #[allow(dead_code, reason = "for people who look")]
    reason: Option<String>,
}

/// What anybody may have written: what is not understood says nothing.
fn parsed<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

fn written(value: &impl Serialize) -> Value {
    serde_json::to_string(value).unwrap_or_default().into()
}

/// What is on record of catalogs.
#[derive(Clone)]
pub struct CatalogRecords(pub(crate) StoreCore);

impl std::fmt::Debug for CatalogRecords {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("CatalogRecords").field(&self.0.database).finish()
    }
}

impl CatalogRecords {
    async fn write<T: Send + 'static, F>(
        &self,
        act: impl FnOnce(StoreCore, Work) -> F + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let core = self.0.clone();
        let work = async move {
            let work = core.database.write().await?;
            act(core.clone(), work).await
        };
        self.0.database.within(work).await
    }

    async fn rows<R: crate::connection::AnyRow + Send + 'static, T: Send + 'static>(
        &self,
        sql: impl AsRef<str> + Send + 'static,
        values: Vec<Value>,
        of: impl Fn(R) -> T + Send + 'static,
    ) -> Result<Vec<T>, Unavailable> {
        let database = self.0.database.clone();
        let read = async move {
            let mut work = database.alone().await?;
            Ok(work.rows::<R>(sql.as_ref(), values).await?.into_iter().map(of).collect())
        };
        self.0.database.within(read).await
    }

    /// All catalogs, by name.
    pub async fn catalogs(&self) -> Result<Vec<CatalogRecord>, Unavailable> {
        let all = "SELECT name, url, root, metadata, proved, version, CAST(priority AS INTEGER) AS priority, names, publishers, attested_by, pins, unsigned \
                   FROM catalogs ORDER BY name";
        let of = |row: CatalogRow| CatalogRecord {
            metadata: parsed(&row.metadata),
            names: parsed(&row.names),
            publishers: parsed(&row.publishers),
            attested_by: parsed(&row.attested_by),
            pins: parsed(&row.pins),
            name: row.name,
            url: row.url,
            root: row.root,
            proved: count(row.proved),
            version: count(row.version),
            priority: row.priority,
            unsigned: row.unsigned,
        };
        self.rows(all, vec![], of).await
    }

    /// Adds a catalog. False: there is one of that name.
    pub async fn add(&self, record: CatalogRecord, by: Actor) -> Result<bool, Unavailable> {
        self.write(move |core, mut work| async move {
            let add = "INSERT INTO catalogs (name, url, root, priority, names, publishers, attested_by, pins, unsigned) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING";
            let values = vec![
                (&record.name).into(),
                (&record.url).into(),
                (&record.root).into(),
                i64::from(record.priority).into(),
                written(&record.names),
                written(&record.publishers),
                written(&record.attested_by),
                written(&record.pins),
                record.unsigned.into(),
            ];
            let added = work.run(add, values).await? > 0;
            if added {
                note(
                    &core,
                    &mut work,
                    "catalog-added",
                    (None, &by),
                    &serde_json::json!({ "catalog": record.name, "url": record.url }),
                )
                .await?;
            }
            work.commit().await?;
            Ok(added)
        })
        .await
    }

    /// Removes one. What was installed from it stays. False: there is none.
    pub async fn remove(&self, name: &str, by: Actor) -> Result<bool, Unavailable> {
        let name = name.to_owned();
        self.write(move |core, mut work| async move {
            let removed = work.run("DELETE FROM catalogs WHERE name = $1", vec![(&name).into()]).await? > 0;
            if removed {
                note(&core, &mut work, "catalog-removed", (None, &by), &serde_json::json!({ "catalog": name })).await?;
            }
            work.commit().await?;
            Ok(removed)
        })
        .await
    }

    /// Keeps what was proved, unless something later is kept already: no server of a fleet brings another one back.
    pub async fn prove(
        &self,
        name: &str,
        metadata: BTreeMap<String, String>,
        (proved, version): (u64, u64),
    ) -> Result<(), Unavailable> {
        let name = name.to_owned();
        self.write(move |_, mut work| async move {
            let keep = "UPDATE catalogs SET metadata = $2, proved = $3, version = $4 WHERE name = $1 AND proved <= $3";
            work.run(keep, vec![(&name).into(), written(&metadata), proved.into(), version.into()]).await?;
            work.commit().await
        })
        .await
    }

    /// To whom names belong.
    pub async fn names(&self) -> Result<Vec<CatalogName>, Unavailable> {
        let of = |row: NameRow| CatalogName { plugin: row.plugin, catalog: row.catalog, publisher: row.publisher };
        self.rows("SELECT plugin, catalog, publisher FROM catalog_names ORDER BY plugin", vec![], of).await
    }

    /// What was installed, by plugin.
    pub async fn installs(&self) -> Result<Vec<CatalogInstall>, Unavailable> {
        let all = "SELECT plugin, catalog, version, digest, wanted, dependencies FROM catalog_installs ORDER BY plugin";
        let of = |row: InstallRow| CatalogInstall {
            dependencies: parsed(&row.dependencies),
            plugin: row.plugin,
            catalog: row.catalog,
            version: row.version,
            digest: row.digest,
            wanted: row.wanted,
        };
        self.rows(all, vec![], of).await
    }

    /// Puts an intent on record: its number.
    pub async fn begin(&self, plan: String, by: Actor) -> Result<u64, Unavailable> {
        self.write(move |core, mut work| async move {
            let begin = "INSERT INTO catalog_intents (node, state, plan, actor) VALUES ($1, 'planned', $2, $3) \
                         RETURNING id, state, plan, actor, reason";
            let values = vec![core.node().into(), plan.into(), by.as_str().into()];
            let row = work.row::<IntentRow>(begin, values).await?;
            work.commit().await?;
            Ok(row.map_or(0, |row| count(row.id)))
        })
        .await
    }

    /// How far an intent is now, and why.
    pub async fn advance(&self, id: u64, state: &'static str, reason: Option<String>) -> Result<(), Unavailable> {
        self.write(move |_, mut work| async move {
            advance(&mut work, id, state, reason).await?;
            work.commit().await
        })
        .await
    }

    /// An intent is done, and with it these are installed, from now on bound to where they came from: all of it, or nothing.
    pub async fn complete(
        &self,
        id: u64,
        installs: Vec<(CatalogInstall, String)>,
        by: Actor,
    ) -> Result<(), Unavailable> {
        self.write(move |_, mut work| async move {
            let now = work.dialect().now();
            for (install, publisher) in installs {
                let bind = "INSERT INTO catalog_names (plugin, catalog, publisher) VALUES ($1, $2, $3) \
                            ON CONFLICT (plugin) DO UPDATE SET catalog = excluded.catalog, publisher = excluded.publisher";
                work.run(bind, vec![(&install.plugin).into(), (&install.catalog).into(), publisher.into()]).await?;
                let put = format!(
                    "INSERT INTO catalog_installs (plugin, catalog, version, digest, wanted, dependencies, installed_by) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (plugin) DO UPDATE SET catalog = excluded.catalog, \
                     version = excluded.version, digest = excluded.digest, wanted = excluded.wanted, \
                     dependencies = excluded.dependencies, installed_by = excluded.installed_by, updated_at = {now}"
                );
                let values = vec![
                    (&install.plugin).into(),
                    (&install.catalog).into(),
                    (&install.version).into(),
                    (&install.digest).into(),
                    (&install.wanted).into(),
                    written(&install.dependencies),
                    by.as_str().into(),
                ];
                work.run(&put, values).await?;
            }
            advance(&mut work, id, "done", None).await?;
            work.commit().await
        })
        .await
    }

    /// This node's intents that are neither done nor undone, the oldest first.
    pub async fn unfinished(&self) -> Result<Vec<CatalogIntent>, Unavailable> {
        let unfinished = "SELECT id, state, plan, actor, reason FROM catalog_intents WHERE node = $1 AND state NOT IN ('done', 'undone') \
                          ORDER BY id";
        let of =
            |row: IntentRow| CatalogIntent { id: count(row.id), state: row.state, plan: row.plan, actor: row.actor };
        self.rows(unfinished, vec![self.0.node().into()], of).await
    }
}

async fn advance(work: &mut Work, id: u64, state: &'static str, reason: Option<String>) -> Result<(), Trouble> {
    let now = work.dialect().now();
    let advance = format!("UPDATE catalog_intents SET state = $2, reason = $3, changed_at = {now} WHERE id = $1");
    work.run(&advance, vec![id.into(), state.into(), reason.into()]).await.map(drop)
}

async fn note(
    core: &StoreCore,
    work: &mut Work,
    what: &'static str,
    (plugin, by): (Option<&str>, &Actor),
    detail: &serde_json::Value,
) -> Result<(), Trouble> {
    let detail_as_json = work.dialect().json("$5");
    let note = format!(
        "INSERT INTO plugin_journal (node, plugin, what, actor, detail) VALUES ($1, $2, $3, $4, {detail_as_json})"
    );
    let plugin = plugin.map(str::to_owned);
    let values = vec![core.node().into(), plugin.into(), what.into(), by.as_str().into(), detail.to_string().into()];
    work.run(&note, values).await.map(drop)
}
