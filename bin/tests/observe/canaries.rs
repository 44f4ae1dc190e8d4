//! Secrets are planted in a real server, things go wrong, and then they are looked for in everything that comes out of it.

use crate::{
    ask::{ask, ask_as},
    inbox::Inbox,
    site,
};
use camlock_testing::{Postgres, Server};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    process::Stdio,
};

const ADMIN: &str = "canary-admin-f3a9c1d27b";
const DATABASE: &str = "canary-database-81be02";
const WRONG_DATABASE: &str = "canary-mistyped-55ad90";
const CONFIG: &str = "canary-config-6d40ff72";
const HEADER: &str = "canary-header-90c2e8a5";

/// Knows a secret from its configuration, and is shown one. In a panic it lets both slip, which reports must not pass on.
const KEEPER: &str = r#"use camlock_plugin::{axum::http::HeaderMap, prelude::*};
use serde::Deserialize;

struct Keeper(Host);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    secret: String,
    fails: bool,
}

impl Plugin for Keeper {
    async fn create(host: Host) -> Result<Self> {
        Ok(Keeper(host))
    }

    async fn start(&self) -> Result<()> {
        let settings: Settings = self.0.config()?;
        if settings.fails {
            return Err(Error::msg("it was told to fail"));
        }
        Ok(())
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        let slips = self.clone();
        Router::new()
            .route("/", get(|| async { "kept" }))
            .route("/boom", get(|headers: HeaderMap| async move {
                if headers.contains_key("authorization") {
                    panic!("it was asked");
                }
                "not asked"
            }))
            .route("/slip", get(move |headers: HeaderMap| async move {
                let settings: Settings = slips.0.config().unwrap();
                panic!("slipped: {settings:?}, {headers:?}");
                #[allow(unreachable_code)]
                "unreachable"
            }))
    }
}

export!(Keeper);
"#;

/// Whoever asks, and what they show.
fn walkers<'a>(viewer: &'a str, operator: &'a str) -> [(&'static str, Vec<(&'static str, &'a str)>); 5] {
    [
        ("anybody", vec![("x-forwarded-for", "192.0.2.1")]),
        ("somebody here", vec![]),
        ("a viewer", vec![("authorization", viewer)]),
        ("an operator", vec![("authorization", operator)]),
        ("a guess", vec![("authorization", "Bearer canary-guess")]),
    ]
}

/// All that can be read, from what the server says of itself.
fn readable(server: &Server) -> Vec<String> {
    let document = server.get("/openapi.json").json();
    let paths = document["paths"].as_object().unwrap().iter();
    let readable = paths.filter(|(path, item)| item.get("get").is_some() && !path.contains("/p/"));
    let mut paths: Vec<_> = readable.map(|(path, _)| path.replace("{name}", "keeper")).collect();
    paths.extend(["/openapi.json", "/docs", "/metrics", "/nothing", "/api/v1/nothing"].map(str::to_owned));
    assert!(paths.len() > 15 && paths.iter().any(|path| path == "/api/v1/journal"), "{paths:?}");
    paths
}

/// Says where any of these stand.
fn look(place: &str, text: &str, secrets: &[&str]) {
    for secret in secrets {
        if let Some(at) = text.find(secret) {
            let (from, to) = (text.floor_char_boundary(at.saturating_sub(300)), text.ceil_char_boundary(at + 200));
            panic!("{secret} stands in {place}: …{}…", &text[from..to]);
        }
    }
}

#[test]
fn no_secret_comes_out() {
    let (site, inbox, postgres) = (site(), Inbox::open(), Postgres::start());
    let url = postgres.url("postgres");
    postgres.sql(&url, &format!("ALTER USER guarded SUPERUSER PASSWORD '{DATABASE}'"));
    let guarded = postgres.guarded_url("postgres", DATABASE);
    site.write("plugins/keeper.rs", KEEPER);
    let (log, log_path) = (File::create(site.path("log")).unwrap(), site.path("log"));
    let server = site.start_with(|command| {
        command.env("CAMLOCK_DATABASE_URL", &guarded).env("CAMLOCK_ADMIN_TOKEN", ADMIN).env("SENTRY_DSN", inbox.dsn());
        command.env("CAMLOCK_LOG", "debug,h2=info,hyper=info,hyper_util=info").stderr(log);
    });
    server.until_text("/api/v1/p/keeper/", "kept");
    let made: Vec<String> = ["viewer", "operator"]
        .iter()
        .map(|role| {
            let wish = json!({ "name": role, "role": role }).to_string();
            let made = ask_as(&server, ADMIN, "POST", "/api/v1/tokens", &wish);
            assert_eq!(made.status, 201, "{}", made.text);
            made.json()["token"].as_str().unwrap().to_owned()
        })
        .collect();
    let [viewer, operator] = &made[..] else { panic!("{made:?}") };
    let config = |config: Value| {
        let body = json!({ "config": config }).to_string();
        ask_as(&server, operator, "PUT", "/api/v1/plugins/keeper", &body)
    };

    // What goes wrong: a panic while a secret is shown, one that lets it slip, a start that fails with the secret at hand, a
    // build that fails, wrong tokens, and bodies that are not understood.
    assert_eq!(config(json!({ "secret": CONFIG })).status, 200);
    let bearer = format!("Bearer {HEADER}");
    let shown = [("authorization", &*bearer)];
    assert_eq!(ask(&server, "GET", "/api/v1/p/keeper/boom", &shown, "").status, 500);
    let failed = config(json!({ "secret": CONFIG, "fails": true }));
    assert_eq!(failed.status, 422, "{}", failed.text);
    assert_eq!(config(json!({ "secret": CONFIG })).status, 200);
    assert_eq!(ask_as(&server, HEADER, "GET", "/api/v1/plugins", "").status, 401);
    assert_eq!(ask_as(&server, viewer, "POST", "/api/v1/plugins/keeper/reload", "").status, 403);
    let strange = ask_as(&server, operator, "PUT", "/api/v1/plugins/keeper", &json!({ CONFIG: 1 }).to_string());
    assert_eq!(strange.status, 400);
    site.write("plugins/keeper.rs", &KEEPER.replace("\"kept\"", "kept()"));
    server.until_failed("keeper", "build");
    inbox.until(|event| event["tags"]["stage"] == "build");
    inbox.until(|event| event["tags"]["stage"] == "start");
    inbox.until(|event| event["transaction"] == "GET /api/v1/p/keeper/boom");

    let secrets = [ADMIN, DATABASE, CONFIG, HEADER, viewer, operator];
    let (as_viewer, as_operator) = (format!("Bearer {viewer}"), format!("Bearer {operator}"));
    let walk = || {
        for path in readable(&server) {
            for (who, headers) in walkers(&as_viewer, &as_operator) {
                let answer = ask(&server, "GET", &path, &headers, "");
                look(&format!("{path} for {who}"), &answer.text, &secrets);
            }
            // An administrator sees what plugins are configured with, and nothing else of these.
            let others = [DATABASE, HEADER, viewer, operator];
            look(&format!("{path} for an administrator"), &ask_as(&server, ADMIN, "GET", &path, "").text, &others);
        }
    };
    walk();
    // That it would be found.
    assert!(ask_as(&server, ADMIN, "GET", "/api/v1/plugins/keeper", "").text.contains(CONFIG));
    let journal = ask_as(&server, viewer, "GET", "/api/v1/journal?limit=200", "").text;
    assert!(journal.contains("configured") && journal.contains("failed"), "{journal}");
    let logs = || fs::read_to_string(&log_path).unwrap();
    look("the log", &logs(), &secrets);

    // Without a database.
    postgres.kill();
    server.until(|_| logs(), |log| log.contains("what is known of the registry goes on"));
    walk();
    look("the log without a database", &logs(), &secrets);
    look("what is printed", &server.printed(), &secrets);

    // What a plugin itself lets slip stands in the log: it was the plugin who said it. Reports go elsewhere.
    assert_eq!(ask(&server, "GET", "/api/v1/p/keeper/slip", &shown, "").status, 500);
    let event = inbox.until(|event| event["transaction"] == "GET /api/v1/p/keeper/slip");
    assert!(event["exception"]["values"][0]["value"].as_str().unwrap().contains("slipped: "), "{event:#}");
    assert!(logs().contains(CONFIG));
    let (_, printed) = server.end();
    look("what is printed", &printed, &secrets);
    look("reports", &inbox.raw(), &secrets);
}

#[test]
fn what_is_wrong_with_a_database_is_said_without_its_password() {
    let (inbox, postgres) = (Inbox::open(), Postgres::start());
    for (database, expected) in [
        (postgres.guarded_url("postgres", WRONG_DATABASE), "refuses the password"),
        (format!("postgres://guarded:{WRONG_DATABASE}@127.0.0.1:1/x"), "cannot be used"),
        (format!("postgres://guarded:{WRONG_DATABASE}@[::bad/x"), "cannot be used"),
    ] {
        let site = site();
        let mut command = site.command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--require-database"]).env("SENTRY_DSN", inbox.dsn());
        let done = command.env("CAMLOCK_DATABASE_URL", &database).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && told.contains(expected), "{database}: {told}");
        look("what is printed", &told, &[WRONG_DATABASE]);
    }
    inbox.until(|event| event["message"].as_str().is_some_and(|message| message.contains("refuses the password")));
    look("reports", &inbox.raw(), &[WRONG_DATABASE]);
}
