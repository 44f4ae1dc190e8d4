//! Records as rows.

use crate::{
    Trouble,
    connection::Value,
    database::Work,
    secrets::{SecretRow, masked},
    shared::{StoreCore, locked},
    words::{OptionalWords, Words},
};
use camlock_policy::{
    Digest, Fingerprint, Grants, PluginSource, SealedSecrets,
    manifest::check_name,
    registry::{Actor, Agreed, Happened, Record},
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

/// More names than this are not listed: everything is read, and what was not asked for is left out.
const LISTED: usize = 50;

#[derive(QueryableByName)]
struct RecordRow {
    #[diesel(sql_type = Text)]
    name: Words,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    kind: String,
    #[diesel(sql_type = Bool)]
    enabled: bool,
    #[diesel(sql_type = Text)]
    configuration: Words,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    artifact_digest: Option<String>,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    fingerprint: Option<String>,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    version: String,
    #[diesel(sql_type = BigInt)]
    reloads: i64,
    #[diesel(sql_type = Bool)]
    removed: bool,
    #[diesel(sql_type = Bool)]
    purge: bool,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    source: String,
    #[diesel(sql_type = Nullable<Text>, deserialize_as = OptionalWords)]
    isolation: Option<String>,
    #[diesel(sql_type = BigInt)]
    revision: i64,
    #[diesel(sql_type = BigInt)]
    registered: i64,
}

const COLUMNS: &str = "SELECT name, kind, enabled, CAST(config AS TEXT) AS configuration, artifact_digest, fingerprint, version, \
     reloads, removed, purge, source, isolation, revision, registered FROM plugins";

#[derive(QueryableByName)]
struct Quarantined {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    digest: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    reason: String,
}

#[derive(QueryableByName)]
struct GrantedRow {
    #[diesel(sql_type = Text, deserialize_as = Words)]
    plugin: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    source: String,
    #[diesel(sql_type = Text)]
    granted: Words,
}

impl StoreCore {
    /// Records of these plugins, or all.
    pub(crate) async fn records(
        &self,
        work: &mut Work,
        names: Option<&BTreeSet<String>>,
    ) -> Result<Vec<Record>, Trouble> {
        let (listed, values) = list("name", names);
        let rows = work.rows::<RecordRow>(&format!("{COLUMNS}{listed} ORDER BY name"), values).await?;
        self.with_what_belongs_to_them(work, rows, names).await
    }

    /// A record. Nobody else changes it until the work ends.
    pub(crate) async fn record(&self, work: &mut Work, name: &str) -> Result<Option<Record>, Trouble> {
        let lock = work.dialect().lock();
        let rows = work.rows::<RecordRow>(&format!("{COLUMNS} WHERE name = $1{lock}"), vec![name.into()]).await?;
        let names = BTreeSet::from([name.to_owned()]);
        Ok(self.with_what_belongs_to_them(work, rows, Some(&names)).await?.pop())
    }

    async fn with_what_belongs_to_them(
        &self,
        work: &mut Work,
        rows: Vec<RecordRow>,
        names: Option<&BTreeSet<String>>,
    ) -> Result<Vec<Record>, Trouble> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (listed, values) = list("plugin", names);
        let query = format!("SELECT plugin, digest, reason FROM plugin_quarantine{listed}");
        let mut quarantine: BTreeMap<String, BTreeMap<Digest, String>> = BTreeMap::new();
        for row in work.rows::<Quarantined>(&query, values.clone()).await? {
            // A digest that is none keeps nothing out.
            if let Ok(digest) = row.digest.parse() {
                quarantine.entry(row.plugin).or_default().insert(digest, row.reason);
            }
        }
        let query = format!("SELECT plugin, source, granted FROM plugin_grants{listed}");
        let mut granted: BTreeMap<(String, String), Words> = BTreeMap::new();
        for row in work.rows::<GrantedRow>(&query, values.clone()).await? {
            granted.insert((row.plugin, row.source), row.granted);
        }
        let query = format!("{}{listed}", SecretRow::QUERY);
        let mut secrets: BTreeMap<String, SealedSecrets> = BTreeMap::new();
        for row in work.rows::<SecretRow>(&query, values).await? {
            secrets.entry(row.plugin.clone()).or_default().extend([row.secret()]);
        }
        let asked = |row: &RecordRow| names.is_none_or(|names| names.contains(&*row.name));
        Ok(rows
            .into_iter()
            .filter(asked)
            .filter(|row| self.may_be_a_plugin(&row.name))
            .map(|row| {
                let quarantine = quarantine.remove(&*row.name).unwrap_or_default();
                let granted = granted.remove(&((*row.name).to_owned(), row.source.clone()));
                let secrets = secrets.remove(&*row.name).unwrap_or_default();
                let record = self.of_row(row, quarantine, granted);
                Record { secrets: masked(&record.config, secrets), ..record }
            })
            .collect())
    }

    /// A row whose name no plugin can have is nobody's: it is left alone, and that is told once.
    fn may_be_a_plugin(&self, name: &Words) -> bool {
        if !name.is_damaged() && check_name(name).is_ok() {
            return true;
        }
        let why = if name.is_damaged() { "is no UTF-8" } else { "breaks the rules for names" };
        self.refuse_once(
            name,
            name,
            "record-refused",
            &format!("a row of `plugins` is not used, for its name {name} {why}: delete it"),
        );
        false
    }

    fn of_row(&self, row: RecordRow, quarantine: BTreeMap<Digest, String>, granted: Option<Words>) -> Record {
        let digest = row.artifact_digest.as_ref().and_then(|digest| match digest.parse() {
            Ok(digest) => Some(digest),
            Err(error) => {
                tracing::warn!(
                    "the record of {} names the artifact {digest:?}, which nobody can serve: {error}",
                    row.name
                );
                None
            }
        });
        let agreed =
            digest.map(|digest| Agreed { fingerprint: row.fingerprint.map(Fingerprint), digest, version: row.version });
        Record {
            built_in: row.kind == "static",
            enabled: row.enabled,
            config: self.configuration(&row.name, &row.configuration),
            secrets: SealedSecrets::new(),
            grants: granted.map(|granted| self.grants(&row.name, &granted)),
            // What is no source is none that anything was granted to.
            source: row.source.parse().unwrap_or(PluginSource::Upload),
            // What is no mode decides nothing: the database lets none in.
            isolation: row.isolation.and_then(|word| word.parse().ok()),
            agreed,
            reloads: count(row.reloads),
            removed: row.removed,
            purge: row.purge,
            quarantine,
            revision: count(row.revision),
            registered: count(row.registered),
            name: row.name.into(),
        }
    }

    /// What is granted. What is no permission grants nothing.
    fn grants(&self, name: &Words, text: &Words) -> Grants {
        if **text == *"asked" {
            return Grants::Asked;
        }
        let (good, bad): (Vec<&str>, Vec<&str>) =
            text.split_whitespace().partition(|word| Grants::these([*word]).is_ok());
        if !bad.is_empty() {
            let sentence = format!(
                "what the registry grants to {name} is used without {}: there are no such permissions",
                bad.join(", ")
            );
            self.refuse_once(&format!("{name} grants"), text, "grants-refused", &sentence);
        }
        Grants::these(good).unwrap_or_default()
    }

    /// A configuration. Where somebody wrote what is no JSON object the last one that was goes on.
    fn configuration(&self, name: &str, text: &Words) -> serde_json::Value {
        let why = match serde_json::from_str::<serde_json::Value>(text) {
            _ if text.is_damaged() => "it is no UTF-8".to_owned(),
            Ok(config) if config.is_object() => {
                locked(&self.configs).insert(name.to_owned(), config.clone());
                locked(&self.refused).remove(name);
                return config;
            }
            Ok(_) => "it is no JSON object".to_owned(),
            Err(error) => format!("it is no JSON ({error})"),
        };
        let sentence =
            format!("the configuration of {name} in the registry is not used, for {why}; the last one goes on");
        self.refuse_once(name, text, "config-refused", &sentence);
        locked(&self.configs).get(name).cloned().unwrap_or_else(|| serde_json::json!({}))
    }

    /// Says that a part of a row is not used: in the log and in the journal, once for each text.
    fn refuse_once(&self, name: &str, text: &str, what: &'static str, sentence: &str) {
        if locked(&self.refused).insert(name.to_owned(), text.to_owned()).is_some_and(|before| before == text) {
            return;
        }
        tracing::warn!("{sentence}");
        self.keep_note(Happened {
            plugin: check_name(name).is_ok().then(|| name.to_owned()),
            generation: None,
            what,
            by: Actor::Sql,
            detail: serde_json::json!({ "reason": sentence }),
            at: SystemTime::now(),
        });
    }
}

/// A condition for a few names, with its parameters.
fn list(column: &str, names: Option<&BTreeSet<String>>) -> (String, Vec<Value>) {
    match names {
        Some(names) if names.len() <= LISTED => {
            let places: Vec<String> = (1..=names.len()).map(|number| format!("${number}")).collect();
            // No plugin has no name.
            let places = if places.is_empty() { "''".to_owned() } else { places.join(", ") };
            (format!(" WHERE {column} IN ({places})"), names.iter().map(Value::from).collect())
        }
        _ => (String::new(), Vec::new()),
    }
}

/// A number that is never below nothing.
pub(crate) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
