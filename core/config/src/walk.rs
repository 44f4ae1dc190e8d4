//! Going through a schema's document: subschemas, and where references lead.

use referencing::{Draft, Resolver, ResourceRef};
use serde_json::{Map, Value};

/// A schema of the document, and how references in it are understood.
#[derive(Clone)]
pub(crate) struct Place<'r> {
    pub(crate) schema: &'r Value,
    resolver: Resolver<'r>,
}

impl<'r> Place<'r> {
    pub(crate) fn new(schema: &'r Value, resolver: Resolver<'r>) -> Self {
        Place { schema, resolver }
    }

    /// The schema as an object; `true` and `false` are as if empty.
    pub(crate) fn keywords(&self) -> Option<&'r Map<String, Value>> {
        self.schema.as_object()
    }

    /// A schema below it.
    pub(crate) fn below(&self, schema: &'r Value) -> Self {
        let resolver = self.resolver.in_subresource(ResourceRef::new(schema, Draft::Draft202012));
        Place { schema, resolver: resolver.unwrap_or_else(|_| self.resolver.clone()) }
    }

    /// The schema that a keyword holds.
    pub(crate) fn one(&self, keyword: &str) -> Option<Self> {
        Some(self.below(self.keywords()?.get(keyword)?))
    }

    /// The schemas that a keyword lists.
    pub(crate) fn list(&self, keyword: &str) -> Vec<Self> {
        let listed = self.keywords().and_then(|keywords| keywords.get(keyword)).and_then(Value::as_array);
        listed.into_iter().flatten().map(|schema| self.below(schema)).collect()
    }

    /// The schemas that a keyword has by name.
    pub(crate) fn named(&self, keyword: &str) -> Vec<(&'r str, Self)> {
        let named = self.keywords().and_then(|keywords| keywords.get(keyword)).and_then(Value::as_object);
        named.into_iter().flatten().map(|(name, schema)| (name.as_str(), self.below(schema))).collect()
    }

    /// The schemas that it refers to.
    pub(crate) fn referred(&self) -> Vec<Self> {
        let Some(keywords) = self.keywords() else { return Vec::new() };
        let references = ["$ref", "$dynamicRef"].iter().filter_map(|keyword| keywords.get(*keyword)?.as_str());
        let followed = references.filter_map(|reference| self.resolver.lookup(reference).ok());
        followed
            .map(|resolved| {
                let (schema, resolver, _) = resolved.into_inner();
                Place { schema, resolver }
            })
            .collect()
    }

    /// It, and all that holds wherever it does: what it refers to, and the members of its `allOf`.
    pub(crate) fn together(&self) -> Vec<Self> {
        let mut all: Vec<Place<'r>> = Vec::new();
        let mut coming = vec![self.clone()];
        while let Some(place) = coming.pop() {
            if all.iter().any(|known| std::ptr::eq(known.schema, place.schema)) {
                continue;
            }
            let mut more = place.referred();
            more.extend(place.list("allOf"));
            more.reverse();
            coming.extend(more);
            all.push(place);
        }
        all
    }
}
