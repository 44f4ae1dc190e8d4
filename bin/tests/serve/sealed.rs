//! Secrets of configurations, through a plugin that is really loaded: on both databases, from the order to the last backup.

use crate::site;
use camlock_testing::{Outside, Postgres, Server, Site, repository};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

const ORDERED: &str = "open-sesame-4711";
const BY_SQL: &str = "plain-barley-0815";
const LATER: &str = "third-secret-2342";
const MASK: &str = "********";
const TEXT: &str = "/api/v1/p/guarded/text";
const PLUGIN: &str = "/api/v1/plugins/guarded";
const WITHOUT_IT: &str = "use camlock_plugin::prelude::*;
pub struct Open;
impl Plugin for Open {
    async fn create(_: Host) -> Result<Self> { Ok(Open) }
    fn routes(self: Arc<Self>) -> impl Into<Routes> { Router::new().route(\"/text\", get(async || \"open\")) }
}
export!(Open);
";

fn put_there(site: &Site) {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let library = BUILT.get_or_init(|| {
        Outside::new("guarded").with_folder(&repository().join("core/loader/fixtures/guarded")).library()
    });
    fs::create_dir_all(site.plugins()).unwrap();
    fs::copy(library, site.path("plugins/guarded.so")).unwrap();
}

/// Starts a server whose whole log is kept.
fn start(site: &Site, change: impl FnOnce(&mut Command)) -> Server {
    let log = fs::OpenOptions::new().create(true).append(true).open(site.path("log")).unwrap();
    site.start_with(|command| {
        command.env("CAMLOCK_LOG", "debug,h2=info,hyper=info,hyper_util=info").stderr(log);
        change(command);
    })
}

fn set(server: &Server, config: Value) -> (u16, String) {
    let answer = server.act_with("PUT", PLUGIN, &json!({ "config": config }));
    (answer.status, answer.text)
}

fn text(server: &Server) -> String {
    server.get(TEXT).text
}

/// The files in which one of these stands: not what cargo makes.
fn found_in(dir: &Path, secrets: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && ["target", "shadow", "artifacts"].iter().any(|name| path.ends_with(name)) {
            continue;
        } else if kind.is_dir() {
            found.extend(found_in(&path, secrets));
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let holds = |secret: &&str| text.contains(*secret);
            found.extend(secrets.iter().any(holds).then_some(path));
        }
    }
    found
}

/// What a command prints, on both of its outputs, and how it ends.
fn command(site: &Site, arguments: &[&str], key: Option<&str>) -> (bool, String) {
    let mut command = site.command();
    if let Some(key) = key {
        command.env("CAMLOCK_SECRETS_KEY", key);
    }
    let done = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (done.status.success(), told)
}

fn id(site: &Site) -> String {
    let (_, told) = command(site, &["secrets", "--json"], None);
    let looked: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
    assert_eq!((&looked["fits"], &looked["key"]), (&true.into(), &looked["sealed_with"]), "{told}");
    looked["key"].as_str().unwrap().to_owned()
}

#[test]
fn on_sqlite() {
    let site = site();
    let file = site.path(".camlock/registry.db");
    life(&site, &|sql| {
        let done = Command::new("sqlite3").args(["-cmd", ".timeout 60000"]).arg(&file).arg(sql).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    });
}

#[test]
fn on_postgres() {
    let site = site();
    let database = Postgres::shared().database();
    site.configure(&format!("database.url = {database:?}"));
    life(&site, &|sql| Postgres::shared().sql(&format!("{database}?options=-csearch_path%3Dcamlock"), sql));
}

fn life(site: &Site, sql: &dyn Fn(&str) -> String) {
    put_there(site);
    site.write("plugins/open.rs", WITHOUT_IT);
    let server = start(site, |_| {});
    server.until_serving("guarded");
    server.until_serving("open");
    let key_file = site.path(".camlock/secrets.key");
    let key = fs::read_to_string(&key_file).unwrap();
    ordered(&server, sql);
    written_plain(&server, sql);
    told_by_the_plugin(&server);
    let shown = ["/api/v1/journal", PLUGIN, "/api/v1/nodes", "/metrics", "/plugins"];
    for path in shown {
        let answer = server.get_as_admin(path).text;
        assert!(!answer.contains(ORDERED) && !answer.contains(BY_SQL), "{path}: {answer}");
    }
    nowhere(&server, site, sql);

    // Sealed anew under a running server, which takes the key up by itself.
    let (before, generation) = (id(site), server.generation("guarded"));
    let (good, told) = command(site, &["secrets", "rotate"], None);
    assert!(good && told.contains("1 secret is sealed with the new key "), "{told}");
    assert_ne!(id(site), before);
    assert!(site.path(&format!(".camlock/secrets.key.{before}")).exists());
    let config = json!({ "url": "here", "password": MASK, "keys": [LATER] });
    server.until(|server| set(server, config.clone()), |(status, _)| *status == 200);
    assert!(text(&server).contains(BY_SQL) && text(&server).contains(LATER));
    assert_eq!(server.generation("guarded"), generation, "it was not begun anew for that");
    server.until_plugin("guarded", |plugin| plugin["failed"].is_null());
    nowhere(&server, site, sql);
    server.end();
    missing(site, &key);
    let server = start(site, |_| {});
    server.until_serving("guarded");
    assert!(text(&server).contains(BY_SQL));
    nowhere(&server, site, sql);
    server.end();
    assert_eq!(found_in(&site.path(".camlock"), &[ORDERED, BY_SQL, LATER]), Vec::<PathBuf>::new());
}

/// What is ordered reaches the plugin and nobody else.
fn ordered(server: &Server, sql: &dyn Fn(&str) -> String) {
    let (status, answer) = set(server, json!({ "password": ORDERED, "keys": ["first-of-two", "last-of-two"] }));
    assert!(status == 200 && answer.contains(MASK) && !answer.contains(ORDERED), "{answer}");
    assert!(text(server).contains(ORDERED) && text(server).contains("last-of-two"));
    assert_eq!(sql("SELECT count(*) FROM plugin_secrets"), "3");
    let on_record: Value = serde_json::from_str(&sql("SELECT config FROM plugins WHERE name = 'guarded'")).unwrap();
    assert_eq!(on_record, json!({ "password": MASK, "keys": [MASK, MASK] }));
    // The mask keeps what is on record; where it stands for nothing it is refused, and nothing changes.
    let (status, _) = set(server, json!({ "password": MASK, "url": "there" }));
    assert_eq!((status, sql("SELECT count(*) FROM plugin_secrets")), (200, "1".to_owned()));
    assert!(text(server).contains(ORDERED));
    let (status, answer) = set(server, json!({ "password": MASK, "keys": [MASK] }));
    assert!(status == 400 && answer.contains("/keys/0") && answer.contains("there is none"), "{answer}");
    assert!(text(server).contains(ORDERED));
    // As it is, it is no decision.
    let revision = server.plugin("guarded")["revision"].clone();
    assert_eq!(set(server, json!({ "password": ORDERED, "url": "there" })).0, 200);
    assert_eq!(server.plugin("guarded")["revision"], revision);
}

/// What somebody writes in plain is obeyed, and sealed.
fn written_plain(server: &Server, sql: &dyn Fn(&str) -> String) {
    sql(&format!("UPDATE plugins SET config = '{{\"password\": \"{BY_SQL}\"}}' WHERE name = 'guarded'"));
    server.until(text, |text| text.contains(BY_SQL));
    let config = |_: &Server| sql("SELECT config FROM plugins WHERE name = 'guarded'");
    server.until(config, |config| config.contains(MASK) && !config.contains(BY_SQL));
    assert_eq!(sql("SELECT count(*) FROM plugin_secrets"), "1");
    assert!(text(server).contains(BY_SQL));
}

/// A plugin that quotes its secrets is told without them.
fn told_by_the_plugin(server: &Server) {
    let (status, answer) = set(server, json!({ "password": MASK, "url": "refused" }));
    assert!(status == 422 && answer.contains("is none") && !answer.contains(BY_SQL), "{status} {answer}");
    let (_, answer) = set(server, json!({ "password": MASK, "url": "here" }));
    assert!(!answer.contains(BY_SQL), "{answer}");
    assert_eq!(set(server, json!({ "password": MASK, "url": "nowhere" })).0, 200);
    let answer = server.post(&format!("{PLUGIN}/reload"));
    assert!(answer.status == 422 && answer.text.contains("nobody is let in with"), "{}", answer.text);
    assert!(answer.text.contains(MASK) && !answer.text.contains(BY_SQL), "{}", answer.text);
    assert_eq!(set(server, json!({ "password": MASK, "url": "here" })).0, 200);
    assert_eq!(server.post(&format!("{PLUGIN}/reload")).status, 200);
}

/// Nothing of them lies anywhere: not in the data directory, with the registry's file, its log and what is known of it, not in the
/// server's log, not in any table.
fn nowhere(server: &Server, site: &Site, sql: &dyn Fn(&str) -> String) {
    let all = [ORDERED, BY_SQL, LATER, "first-of-two"];
    // What was known of the registry is written when more has not come for a second.
    server.until(|_| found_in(&site.path(".camlock"), &all), Vec::is_empty);
    let log = fs::read_to_string(site.path("log")).unwrap() + &server.printed();
    let lines: Vec<_> = log.lines().filter(|line| all.iter().any(|secret| line.contains(secret))).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    for table in ["plugins", "plugin_journal", "node_plugins"] {
        let rows = sql(&format!("SELECT * FROM {table}"));
        assert!(all.iter().all(|secret| !rows.contains(secret)), "{table}: {rows}");
    }
}

/// Without the key what has no secrets serves, what has waits, and `doctor` says what is missing.
fn missing(site: &Site, other: &str) {
    let needed = id(site);
    let (good, told) = command(site, &["doctor", "--listen", "127.0.0.1:0"], Some(other.trim()));
    assert!(!good && told.contains(&format!("secrets are sealed with the key {needed}")), "{told}");
    assert!(told.contains("`guarded` cannot serve here"), "{told}");
    let server = start(site, |command| {
        command.env("CAMLOCK_SECRETS_KEY", other.trim());
    });
    server.until_serving("open");
    let waits = server.until_plugin("guarded", |plugin| plugin["state"] == "waiting");
    let why = waits["reason"].as_str().unwrap();
    assert!(why.contains(&format!("sealed with the key {needed}, and this server has the key ")), "{why}");
    // Nor is anything ordered here that could not be read elsewhere.
    let (status, answer) = set(&server, json!({ "password": LATER }));
    assert!(status == 409 && answer.contains(&needed), "{status} {answer}");
    server.end();

    // Its own, put back, is taken up while it runs.
    let (file, away) = (site.path(".camlock/secrets.key"), site.path("away"));
    fs::rename(&file, &away).unwrap();
    let server = start(site, |_| {});
    let waits = server.until_plugin("guarded", |plugin| plugin["state"] == "waiting");
    assert!(waits["reason"].as_str().unwrap().contains("and this server has none"), "{waits}");
    assert!(!file.exists(), "no other one is made");
    fs::rename(&away, &file).unwrap();
    server.until_serving("guarded");
    assert!(text(&server).contains(BY_SQL));
    server.end();
}
