//! Plugins in an organisation's repositories, through a real server: found when somebody asks, looked at again by command and by
//! webhook, kept over a restart. The forge is that of discovery's own tests.

use crate::{
    command, end,
    github::{GitHub, Instead, manifest},
    inbox::Inbox,
    site,
};
use camlock_testing::{Answer, Server, Site, request, request_with};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Those of the machine say nothing here.
pub(crate) const VARIABLES: [&str; 8] = [
    "GITHUB_TOKEN",
    "CAMLOCK_WEBHOOK_SECRET",
    "VELOX_DISCOVERY_ENABLED",
    "VELOX_GITHUB_ORG",
    "VELOX_CACHE_TTL",
    "VELOX_CACHE_DRIVER",
    "VELOX_LAZY_LOAD",
    "VELOX_WEBHOOK_SECRET",
];

fn start(site: &Site, inbox: &Inbox) -> Server {
    site.start_with(|command| {
        VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
        // As people do who come from elsewhere.
        command.env("VELOX_WEBHOOK_SECRET", "hook").env("SENTRY_DSN", inbox.dsn());
    })
}

/// What a forge sends when a release is published.
fn released(name: &str, version: &str) -> String {
    let release = json!({ "tag_name": version, "name": version, "draft": false, "prerelease": false });
    let repository = json!({ "name": name, "full_name": format!("acme/{name}"), "owner": { "login": "acme" } });
    json!({ "action": "published", "release": release, "repository": repository }).to_string()
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

fn webhook(server: &Server, headers: &[(&str, &str)], body: &str) -> Answer {
    let all = [&[("x-github-event", "release"), ("content-type", "application/json")], headers].concat();
    request_with(server.address, "POST", "/api/v1/plugins/discovery/webhook", &all, body).unwrap()
}

fn versions(server: &Server) -> Vec<String> {
    let listed = server.get_as_admin("/api/v1/plugins/discovered").json();
    let version =
        |plugin: &Value| format!("{} {}", plugin["name"].as_str().unwrap(), plugin["version"].as_str().unwrap());
    listed["data"].as_array().unwrap().iter().map(version).collect()
}

#[test]
fn plugins_of_an_organization_are_discovered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let github = runtime.block_on(GitHub::start());
    github.publish(
        "redis-cache",
        "v1.2.0",
        &manifest("redis-cache", "v1.2.0", "dependencies: [base-kv]\nlicense: MIT\nkeywords: [cache, redis]\n"),
    );
    github.good("base-kv", "v2.0.1");
    github.publish("broken", "v1.0.0", &manifest("broken", "v1.0.0", "").replace("category: kv\n", ""));
    let (site, inbox) = (site(), Inbox::open());
    let url = &github.url;
    site.configure(&format!(
        "[discovery]\norganization = \"acme\"\napi = \"{url}\"\nmanifest = [\".camlock.yaml\", \".velox.yaml\"]\ntoken = \"t0ken\""
    ));
    let server = start(&site, &inbox);
    assert!(github.asked().is_empty(), "nobody has asked yet");

    // The first who asks has it discovered.
    assert_eq!(server.get("/api/v1/plugins/discovered").status, 401);
    let listed = server.get_as_admin("/api/v1/plugins/discovered").json();
    assert_eq!((&listed["meta"]["total"], &listed["meta"]["organization"]), (&json!(2), &json!("acme")), "{listed:#}");
    assert!(listed["meta"]["last_scan"].is_string() && listed["meta"]["scan_duration_ms"].is_u64(), "{listed:#}");
    let expected = json!({
        "name": "redis-cache", "version": "v1.2.0", "owner": "acme", "repository": "redis-cache", "source": "community",
        "category": "kv", "description": "What it is good for", "dependencies": ["base-kv"], "docs_url": null, "author": null,
        "license": "MIT", "keywords": ["cache", "redis"], "signed": false, "cannot_be_installed": null,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&listed["data"][1][key], value, "{key}: {listed:#}");
    }
    assert_eq!(listed["meta"]["failed"][0]["errors"][0]["message"], "Missing required field 'category'");
    assert!(!github.asked().is_empty());
    assert!(github.world().tokens.iter().all(|shown| shown == "Bearer t0ken"));

    // By an operator's word.
    assert_eq!(request(server.address, "POST", "/api/v1/plugins/discovery/scan", &[]).unwrap().status, 401);
    let scanned = server.act("POST", "/api/v1/plugins/discovery/scan").json();
    assert_eq!(scanned["status"], "success");
    let statistics = &scanned["statistics"];
    for (key, expected) in [("repositories_scanned", 3), ("plugins_registered", 2), ("plugins_failed", 1)] {
        assert_eq!(statistics[key], expected, "{statistics:#}");
    }
    assert!(statistics["duration_ms"].is_u64());
    let body = json!({ "organization": "../acme" });
    let refused = server.act_with("POST", "/api/v1/plugins/discovery/scan", &body);
    assert_eq!((refused.status, &refused.json()["detail"]), (400, &json!("`../acme` is no name of an organisation")));
    github.asked();

    // Who does not know the secret has nothing looked at.
    github.good("base-kv", "v2.1.0");
    let body = released("base-kv", "v2.1.0");
    let signed = signature("hook", &body);
    for headers in [
        &[][..],
        &[("x-velox-secret", "hooks")],
        &[("x-velox-secret", "")],
        &[("x-hub-signature-256", &*signature("hooks", &body))],
        &[("x-hub-signature-256", &signed[..70])],
        // A signature that is there has to hold.
        &[("x-hub-signature-256", "sha256=00"), ("x-velox-secret", "hook")],
        &[("authorization", &server.bearer())],
    ] {
        let refused = webhook(&server, headers, &body);
        assert_eq!(refused.status, 401, "{headers:?}");
        assert!(refused.head.to_lowercase().contains("application/problem+json"), "{}", refused.head);
    }
    assert_eq!(webhook(&server, &[("x-hub-signature-256", &signed)], &format!("{body} ")).status, 401);
    let ping = request_with(
        server.address,
        "POST",
        "/api/v1/plugins/discovery/webhook",
        &[("x-github-event", "ping"), ("x-velox-secret", "hook")],
        "{}",
    );
    assert_eq!(ping.unwrap().json()["status"], "ignored");
    assert_eq!(webhook(&server, &[("x-velox-secret", "hook")], "payload=%7B%7D").status, 400);
    assert!(github.asked().is_empty());
    assert_eq!(versions(&server), ["base-kv v2.0.1", "redis-cache v1.2.0"]);

    // Who does has that repository looked at, and no other.
    let seen = webhook(&server, &[("x-hub-signature-256", &signed)], &body).json();
    let expected = json!({ "name": "base-kv", "version": "v2.1.0", "updated": true });
    assert_eq!((&seen["status"], &seen["plugin"]), (&json!("success"), &expected));
    github.good("redis-cache", "v1.3.0");
    let seen = webhook(&server, &[("x-velox-secret", "hook")], &released("redis-cache", "v1.3.0")).json();
    assert_eq!(seen["plugin"]["version"], "v1.3.0", "{seen:#}");
    let others = webhook(&server, &[("x-velox-secret", "hook")], &body.replace("acme", "others")).json();
    assert_eq!((&others["status"], &others["plugin"]), (&json!("ignored"), &Value::Null));
    assert_eq!(versions(&server), ["base-kv v2.1.0", "redis-cache v1.3.0"]);

    // It is in the registry: after a restart nobody is asked.
    server.end();
    github.asked();
    let server = start(&site, &inbox);
    assert_eq!(versions(&server), ["base-kv v2.1.0", "redis-cache v1.3.0"]);
    assert!(github.asked().is_empty());

    // On the command line.
    let discover = |arguments: &[&str]| {
        let mut command = command(&site, &[&["discover"], arguments].concat());
        command.env("CAMLOCK_SERVER", format!("http://{}", server.address));
        end(command)
    };
    let told = discover(&[]).done();
    assert!(
        told.ends_with("\n\nNothing was asked: what is known is not too old yet; --force looks all the same.\n"),
        "{told}"
    );
    assert!(github.asked().is_empty());
    let told = discover(&["--force"]).done();
    let (told, duration) = told.split_once("Duration: ").unwrap();
    assert_eq!(
        told,
        "Discovering community plugins from acme...\n\n✓ Found 3 repositories\n✓ Scanned 3 manifests\n✓ Registered 2 plugins\n\
         ✗ Failed 1 plugin\n\nRegistered Plugins:\n  - base-kv (v2.1.0)\n  - redis-cache (v1.3.0)\n\nFailed Plugins:\n  \
         - broken: Missing required field 'category' (.velox.yaml:1:1)\n\n"
    );
    assert!(duration.trim_end().strip_suffix('s').unwrap().parse::<f64>().is_ok(), "{duration}");
    let document = discover(&["--clear-cache", "--json"]).json();
    assert_eq!((&document["status"], &document["statistics"]["plugins_updated"]), (&json!("success"), &json!(2)));
    let told = discover(&["--organization", "nobody"]).refused(1);
    assert!(told.contains("nobody"), "{told}");

    // A forge that lets nobody in takes nothing of what is known.
    github.world().without_graphql = true;
    github.instead("/orgs/acme/repos", Instead::new(401, "{\"message\":\"Bad credentials\"}"));
    let told = discover(&["--force"]).refused(1);
    assert!(!told.contains("t0ken"), "{told}");
    assert_eq!(versions(&server), ["base-kv v2.1.0", "redis-cache v1.3.0"]);
    let (ended, printed) = server.end();
    assert!(ended.success() && !printed.contains("t0ken"), "{printed}");

    // What went wrong was reported, with where.
    for (repository, message) in [("acme/broken", "invalid plugin manifest"), ("acme", "the forge cannot be asked")] {
        let event = inbox.until(|event| event["tags"]["repository"] == repository);
        assert_eq!((&event["tags"]["component"], &event["message"]), (&json!("plugin-discovery"), &json!(message)));
    }
    assert!(!inbox.raw().contains("t0ken"));
}
