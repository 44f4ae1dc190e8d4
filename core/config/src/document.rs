//! A schema's document: read within bounds, with all that it refers to in itself.

use crate::{
    pointer::depth,
    schema::{LARGEST_SCHEMA, UnusableSchema},
};
use jsonschema::Validator;
use referencing::{Draft, Registry, Resource, Retrieve, Uri};
use serde_json::Value;
use std::error::Error;

/// The address that the document has for itself, if it gives none.
pub(crate) const OWN_ADDRESS: &str = "json-schema:///";
/// The one dialect.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const DEEPEST: usize = 64;

/// Fetches nothing.
struct Refuses;

impl Retrieve for Refuses {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        Err(format!("`{uri}` lies outside the document").into())
    }
}

/// Reads a document.
pub(crate) fn read(text: &str) -> Result<Value, UnusableSchema> {
    if text.len() > LARGEST_SCHEMA {
        return Err(UnusableSchema(format!("it is {} bytes long, more than {LARGEST_SCHEMA}", text.len())));
    }
    let document: Value =
        serde_json::from_str(text).map_err(|error| UnusableSchema(format!("it is not JSON: {error}")))?;
    if depth(&document) > DEEPEST {
        return Err(UnusableSchema(format!("it is nested more than {DEEPEST} deep")));
    }
    match &document {
        Value::Bool(_) => Ok(document),
        Value::Object(map) => match map.get("$schema").map(|dialect| dialect.as_str().unwrap_or_default()) {
            None => Ok(document),
            Some(dialect) if dialect.trim_end_matches('#') == DIALECT => Ok(document),
            Some(dialect) => {
                Err(UnusableSchema(format!("its `$schema` is `{dialect}`, and only `{DIALECT}` is understood")))
            }
        },
        _ => Err(UnusableSchema("a schema is an object, or true or false".to_owned())),
    }
}

/// What judges by the document.
pub(crate) fn validator(document: &Value) -> Result<Validator, UnusableSchema> {
    let built = jsonschema::options().with_draft(Draft::Draft202012).with_retriever(Refuses).build(document);
    built.map_err(|error| {
        let place = error.instance_path().as_str();
        let place = if place.is_empty() { String::new() } else { format!(", at `{place}`") };
        // What could not be fetched is named by the refusal; the library speaks of fetching.
        let why = error.to_string();
        let outside = why.split('`').nth(1).filter(|_| why.contains("lies outside the document"));
        match outside.map(str::to_owned).or_else(|| unretrievable(&error)) {
            Some(uri) => UnusableSchema(format!(
                "it refers to `{uri}`, which lies outside the document: put that schema below `$defs`, and refer to \
                 `#/$defs/…`"
            )),
            None => UnusableSchema(format!("{why}{place}")),
        }
    })
}

/// The address that a reference names and that is not in the document.
fn unretrievable(error: &jsonschema::ValidationError<'_>) -> Option<String> {
    match error.kind() {
        jsonschema::error::ValidationErrorKind::Referencing(referencing::Error::Unretrievable { uri, .. }) => {
            Some(uri.clone())
        }
        _ => None,
    }
}

/// Where its references lead.
pub(crate) fn registry(document: &Value) -> Result<(Registry<'static>, Uri<String>), UnusableSchema> {
    let address = document.get("$id").and_then(Value::as_str).filter(|id| !id.starts_with('#')).unwrap_or(OWN_ADDRESS);
    let unusable = |error: &dyn Error| UnusableSchema(error.to_string());
    let uri = referencing::uri::from_str(address.trim_end_matches('#')).map_err(|error| unusable(&error))?;
    let registry = Registry::new().draft(Draft::Draft202012).retriever(Refuses);
    let registry = registry.add(uri.as_str(), Resource::from_contents(document.clone()));
    let registry = registry.and_then(|registry| registry.prepare()).map_err(|error| unusable(&error))?;
    Ok((registry, uri))
}
