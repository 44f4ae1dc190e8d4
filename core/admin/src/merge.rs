//! A plugin's OpenAPI document as a part of the host's: below its mount, with names that clash with nobody's. Pure.
//!
//! What a plugin calls `User` is `hello.User` here; wherever its document refers to it, that is followed. Literal values (examples,
//! defaults, constants) stay as they are, whatever they look like.

use camlock_policy::routes::MOUNTS;
use serde_json::{Map, Value, json};

/// The largest document that is taken.
const LARGEST: usize = 4 << 20;
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// What stands below these is no part of the description, but what is described.
const LITERAL: [&str; 6] = ["example", "default", "enum", "const", "value", "required"];
/// What stands directly below these are names that somebody chose.
const NAMES: [&str; 20] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
    "schemas",
    "responses",
    "parameters",
    "requestBodies",
    "headers",
    "securitySchemes",
    "links",
    "callbacks",
    "pathItems",
    "content",
    "encoding",
    "variables",
    "scopes",
    "paths",
    "webhooks",
];

/// Adds a plugin's document to the host's. One that cannot be used is left out, and why.
pub(super) fn add(host: &mut Map<String, Value>, plugin: &str, document: &str) -> Result<(), String> {
    if document.len() > LARGEST {
        return Err(format!("it is {} bytes long, more than {LARGEST}", document.len()));
    }
    let document: Value = serde_json::from_str(document).map_err(|error| format!("it is no JSON: {error}"))?;
    let Value::Object(mut document) = document else { return Err("it is no object".to_owned()) };
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.") {
        return Err(format!(
            "it is of version `{}`, and 3.0 and 3.1 are understood",
            version.chars().take(20).collect::<String>()
        ));
    }
    let old = version.starts_with("3.0");
    let renaming = Renaming { plugin, old, schemas: names(&document, "schemas") };
    let for_all = document.get("security").cloned();
    let mut paths = object(document.remove("paths"));
    for item in paths.values_mut() {
        operations(plugin, item, for_all.as_ref());
    }
    let mut parts = Value::Object(Map::from_iter([
        ("paths".to_owned(), Value::Object(paths)),
        ("components".to_owned(), Value::Object(object(document.remove("components")))),
    ]));
    renaming.walk(&mut parts, false);
    let mut parts = object(Some(parts));

    let mount = format!("{MOUNTS}{plugin}");
    let theirs = object(parts.remove("paths")).into_iter().filter(|(path, _)| path.starts_with('/'));
    child(host, "paths").extend(theirs.map(|(path, item)| (format!("{mount}{path}"), item)));
    let components = child(host, "components");
    for (sort, named) in object(parts.remove("components")) {
        if !sort.starts_with("x-") {
            let named = object(Some(named)).into_iter().map(|(name, value)| (format!("{plugin}.{name}"), value));
            child(components, &sort).extend(named);
        }
    }
    let info = document.get("info");
    let described = info.and_then(|info| info.get("description").or(info.get("title"))).and_then(Value::as_str);
    let mut tags = vec![json!({ "name": plugin, "description": described.unwrap_or_default() })];
    for mut tag in array(document.remove("tags")) {
        if let Some(name) = tag.get("name").and_then(Value::as_str).map(|name| format!("{plugin}/{name}")) {
            tag["name"] = name.into();
            tags.push(tag);
        }
    }
    match host.entry("tags").or_insert_with(|| json!([])) {
        Value::Array(all) => all.extend(tags),
        other => *other = tags.into(),
    }
    Ok(())
}

/// What holds for all operations of a document is said at each; where they are found is the host's affair.
fn operations(plugin: &str, item: &mut Value, for_all: Option<&Value>) {
    let Value::Object(item) = item else { return };
    item.remove("servers");
    for method in METHODS {
        let Some(Value::Object(operation)) = item.get_mut(method) else { continue };
        operation.remove("servers");
        if let Some(security) = for_all {
            operation.entry("security").or_insert_with(|| security.clone());
        }
        let tags = array(operation.remove("tags")).into_iter();
        let mut tags: Vec<_> =
            tags.filter_map(|tag| tag.as_str().map(|tag| Value::from(format!("{plugin}/{tag}")))).collect();
        if tags.is_empty() {
            tags.push(plugin.into());
        }
        operation.insert("tags".to_owned(), tags.into());
    }
}

struct Renaming<'a> {
    plugin: &'a str,
    /// It is of version 3.0: what is written otherwise since then is rewritten.
    old: bool,
    /// The names of its schemas.
    schemas: Vec<String>,
}

impl Renaming<'_> {
    /// Everything below. The keys of `named` are names.
    fn walk(&self, value: &mut Value, named: bool) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| self.walk(value, false)),
            Value::Object(map) if named => map.values_mut().for_each(|value| self.walk(value, false)),
            Value::Object(map) => {
                self.rename(map);
                for (key, value) in map.iter_mut() {
                    match &**key {
                        key if LITERAL.contains(&key) || key.starts_with("x-") => {}
                        // Of examples with names, one may be elsewhere.
                        "examples" => object_mut(value).for_each(|example| self.refer(example, "$ref")),
                        key => self.walk(value, NAMES.contains(&key)),
                    }
                }
            }
            _ => {}
        }
    }

    fn rename(&self, map: &mut Map<String, Value>) {
        if self.old {
            modernise(map);
        }
        for key in ["$ref", "operationRef"] {
            if let Some(Value::String(place)) = map.get_mut(key) {
                *place = self.place(place);
            }
        }
        if let Some(Value::String(id)) = map.get_mut("operationId") {
            *id = format!("{}.{id}", self.plugin);
        }
        if let Some(Value::Array(asked)) = map.get_mut("security") {
            for one in asked.iter_mut() {
                let named = object(Some(one.take())).into_iter();
                *one = named.map(|(name, scopes)| (format!("{}.{name}", self.plugin), scopes)).collect();
            }
        }
        if let Some(mapping) = map.get_mut("discriminator").and_then(|value| value.get_mut("mapping")) {
            for place in object_mut(mapping) {
                if let Value::String(place) = place {
                    let named = self.schemas.contains(place);
                    *place = if named { format!("{}.{place}", self.plugin) } else { self.place(place) };
                }
            }
        }
    }

    fn refer(&self, value: &mut Value, key: &str) {
        if let Some(Value::String(place)) = value.get_mut(key) {
            *place = self.place(place);
        }
    }

    /// Where something of the plugin's document stands in the host's.
    fn place(&self, place: &str) -> String {
        let plugin = self.plugin;
        if let Some((sort, name)) = place.strip_prefix("#/components/").and_then(|rest| rest.split_once('/')) {
            return format!("#/components/{sort}/{plugin}.{name}");
        }
        match place.strip_prefix("#/paths/") {
            Some(path) => format!("#/paths/{}{plugin}{path}", MOUNTS.replace('/', "~1")),
            None => place.to_owned(),
        }
    }
}

/// What a schema of 3.0 says, in the words of 3.1.
fn modernise(schema: &mut Map<String, Value>) {
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        if let Some(Value::String(sort)) = schema.get("type") {
            let sorts = json!([sort, "null"]);
            schema.insert("type".to_owned(), sorts);
        }
        if let Some(Value::Array(values)) = schema.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
        schema.remove("nullable");
    } else if schema.get("nullable") == Some(&Value::Bool(false)) {
        schema.remove("nullable");
    }
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        if let Some(Value::Bool(is)) = schema.get(exclusive) {
            let is = *is;
            schema.remove(exclusive);
            if let Some(value) = is.then(|| schema.remove(bound)).flatten() {
                schema.insert(exclusive.to_owned(), value);
            }
        }
    }
}

fn names(document: &Map<String, Value>, sort: &str) -> Vec<String> {
    let named = document.get("components").and_then(|components| components.get(sort)).and_then(Value::as_object);
    named.into_iter().flat_map(Map::keys).cloned().collect()
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn object_mut(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(Map::values_mut)
}

fn array(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(values)) => values,
        _ => Vec::new(),
    }
}

/// An object in an object, which is made if need be.
fn child<'a>(parent: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let child = parent.entry(name).or_insert_with(|| json!({}));
    if !child.is_object() {
        *child = json!({});
    }
    match child {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(document: &Value) -> Value {
        let mut host =
            object(Some(json!({ "paths": { "/plugins": {} }, "components": { "schemas": { "User": {} } } })));
        add(&mut host, "hello", &document.to_string()).unwrap();
        Value::Object(host)
    }

    #[test]
    fn names_are_the_plugin_s_own_wherever_they_stand() {
        let document = json!({
            "openapi": "3.1.0",
            "info": { "title": "Hello", "version": "1" },
            "servers": [{ "url": "https://example.com" }],
            "security": [{ "key": [] }],
            "tags": [{ "name": "users", "description": "People" }],
            "paths": { "/users/{id}": {
                "servers": [],
                "parameters": [{ "$ref": "#/components/parameters/Id" }],
                "get": {
                    "operationId": "get", "tags": ["users"],
                    "responses": { "200": { "description": "", "content": { "application/json": {
                        "schema": { "$ref": "#/components/schemas/User" },
                        "example": { "$ref": "#/components/schemas/User" },
                        "examples": { "one": { "$ref": "#/components/examples/One" }, "two": { "value": { "$ref": "#/x" } } },
                    } }, "links": { "again": { "operationId": "get" }, "other": { "operationRef": "#/paths/~1users~1{id}/get" } } } },
                },
                "put": { "security": [], "responses": { "default": { "$ref": "#/components/responses/Sorry" } } },
            } },
            "components": {
                "schemas": {
                    "User": {
                        "type": "object",
                        "properties": {
                            "default": { "$ref": "#/components/schemas/Pet" },
                            "example": { "$ref": "#/components/schemas/Pet" },
                            "$ref": { "type": "string" },
                            "operationId": { "type": "string" },
                        },
                        "default": { "$ref": "#/components/schemas/Pet" },
                    },
                    "Pet": { "oneOf": [{ "$ref": "#/components/schemas/Cat" }], "discriminator": {
                        "propertyName": "sort", "mapping": { "cat": "Cat", "dog": "#/components/schemas/Cat", "far": "https://example.com/x" },
                    } },
                    "Cat": {},
                },
                "examples": { "One": { "value": 1 } },
                "parameters": { "Id": { "name": "id", "in": "path", "required": true, "schema": {} } },
                "responses": { "Sorry": { "description": "" } },
                "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            },
        });
        let merged = merged(&document);
        let item = &merged["paths"]["/api/v1/p/hello/users/{id}"];
        assert_eq!(item["parameters"][0]["$ref"], "#/components/parameters/hello.Id");
        assert!(item.get("servers").is_none() && merged.get("servers").is_none());
        let get = &item["get"];
        assert_eq!(get["operationId"], "hello.get");
        assert_eq!((&get["tags"], &item["put"]["tags"]), (&json!(["hello/users"]), &json!(["hello"])));
        assert_eq!((&get["security"], &item["put"]["security"]), (&json!([{ "hello.key": [] }]), &json!([])));
        let answer = &get["responses"]["200"];
        let media = &answer["content"]["application/json"];
        assert_eq!(media["schema"]["$ref"], "#/components/schemas/hello.User");
        assert_eq!(media["example"]["$ref"], "#/components/schemas/User");
        assert_eq!(media["examples"]["one"]["$ref"], "#/components/examples/hello.One");
        assert_eq!(media["examples"]["two"]["value"]["$ref"], "#/x");
        assert_eq!(answer["links"]["again"]["operationId"], "hello.get");
        assert_eq!(answer["links"]["other"]["operationRef"], "#/paths/~1api~1v1~1p~1hello~1users~1{id}/get");
        let schemas = &merged["components"]["schemas"];
        assert_eq!(schemas["User"], json!({}), "the host's own is left alone");
        let user = &schemas["hello.User"];
        assert_eq!(user["properties"]["default"]["$ref"], "#/components/schemas/hello.Pet");
        assert_eq!(user["properties"]["example"]["$ref"], "#/components/schemas/hello.Pet");
        assert_eq!(user["properties"]["operationId"], json!({ "type": "string" }));
        assert_eq!(user["default"]["$ref"], "#/components/schemas/Pet");
        let mapping =
            json!({ "cat": "hello.Cat", "dog": "#/components/schemas/hello.Cat", "far": "https://example.com/x" });
        assert_eq!(schemas["hello.Pet"]["discriminator"]["mapping"], mapping);
        let tags =
            json!([{ "name": "hello", "description": "Hello" }, { "name": "hello/users", "description": "People" }]);
        assert_eq!(merged["tags"], tags);
    }

    #[test]
    fn what_3_0_says_is_said_anew() {
        let schema = json!({ "type": "integer", "nullable": true, "minimum": 3, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false });
        let document = json!({ "openapi": "3.0.3", "paths": {}, "components": { "schemas": { "Number": schema } } });
        let expected = json!({ "type": ["integer", "null"], "exclusiveMinimum": 3, "maximum": 9 });
        assert_eq!(merged(&document)["components"]["schemas"]["hello.Number"], expected);
    }

    #[test]
    fn what_is_no_document_is_left_out() {
        for (document, why) in [
            ("", "it is no JSON"),
            ("[]", "it is no object"),
            ("{}", "it is of version ``"),
            (r#"{"swagger":"2.0"}"#, "it is of version ``"),
            (r#"{"openapi":"4.0.0"}"#, "it is of version `4.0.0`"),
        ] {
            let mut host = Map::new();
            assert!(add(&mut host, "hello", document).unwrap_err().starts_with(why), "{document}");
            assert!(host.is_empty());
        }
        // Odd ones harm nobody.
        for document in [
            r#"{"openapi":"3.1.0"}"#,
            r#"{"openapi":"3.1.0","paths":[],"components":7,"tags":{},"security":"x"}"#,
            r#"{"openapi":"3.1.0","paths":{"/x":7,"y":{},"/z":{"get":[],"put":{"tags":7,"security":[7],"operationId":{}}}},"components":{"schemas":[]},"tags":[7]}"#,
        ] {
            add(&mut Map::new(), "hello", document).unwrap();
        }
    }
}
