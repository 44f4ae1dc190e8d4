//! The official test suite, where there is a copy of it.

use camlock_config::Schema;
use serde::Deserialize;
use serde_json::Value;
use std::{fs, path::Path};

#[derive(Deserialize)]
struct Group {
    description: String,
    schema: Value,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    description: String,
    data: Value,
    valid: bool,
}

/// `JSON_SCHEMA_TEST_SUITE` names the folder `tests/draft2020-12` of a copy of <https://github.com/json-schema-org/JSON-Schema-Test-Suite>.
#[test]
#[ignore = "needs a copy of the official suite"]
fn official_suite() {
    let folder = std::env::var_os("JSON_SCHEMA_TEST_SUITE").expect("the folder of the suite");
    let (mut judged, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for entry in fs::read_dir(Path::new(&folder)).expect("it can be read").map(|entry| entry.expect("an entry").path())
    {
        if entry.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let groups: Vec<Group> = serde_json::from_slice(&fs::read(&entry).expect("a file")).expect("a list of groups");
        for group in groups {
            let name = format!("{}: {}", entry.file_stem().unwrap_or_default().display(), group.description);
            let schema = match Schema::read(&group.schema.to_string()) {
                Ok(schema) => schema,
                Err(why) => {
                    refused.push(format!("{name}: {why}"));
                    continue;
                }
            };
            // Whatever is asked of it beside, it comes to an end.
            let _ = schema.placeholders();
            for case in group.tests {
                judged += 1;
                let _ = schema.with_defaults(case.data.clone());
                if schema.check(&case.data).is_empty() != case.valid {
                    wrong.push(format!("{name}: {}", case.description));
                }
            }
        }
    }
    println!("{judged} judged, {} schemas refused:\n{}", refused.len(), refused.join("\n"));
    assert!(wrong.is_empty() && judged > 1000, "{wrong:#?}");
    // What lies outside the document, or is of another dialect, and nothing else.
    let why =
        |line: &&String| !line.contains("lies outside the document") && !line.contains("only `https://json-schema.org");
    assert_eq!(refused.iter().filter(why).collect::<Vec<_>>(), Vec::<&String>::new());
}
