//! Configurations held against schemas: before a candidate is loaded, before what serves is offered another one, and before an order
//! is put on record; and what of them may be shown.
//!
//! What must not live here: what a schema says (the port), how secrets get on record and come back from there (`sealing`), and what a
//! plugin makes of a configuration that fits (`configuring`).

use super::plugin::Plugin;
use crate::{
    Candidate, ConfigSchema, ConfigViolation, Failure, MASK, NotOpened, Refused, SealedSecrets, Stage,
    secrets::is_masked,
};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// Why there is no configuration for an artifact.
pub(super) enum NoConfig {
    /// What is on record does not fit, or is damaged.
    Failure(Failure),
    /// Its secrets cannot be opened here without another key: why.
    Sealed(String),
}

impl From<NotOpened> for NoConfig {
    fn from(why: NotOpened) -> Self {
        if why.lacks_key() {
            NoConfig::Sealed(why.to_string())
        } else {
            NoConfig::Failure(Failure::new(Stage::Config, why.to_string()))
        }
    }
}

impl Plugin {
    /// The configuration on record as this artifact is to get it: with its secrets and its schema's defaults.
    pub(super) fn config_for(&self, artifact: &dyn Candidate) -> Result<Arc<str>, NoConfig> {
        let Some(record) = self.record() else { return Ok(self.on_record.config.shown.clone()) };
        let opened = match record.secrets.is_empty() {
            true => record.config.clone(),
            false => self.on_record.sealer.put_back(&self.name, &record.config, &record.secrets)?,
        };
        let Some(schema) = artifact.schema() else { return Ok(opened.to_string().into()) };
        let places = top_level(schema.sensitive(&record.config), &record.config);
        let lacking = |place: &String| is_masked(&record.config, place) && !record.secrets.contains_key(place);
        let lacking: Vec<_> = places.into_iter().filter(lacking).map(no_secret).collect();
        let complete = if lacking.is_empty() { schema.complete(&opened) } else { Err(lacking) };
        match complete {
            Ok(complete) => Ok(complete.to_string().into()),
            Err(violations) => {
                let violations = self.without_secrets(violations);
                let version = &artifact.manifest().version;
                let does_not = format!("the configuration on record does not fit the schema of version {version}");
                let reason = format!("{does_not}: {}", in_words(&violations));
                Err(NoConfig::Failure(Failure::new(Stage::Config, reason)))
            }
        }
    }

    fn config(&self) -> Value {
        self.record().map_or_else(|| serde_json::json!({}), |record| record.config.clone())
    }

    /// A configuration that somebody orders, as it is to be put on record, and the secrets in it that are new. What serves has to
    /// accept it.
    pub(super) fn ordered_config(&self, mut config: Value) -> Result<(Value, SealedSecrets), Refused> {
        let places = self.secret_places(&config);
        self.keep_secrets(&mut config, &places)?;
        let nothing = SealedSecrets::new();
        let before = self.record().map_or(&nothing, |record| &record.secrets);
        let not_opened = |why: NotOpened| Refused::Conflict(format!("`{}` cannot be configured: {why}", self.name));
        if let Some(schema) = self.serving.as_ref().and_then(|serving| serving.artifact.schema()) {
            let opened = match places.iter().any(|place| is_masked(&config, place)) {
                true => self.on_record.sealer.put_back(&self.name, &config, before).map_err(not_opened)?,
                false => config.clone(),
            };
            // Defaults are not put on record: a later version may have others.
            schema.complete(&opened).map_err(|violations| Refused::Misfit(self.without_secrets(violations)))?;
        }
        let is_there = |place: &String| config.pointer(place).is_some_and(|value| !value.is_null());
        if !places.iter().any(is_there) {
            return Ok((config, nothing));
        }
        let (shown, mut secrets) =
            self.on_record.sealer.set_apart(&self.name, &config, &places, before).map_err(not_opened)?;
        // What is on record already is kept there, whatever it has become meanwhile.
        secrets.retain(|place, sealed| before.get(place) != Some(sealed));
        Ok((shown, secrets))
    }

    /// What one schema calls a secret may stand in what another one says.
    fn without_secrets(&self, mut violations: Vec<ConfigViolation>) -> Vec<ConfigViolation> {
        let secrets = self.secret_places(&self.config());
        let is_secret = |pointer: &str| {
            let below = |secret: &String| pointer.strip_prefix(secret.as_str()).map(str::to_owned);
            secrets.iter().filter_map(below).any(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // That a secret is not there is told.
        let tells = |violation: &ConfigViolation| is_secret(&violation.pointer) && !violation.found.starts_with('`');
        for violation in violations.iter_mut().filter(|violation| tells(violation)) {
            "a hidden value".clone_into(&mut violation.found);
        }
        violations
    }

    /// Where an order has what is shown in place of a secret, it means the secret that is on record.
    fn keep_secrets(&self, config: &mut Value, places: &BTreeSet<String>) -> Result<(), Refused> {
        let known = self.config();
        let mut lacking = Vec::new();
        for pointer in places.iter().filter(|place| is_masked(config, place)).cloned().collect::<Vec<_>>() {
            let is_sealed = self.record().is_some_and(|record| record.secrets.contains_key(&pointer));
            if let Some(why) = list_changed(&known, config, &pointer) {
                lacking.push(ConfigViolation {
                    pointer,
                    expected: format!("a secret, for {why}"),
                    found: format!("`{MASK}`, which stands for the one that was there"),
                });
                continue;
            }
            match known.pointer(&pointer) {
                Some(_) if is_sealed => {}
                // It lies there in plain, and is about to be sealed.
                Some(secret) if *secret != *MASK => {
                    if let Some(value) = config.pointer_mut(&pointer) {
                        value.clone_from(secret);
                    }
                }
                _ => lacking.push(no_secret(pointer)),
            }
        }
        if lacking.is_empty() { Ok(()) } else { Err(Refused::Misfit(lacking)) }
    }

    /// Where secrets stand in a configuration: what its schemas call sensitive, and what was a secret before.
    pub(super) fn secret_places(&self, config: &Value) -> BTreeSet<String> {
        let sealed = self.record().into_iter().flat_map(|record| record.secrets.keys().cloned());
        let called = self.schemas().flat_map(|schema| schema.sensitive(config)).collect();
        top_level(called, config).into_iter().chain(sealed).collect()
    }

    /// The schemas that say what of its configuration is secret: of what serves, and of what was last prepared.
    fn schemas(&self) -> impl Iterator<Item = Arc<dyn ConfigSchema>> {
        let serving = self.serving.as_ref().and_then(|serving| serving.artifact.schema());
        serving.into_iter().chain(self.past.schema.clone())
    }

    /// The schema of its configuration.
    pub(super) fn schema_text(&self) -> Option<Arc<str>> {
        self.schemas().next().map(|schema| schema.text().into())
    }

    /// Its configuration without what is secret.
    pub(super) fn shown_config(&self) -> Value {
        self.schemas().fold(self.config(), |config, schema| schema.masked(&config))
    }
}

/// On record a configuration is an object: where all of it is secret, that is each of its members.
fn top_level(mut places: BTreeSet<String>, config: &Value) -> BTreeSet<String> {
    if places.remove("") {
        let members = config.as_object().into_iter().flat_map(serde_json::Map::keys);
        places = members.map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect();
    }
    places
}

fn no_secret(pointer: String) -> ConfigViolation {
    ConfigViolation {
        pointer,
        expected: "a secret".to_owned(),
        found: format!("`{MASK}`, which stands for the one on record, and there is none"),
    }
}

/// Whether a list above this place is another, so that it is not known what stood there: what is another about it.
fn list_changed(before: &Value, now: &Value, pointer: &str) -> Option<&'static str> {
    pointer.match_indices('/').find_map(|(at, _)| {
        let (above, below) = pointer.split_at(at);
        let list = |config: &'_ Value| config.pointer(above).and_then(Value::as_array).map(Vec::len);
        if list(before)? != list(now)? {
            return Some("the list that it stands in has another length now");
        }
        let end = below[1..].find('/').map_or(pointer.len(), |end| at + 1 + end);
        let item = &pointer[..end];
        let same =
            before.pointer(item).zip(now.pointer(item)).is_some_and(|(before, now)| same_but_secrets(before, now));
        (!same).then_some("what it stands beside in its list is another now")
    })
}

/// Whether both are the same wherever no secret stands.
fn same_but_secrets(before: &Value, now: &Value) -> bool {
    match (before, now) {
        _ if *before == *MASK => true,
        (Value::Object(before), Value::Object(now)) => {
            let same = |key: &String, before: &Value| now.get(key).is_some_and(|now| same_but_secrets(before, now));
            before.len() == now.len() && before.iter().all(|(key, before)| same(key, before))
        }
        (Value::Array(before), Value::Array(now)) => {
            before.len() == now.len() && before.iter().zip(now).all(|(before, now)| same_but_secrets(before, now))
        }
        (before, now) => before == now,
    }
}

/// The places that do not fit, the first few of them.
fn in_words(violations: &[ConfigViolation]) -> String {
    const MOST: usize = 5;
    let mut words: Vec<_> = violations.iter().take(MOST).map(ConfigViolation::to_string).collect();
    if let Some(more) = violations.len().checked_sub(MOST).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn in_a_list_a_mask_stands_for_what_stood_just_there() {
        let before = json!({"doors": [{"host": "a", "pin": MASK}, {"host": "b", "pin": MASK}], "keys": [MASK, MASK]});
        let changed = |now: Value, pointer: &str| list_changed(&before, &now, pointer);
        assert_eq!(changed(before.clone(), "/doors/0/pin"), None);
        assert_eq!(changed(json!({"keys": [MASK, "new"]}), "/keys/0"), None);
        let one_new = json!({"doors": [{"host": "a", "pin": "new"}, {"host": "b", "pin": MASK}]});
        assert_eq!(changed(one_new, "/doors/1/pin"), None);
        let shorter = json!({"doors": [{"host": "b", "pin": MASK}]});
        assert_eq!(changed(shorter, "/doors/0/pin"), Some("the list that it stands in has another length now"));
        // The first was taken out, and another one added: what was the second's stands where the first's was.
        let moved = json!({"doors": [{"host": "b", "pin": MASK}, {"host": "c", "pin": "new"}]});
        assert_eq!(changed(moved, "/doors/0/pin"), Some("what it stands beside in its list is another now"));
    }
}
