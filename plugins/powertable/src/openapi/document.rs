//! Tables as OpenAPI describes them. Pure.

use crate::schema::{ID, Type, UserTable};
use serde_json::{Map, Value, json};

/// The document with the paths and schemas of these tables.
pub fn with_tables(base: &Value, tables: &[UserTable]) -> Value {
    let mut document = base.clone();
    for table in tables {
        document["paths"][format!("/{}", table.name)] = path(table);
        document["components"]["schemas"][&table.name] = schema(table);
    }
    document
}

fn schema(table: &UserTable) -> Value {
    let mut properties = Map::new();
    for (name, kind) in table.all() {
        let is_required = name == ID || table.find(name).is_some_and(|column| column.required);
        properties.insert(name.to_owned(), described(kind, is_required));
    }
    json!({ "type": "object", "properties": properties })
}

fn described(kind: Type, is_required: bool) -> Value {
    let (word, format) = match kind {
        Type::Text => ("string", None),
        Type::Integer => ("integer", Some("int64")),
        Type::Real => ("number", Some("double")),
        Type::Boolean => ("boolean", None),
        Type::Timestamp => ("string", Some("date-time")),
        Type::Json => return json!({ "description": "Any JSON" }),
    };
    let mut schema = match is_required {
        true => json!({ "type": word }),
        false => json!({ "type": [word, "null"] }),
    };
    if let Some(format) = format {
        schema["format"] = format.into();
    }
    schema
}

fn path(table: &UserTable) -> Value {
    let name = &table.name;
    let row = json!({ "$ref": format!("#/components/schemas/{name}") });
    let rows = json!({ "type": "array", "items": row });
    let answer = |description: &str| {
        let content = json!({ "application/json": { "schema": rows }, "text/csv": {}, "application/x-ndjson": {} });
        json!({ "description": description, "content": content })
    };
    let words = |name: &str, description: &str| json!({ "name": name, "in": "query", "description": description, "schema": { "type": "string" } });
    let conditions =
        table.all().map(|(name, kind)| words(name, &format!("A condition, as in `eq.…`: it holds {kind}")));
    let conditions: Vec<_> = conditions.collect();
    let mut reading: Vec<_> = ["select", "order", "limit", "offset"].map(|name| words(name, "As in PostgREST")).into();
    reading.extend(conditions.iter().cloned());
    let problem = json!({ "description": "It was refused", "content": { "application/problem+json": {
        "schema": { "$ref": "#/components/schemas/Problem" } } } });
    let changed = |description: &str| {
        json!({ "200": answer("With `Prefer: return=representation`"), "204": { "description": description },
            "default": problem })
    };
    let sent = json!({ "required": true, "content": {
        "application/json": { "schema": { "anyOf": [row, rows] } }, "text/csv": {}, "application/x-ndjson": {} } });
    json!({
        "get": { "operationId": format!("rows_of_{name}"), "summary": format!("Rows of `{name}`"), "parameters": reading,
            "responses": { "200": answer("Rows"), "206": answer("A part of the rows"), "default": problem } },
        "post": { "operationId": format!("add_to_{name}"), "summary": format!("Adds rows to `{name}`"), "requestBody": sent,
            "responses": { "201": answer("They were added"), "default": problem } },
        "patch": { "operationId": format!("change_in_{name}"), "summary": format!("Changes rows of `{name}`"),
            "parameters": [words(ID, "Which rows; other columns do as well")],
            "requestBody": { "required": true, "content": { "application/json": { "schema": row } } },
            "responses": changed("They were changed") },
        "delete": { "operationId": format!("delete_from_{name}"), "summary": format!("Deletes rows of `{name}`"),
            "parameters": [words(ID, "Which rows; other columns do as well")], "responses": changed("They were deleted") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Definition;

    #[test]
    fn tables_are_described() {
        let definition = json!({"name": "people", "columns": [
            {"name": "name", "type": "text", "required": true}, {"name": "seen", "type": "timestamp"},
            {"name": "data", "type": "json"},
        ]});
        let table = serde_json::from_value::<Definition>(definition).unwrap().check().unwrap();
        let base = json!({"openapi": "3.1.0", "paths": {"/hello": {}}, "components": {"schemas": {"Problem": {}}}});
        let document = with_tables(&base, &[table]);
        assert_eq!(
            document["components"]["schemas"]["people"]["properties"],
            json!({
                "id": {"type": "integer", "format": "int64"}, "name": {"type": "string"},
                "seen": {"type": ["string", "null"], "format": "date-time"}, "data": {"description": "Any JSON"},
            })
        );
        let operations = document["paths"]["/people"].as_object().unwrap();
        assert_eq!(operations.keys().collect::<Vec<_>>(), ["delete", "get", "patch", "post"]);
        let names = operations["get"]["parameters"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["select", "order", "limit", "offset", "id", "name", "seen", "data"]);
        assert!(document["paths"]["/hello"].is_object());
        assert_eq!(with_tables(&base, &[]), base);
    }
}
