//! YAML as a tree in which everything has its place. Bounded: in size, depth, nodes, and what anchors make of it.
//!
//! What must not live here: what a manifest must say.

use super::{LARGEST_MANIFEST, at_the_beginning};
use crate::trouble::{BrokenRule, ManifestViolation};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// So deep are lists in mappings in lists.
const DEEPEST: usize = 16;
/// So many nodes there are, those that stand for others counted as often as they stand there.
const MOST_NODES: usize = 2_000;
/// So many anchors there are, and so often they are used.
const MOST_ANCHORS: usize = 32;

/// Something that stands in a file.
#[derive(Clone, Debug)]
pub(super) struct YamlNode {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) value: YamlValue,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum YamlValue {
    Null,
    Flag,
    Number,
    Text(String),
    List(Vec<YamlNode>),
    Mapping(Vec<(String, YamlNode)>),
}

impl YamlValue {
    /// In words.
    pub(super) fn word(&self) -> &'static str {
        match self {
            YamlValue::Null => "nothing",
            YamlValue::Flag => "true or false",
            YamlValue::Number => "a number",
            YamlValue::Text(_) => "a text",
            YamlValue::List(_) => "a list",
            YamlValue::Mapping(_) => "a mapping",
        }
    }
}

/// Reads it.
pub(super) fn read(text: &[u8]) -> Result<YamlNode, ManifestViolation> {
    if text.len() as u64 > LARGEST_MANIFEST {
        let message = format!("it has {} bytes, and a manifest has {LARGEST_MANIFEST} at most", text.len());
        return Err(at_the_beginning(message));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let good = String::from_utf8_lossy(&text[..error.valid_up_to()]).into_owned();
        let line = good.lines().count().max(1) as u64;
        let message = "Invalid YAML syntax: it is not UTF-8".to_owned();
        ManifestViolation { rule: BrokenRule::InvalidFormat, line, column: 1, message }
    })?;
    if text.trim().is_empty() {
        return Err(at_the_beginning("it is empty, and a manifest is a mapping".to_owned()));
    }
    // A parser that panics would be a defect of its own; one repository must not end a scan with it.
    let parsed = std::panic::catch_unwind(|| serde_saphyr::from_str_with_options::<YamlNode>(text, options()));
    match parsed {
        Ok(Ok(node)) => Ok(node),
        Ok(Err(error)) => Err(no_yaml(&error)),
        Err(_) => Err(at_the_beginning("Invalid YAML syntax: it cannot be read".to_owned())),
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_nodes: MOST_NODES,
            max_events: 4 * MOST_NODES,
            max_anchors: MOST_ANCHORS,
            max_aliases: MOST_ANCHORS,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MOST_NODES,
            max_replay_stack_depth: 4,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::Error,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn no_yaml(error: &serde_saphyr::Error) -> ManifestViolation {
    let place = error.location().filter(|place| *place != Location::UNKNOWN);
    let told = error.without_snippet().to_string();
    // The place is told once.
    let told = told.split('\n').next().unwrap_or_default();
    let told = told.rsplit_once(" at line ").map_or(told, |(told, _)| told).trim_end_matches([':', ',', ' ']);
    let (line, column) = place.map_or((1, 1), |place| (place.line(), place.column()));
    let message = format!("Invalid YAML syntax: {told}");
    ManifestViolation { rule: BrokenRule::InvalidFormat, line, column, message }
}

impl<'de> Deserialize<'de> for YamlNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<YamlValue>::deserialize(deserializer)?;
        Ok(YamlNode { line: referenced.line(), column: referenced.column(), value })
    }
}

impl<'de> Deserialize<'de> for YamlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = YamlValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, a number, a list or a mapping")
    }

    fn visit_bool<E>(self, _: bool) -> Result<YamlValue, E> {
        Ok(YamlValue::Flag)
    }

    fn visit_i64<E>(self, _: i64) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<YamlValue, E> {
        Ok(YamlValue::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<YamlValue, E> {
        Ok(YamlValue::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Null)
    }

    fn visit_none<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<YamlValue, D::Error> {
        YamlValue::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<YamlValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(YamlValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<YamlValue, A::Error> {
        let mut mapping = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            mapping.push(entry);
        }
        Ok(YamlValue::Mapping(mapping))
    }
}
