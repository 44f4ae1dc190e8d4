//! The host's own OpenAPI document, and all plugins' with it: merged anew only when one of them has changed. Pure.

use crate::{access::least, merge};
use bytes::Bytes;
use camlock_api::ProblemView;
use camlock_policy::{Digest, Overview, routes::MOUNTS};
use http::Method;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::{PartialSchema, openapi::OpenApi};

const ABOUT: &str = "What is served, and how it is; what operators may do. Below `/api/v1/p/` are the plugins' own paths, as \
                     they describe them.";

/// The document, as it was last merged.
#[derive(Default)]
pub(crate) struct Merged {
    host: Map<String, Value>,
    last: Mutex<Option<Arc<MergedText>>>,
}

pub(crate) struct MergedText {
    /// What it was merged from.
    of: Vec<(String, Arc<str>)>,
    pub(crate) text: Bytes,
    pub(crate) tag: String,
}

impl Merged {
    /// The host's own document, still without plugins.
    pub(crate) fn with(document: &OpenApi, version: &str) -> Self {
        let document = serde_json::to_value(document).ok();
        let mut host = document.and_then(|document| document.as_object().cloned()).unwrap_or_default();
        complete(&mut host, version);
        Merged { host, last: Mutex::default() }
    }

    /// With these plugins. It may take its time.
    pub(crate) fn of(&self, overview: &Overview) -> Arc<MergedText> {
        let documents = overview.plugins.iter();
        let of: Vec<_> = documents.filter_map(|plugin| Some((plugin.name.clone(), plugin.document()?))).collect();
        // Who comes while it is being merged waits for that.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.of == of) {
            return last.clone();
        }
        let mut all = self.host.clone();
        let mut left_out = Map::new();
        for (plugin, document) in &of {
            if let Err(why) = merge::add(&mut all, plugin, document) {
                left_out.insert(plugin.clone(), why.into());
            }
        }
        say_what_else_is_answered(&mut all);
        if !left_out.is_empty() {
            all.insert("x-left-out".to_owned(), left_out.into());
        }
        let text = Bytes::from(Value::Object(all).to_string());
        let tag = format!("\"{}\"", &Digest::of(&text).hex()[..32]);
        last.insert(Arc::new(MergedText { of, text, tag })).clone()
    }
}

/// What the host answers in a plugin's place, unless the plugin says that it answers so itself.
const INSTEAD: [(&str, &str); 5] = [
    ("404", "There is no such path, or no such plugin any more"),
    ("413", "The body is larger than the plugin may be sent"),
    ("500", "The plugin panicked, or what it answered is no answer"),
    ("503", "The plugin does not serve now, or has too much to answer"),
    ("504", "The plugin did not begin to answer in time"),
];

fn say_what_else_is_answered(document: &mut Map<String, Value>) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    let operations = paths
        .filter(|(path, _)| path.starts_with(MOUNTS))
        .flat_map(|(_, item)| item.as_object_mut().into_iter().flatten())
        .filter_map(|(_, operation)| operation.get_mut("responses").and_then(Value::as_object_mut));
    for responses in operations {
        for (status, what) in INSTEAD {
            let answer = || json!({ "description": what, "content": problem_content() });
            responses.entry(status).or_insert_with(answer);
        }
    }
}

/// What holds for all operations alike: who may, and how it is said what is wrong.
fn complete(host: &mut Map<String, Value>, version: &str) {
    host.insert("info".to_owned(), json!({ "title": "Camlock", "version": version, "description": ABOUT }));
    let problem = json!({ "description": "What is wrong", "content": problem_content() });
    for (path, item) in host.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let Some(operation) = operation.as_object_mut() else { continue };
            for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                never_null(parameter);
            }
            let Some(Value::Object(responses)) = operation.get_mut("responses") else { continue };
            for (status, response) in responses.iter_mut() {
                if status.as_str() >= "400" && response.get("content").is_none() {
                    response["content"] = problem_content();
                }
            }
            responses.entry("default").or_insert_with(|| problem.clone());
            let security = match least(&method, path) {
                None => json!([{}, { "token": [] }]),
                Some(role) => {
                    for (status, what) in [
                        ("401", "There is no token that holds"),
                        ("403", "The token's role is too low"),
                        ("429", "Too many wrong tokens came from this address"),
                    ] {
                        responses
                            .insert(status.to_owned(), json!({ "description": what, "content": problem_content() }));
                    }
                    let said = operation.get("description").and_then(Value::as_str).unwrap_or_default();
                    let said = format!("{said}\n\nLeast role: `{}`.", role.word());
                    operation.insert("description".to_owned(), said.trim().into());
                    json!([{ "token": [] }])
                }
            };
            operation.insert("security".to_owned(), security);
        }
    }
    if let Some(components) = host.entry("components").or_insert_with(|| json!({})).as_object_mut() {
        components.insert("securitySchemes".to_owned(), json!({ "token": { "type": "http", "scheme": "bearer" } }));
        let problem = serde_json::to_value(ProblemView::schema()).unwrap_or_default();
        if let Some(schemas) = components.entry("schemas").or_insert_with(|| json!({})).as_object_mut() {
            schemas.insert("Problem".to_owned(), problem);
        }
    }
}

/// A parameter that is not sent is not null: it is not there.
fn never_null(parameter: &mut Value) {
    let Some(sort) = parameter.pointer_mut("/schema/type") else { return };
    let sorts = sort.as_array().map(|sorts| sorts.iter().filter(|sort| *sort != "null").cloned().collect::<Vec<_>>());
    if let Some([only]) = sorts.as_deref() {
        *sort = only.clone();
    }
}

fn problem_content() -> Value {
    json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } })
}
