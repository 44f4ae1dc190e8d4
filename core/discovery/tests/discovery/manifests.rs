//! Manifests: each rule with its sentence and place, and YAML that is broken in every way.

use camlock_discovery::{
    BrokenRule, InvalidManifest,
    manifest::{LARGEST_MANIFEST, RepositoryFacts, RepositoryManifest, judge},
};

/// The document's own example.
const WHOLE: &str = r#"name: redis-cache               # Unique plugin identifier (lowercase, alphanumeric with hyphens)
version: v1.2.0                # Semantic version from GitHub releases
owner: roadrunner-plugins      # GitHub organization or username
repository: redis-cache        # Repository name
description: "Redis-based caching plugin for RoadRunner with TTL support"
category: kv                   # Plugin category (enum)
dependencies: # List of required plugin names
  - logger
  - kv-store
  - redis
repositoryType: github         # Default: github (future: gitlab support)
folder: null                   # Subfolder path if plugin is not at repo root
replace: null                  # Go module replacement directive
docsUrl: https://github.com/roadrunner-plugins/redis-cache
author: # Author information
  name: John Doe
  email: john@example.com
  url: https://github.com/johndoe
license: MIT                   # SPDX license identifier
keywords: # Search keywords
  - cache
  - redis
  - performance
"#;

fn judged(text: impl AsRef<[u8]>) -> Result<RepositoryManifest, InvalidManifest> {
    let (owner, name) = ("roadrunner-plugins".to_owned(), "redis-cache".to_owned());
    judge(".velox.yaml", text.as_ref(), &RepositoryFacts { owner, name, tag: "v1.2.0".to_owned() })
}

fn refused(text: impl AsRef<[u8]>) -> Vec<String> {
    let invalid = judged(text).unwrap_err();
    invalid.violations.iter().map(ToString::to_string).collect()
}

/// The example with one line in the place of another; the line's number is told.
fn changed(beginning: &str, instead: &str) -> String {
    let changed = WHOLE.lines().map(|line| if line.starts_with(beginning) { instead } else { line });
    let changed: Vec<_> = changed.collect();
    assert!(changed.contains(&instead), "{beginning}");
    changed.join("\n")
}

#[test]
fn the_documents_own_example_is_read() {
    let read = judged(WHOLE).unwrap();
    assert_eq!((&*read.name, &*read.version, &*read.category), ("redis-cache", "v1.2.0", "kv"));
    assert_eq!(read.description, "Redis-based caching plugin for RoadRunner with TTL support");
    let names: Vec<_> = read.dependencies.iter().map(|(name, line, column)| (name.as_str(), *line, *column)).collect();
    assert_eq!(names, [("logger", 8, 5), ("kv-store", 9, 5), ("redis", 10, 5)]);
    assert_eq!((&*read.repository_type, &read.folder, &read.replace), ("github", &None, &None));
    assert_eq!(read.docs_url.as_deref(), Some("https://github.com/roadrunner-plugins/redis-cache"));
    let author = read.author.unwrap();
    assert_eq!((author.name.as_deref(), author.email.as_deref()), (Some("John Doe"), Some("john@example.com")));
    assert_eq!((read.license.as_deref(), read.keywords.len()), (Some("MIT"), 3));
}

#[test]
fn optional_fields_may_be_left_out() {
    let required: Vec<_> = WHOLE.lines().take(6).collect();
    let read = judged(required.join("\n")).unwrap();
    assert!(read.dependencies.is_empty() && read.author.is_none() && read.keywords.is_empty());
    assert_eq!(read.repository_type, "github");
}

#[test]
fn each_category_of_the_list_is_one() {
    for category in [
        "core",
        "logging",
        "http",
        "jobs",
        "kv",
        "metrics",
        "grpc",
        "monitoring",
        "network",
        "broadcasting",
        "workflow",
        "observability",
    ] {
        let read = judged(changed("category", &format!("category: {category}"))).unwrap();
        assert_eq!(read.category, category);
    }
}

#[test]
fn each_required_field_is_missed() {
    for (line, field) in ["name", "version", "owner", "repository", "description", "category"].iter().enumerate() {
        let without: Vec<_> = WHOLE.lines().filter(|text| !text.starts_with(&format!("{field}:"))).collect();
        let invalid = judged(without.join("\n")).unwrap_err();
        assert_eq!(invalid.violations.len(), 1, "{invalid}");
        assert_eq!(invalid.violations[0].rule, BrokenRule::MissingRequiredField);
        assert_eq!(invalid.to_string(), format!(".velox.yaml:1:1: Missing required field '{field}'"));
        // Nothing is as good as not there, and has a place.
        let told = refused(changed(&format!("{field}:"), &format!("{field}:")));
        assert!(
            told[0].starts_with(&format!("{}:", line + 1)) || told[0].starts_with(&format!("{}:", line + 2)),
            "{told:?}"
        );
        assert!(told[0].ends_with(&format!("Missing required field '{field}'")), "{told:?}");
    }
}

#[test]
fn each_rule_has_its_sentence_and_place() {
    for (beginning, instead, told) in [
        ("name:", "name: Redis", "1:7: 'name' is `Redis`: a name has lower-case letters, digits and hyphens alone"),
        ("name:", "name: a_b", "1:7: 'name' is `a_b`: a name has lower-case letters, digits and hyphens alone"),
        ("name:", "name: rеdis", "1:7: 'name' is `rеdis`: a name has lower-case letters, digits and hyphens alone"),
        ("name:", "name: ab", "1:7: 'name' is `ab`: a name has from 3 to 50 characters"),
        ("name:", "name: 123", "1:7: 'name' is a number, and a text is expected: write it in quotes"),
        ("name:", "name: [a]", "1:7: 'name' is a list, and a text is expected"),
        (
            "version:",
            "version: 1.2.0",
            "2:10: 'version' is `1.2.0`: it is written `v1.2.3`, three numbers behind a `v`",
        ),
        ("version:", "version: v1.2", "2:10: 'version' is `v1.2`: it is written `v1.2.3`, three numbers behind a `v`"),
        (
            "version:",
            "version: v1.2.0-rc1",
            "2:10: 'version' is `v1.2.0-rc1`: it is written `v1.2.3`, three numbers behind a `v`",
        ),
        (
            "version:",
            "version: v1.1.0",
            "2:10: 'version' is `v1.1.0`, and the release that it was read from has the tag `v1.2.0`: they must be the same",
        ),
        ("owner:", "owner: somebody", "3:8: 'owner' is `somebody`, and it lies in roadrunner-plugins/redis-cache"),
        (
            "repository:",
            "repository: other",
            "4:13: 'repository' is `other`, and it lies in roadrunner-plugins/redis-cache",
        ),
        ("description:", "description: short", "5:14: 'description' has 5 characters, and from 10 to 500 are expected"),
        (
            "description:",
            "description: \"invisible \\u202e turn\"",
            "5:14: 'description' has the invisible character \\u{202e}",
        ),
        (
            "category:",
            "category: cache",
            "6:11: 'category' is `cache`, and one of core, logging, http, jobs, kv, metrics, grpc, monitoring, network, \
             broadcasting, workflow, observability is expected",
        ),
        (
            "  - logger",
            "  - 5",
            "8:5: an item of 'dependencies' is a number, and a text is expected: write it in quotes",
        ),
        ("  - logger", "  - redis", "10:5: 'dependencies' has `redis` twice"),
        ("  - logger", "  - redis-cache", "8:5: 'dependencies' has `redis-cache`, which is the plugin itself"),
        (
            "  - logger",
            "  - Log",
            "8:5: 'dependencies' has `Log`: a name has lower-case letters, digits and hyphens alone",
        ),
        ("repositoryType:", "repositoryType: gitlab", "11:17: 'repositoryType' is `gitlab`, and `github` is expected"),
        ("folder:", "folder: ../x", "12:9: 'folder' is `../x`, and a path inside the repository is expected"),
        ("folder:", "folder: /etc", "12:9: 'folder' is `/etc`, and a path inside the repository is expected"),
        (
            "docsUrl:",
            "docsUrl: javascript:x",
            "14:10: 'docsUrl' is `javascript:x`, and an `https://` address is expected",
        ),
        ("  email:", "  email: nobody", "17:10: 'email' is `nobody`, which is no address"),
        ("license:", "license: <MIT>", "19:10: 'license' is `<MIT>`, which is no SPDX expression"),
        ("  - cache", "  - ''", "21:5: a keyword has from 1 to 50 characters"),
    ] {
        assert_eq!(refused(changed(beginning, instead)), [told], "{instead}");
    }
    let long = refused(changed("description:", &format!("description: {}", "x".repeat(501))));
    assert_eq!(long, ["5:14: 'description' has 501 characters, and from 10 to 500 are expected"]);
    let name = "n".repeat(51);
    let long = refused(changed("name:", &format!("name: {name}")));
    assert_eq!(long, [format!("1:7: 'name' is `{name}`: a name has from 3 to 50 characters")]);
    assert!(judged(changed("name:", &format!("name: {}", "n".repeat(50)))).is_ok());
    assert!(judged(changed("name:", "name: -1a")).is_ok(), "that is a name there");
    assert!(judged(changed("owner:", "owner: RoadRunner-Plugins")).is_ok(), "forges do not tell them apart");
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_order() {
    let told = refused("category: x\nname: A\nauthor: me\nversion: v1.2.0\n");
    let beginnings = ["1:1: Missing required field 'description'", "1:1: Missing required field 'owner'"];
    assert!(beginnings.iter().all(|beginning| told.iter().any(|told| told == beginning)), "{told:?}");
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(told[5], "3:9: 'author' is a text, and a mapping with name, email and url is expected");
}

/// What no manifest is, whatever YAML makes of it. None takes long, and none takes memory.
#[test]
fn broken_yaml() {
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", ")));
        }
        text
    };
    let anchors: String = (0..200).map(|number| format!("k{number}: &a{number} x\n")).collect();
    let wide: String = (0..3_000).map(|number| format!("k{number}: x\n")).collect();
    for (text, told) in [
        ("", "1:1: it is empty"),
        ("# nothing\n", ""),
        ("--- \n...\n", ""),
        ("just text", "1:1: it is a text, and a manifest is a mapping"),
        ("- a\n- b\n", "1:1: it is a list, and a manifest is a mapping"),
        ("name: a\nname: b\n", "2:1: Invalid YAML syntax: "),
        ("name: [a, b\nversion: v1.2.0\n", "Invalid YAML syntax: "),
        ("name: \"open\n", "Invalid YAML syntax: "),
        ("name: a: b\n", "1:8: Invalid YAML syntax: "),
        ("\tname: a\n", ""),
        ("name: a\n---\nname: b\n", "Invalid YAML syntax: "),
        ("name: *nobody\n", "Invalid YAML syntax: "),
        ("<<: {name: a}\n", "Invalid YAML syntax: "),
        ("name: !!python/object:os.system x\n", "Invalid YAML syntax: "),
        ("name: !mine x\n", "Invalid YAML syntax: "),
        ("a: &a [*a]\n", "Invalid YAML syntax: "),
        (&bomb, "Invalid YAML syntax: "),
        (&anchors, "Invalid YAML syntax: "),
        (&wide, "Invalid YAML syntax: "),
        (&"[".repeat(5_000), "Invalid YAML syntax: "),
        (&"{a: ".repeat(5_000), "Invalid YAML syntax: "),
        (&format!("{}x", "- ".repeat(5_000)), "Invalid YAML syntax: "),
        ("? [a, b]\n: c\n", "Invalid YAML syntax: "),
        ("%YAML 9.9\n---\nname: a\n", ""),
        ("name: a\u{0}b\n", ""),
        ("name: a\u{7}b\n", ""),
        ("\u{feff}\u{feff}name: a\n", ""),
        ("name: |\n  a\n b\n", ""),
        ("\"name\n\": a\n", ""),
    ] {
        let all = refused(text);
        let shown = &text[..text.floor_char_boundary(40)];
        assert!(all[0].contains(told), "{shown:?}: {all:?}");
        assert!(all.iter().all(|told| told.len() < 600 && !told.contains('\n')), "{shown:?}: {all:?}");
        let place = all[0].split_once(": ").unwrap().0;
        assert!(
            place.split(':').all(|number| number.parse::<u64>().is_ok_and(|number| number > 0)),
            "{shown:?}: {all:?}"
        );
    }
    assert_eq!(refused(b"name: a\nversion: \xff\xfe\n"), ["2:1: Invalid YAML syntax: it is not UTF-8"]);
    let ten_megabytes = vec![b'a'; 10 << 20];
    let told = format!("1:1: it has {} bytes, and a manifest has {LARGEST_MANIFEST} at most", 10 << 20);
    assert_eq!(refused(ten_megabytes), [told]);
}

/// Whatever is cut off or changed in a manifest, it is judged and never ends the program.
#[test]
fn every_cut_and_every_changed_byte_is_judged() {
    for end in 0..WHOLE.len() {
        let _ = judged(&WHOLE.as_bytes()[..end]);
    }
    for place in (0..WHOLE.len()).step_by(7) {
        for byte in [b'\n', b':', b'{', b'*', b'&', b'"', 0, 0xff] {
            let mut text = WHOLE.as_bytes().to_vec();
            text[place] = byte;
            let _ = judged(text);
        }
    }
}

/// An anchor that is used as it is meant is no crime.
#[test]
fn an_anchor_is_what_it_stands_for() {
    let text = changed("name:", "name: &name redis-cache");
    let text = text.lines().map(|line| if line.starts_with("repository:") { "repository: *name" } else { line });
    let read = judged(text.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(read.name, "redis-cache");
}
