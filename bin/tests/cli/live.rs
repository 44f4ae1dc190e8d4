//! Commands against a real `camlock serve`.

use crate::{Ended, command, end, site};
use camlock_testing::{Server, Site, single};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// A command against this server, over TCP, with the local token.
fn ask(site: &Site, server: &Server, arguments: &[&str]) -> Ended {
    let mut command = command(site, arguments);
    command.env("CAMLOCK_SERVER", format!("http://{}", server.address));
    end(command)
}

#[test]
fn plugins_are_listed_shown_and_acted_upon() {
    let site = site();
    site.write("plugins/hello.rs", &single("one"));
    let server = site.start();
    server.until_text("/api/v1/p/hello/", "one");
    let ask = |arguments: &[&str]| ask(&site, &server, arguments);

    let list = ask(&["list"]).done();
    assert!(list.starts_with("NAME   VERSION  STATE    URLS\nabout  "), "{list}");
    assert!(
        list.contains("hello  0.1.0    serving  /api/v1/p/hello/\n") || list.ends_with("serving  /api/v1/p/hello/\n"),
        "{list}"
    );
    let items = ask(&["list", "--json"]).json();
    assert_eq!(items["items"][1]["name"], "hello");

    let told = ask(&["reload", "hello"]).done();
    assert!(told.starts_with("hello 0.1.0 serves as generation 2 (build ") && told.contains("swap "), "{told}");
    let plugin = ask(&["reload", "hello", "--json"]).json();
    assert_eq!(plugin["serving"]["generation"], 3);
    assert!(ask(&["reload"]).done().starts_with("everything is looked at again"));

    // What fails says why, and what serves on.
    site.write("plugins/hello.rs", &single("two").replace("get(", "got("));
    server.until_failed("hello", "build");
    let ended = ask(&["reload", "hello"]);
    assert!(ended.failed(1).starts_with("hello: build failed: it does not compile: hello.rs:11: "), "{}", ended.stderr);
    assert!(ended.failed(1).ends_with("; generation 3 serves on"), "{}", ended.stderr);
    assert!(ended.stderr.contains("error[E0425]"), "{}", ended.stderr);
    let list = ask(&["list"]).done();
    assert!(
        list.contains("failed (build, ") && list.contains("    generation 3 serves on\n    → mend it and save"),
        "{list}"
    );
    let shown = ask(&["show", "hello"]).done();
    for part in [
        "hello 0.1.0  serving\n",
        "serving   generation 3",
        "error[E0425]: cannot find function `got`",
        "→ mend it and save",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }

    site.write("plugins/hello.rs", &single("two"));
    server.until_text("/api/v1/p/hello/", "two");
    let told = ask(&["rollback", "hello"]).done();
    assert!(told.contains(" serves as generation "), "{told}");
    assert_eq!(server.get("/api/v1/p/hello/").text, "one");
    let unknown = format!("sha256:{}", "0".repeat(64));
    let told = ask(&["rollback", "hello", "--to", &unknown]).refused(1);
    assert!(told.contains("artifact"), "{told}");

    assert_eq!(ask(&["disable", "hello"]).done(), "hello is disabled: the registry says so\n");
    let list = ask(&["list"]).done();
    assert!(list.contains("→ `camlock enable hello` serves it"), "{list}");
    assert!(ask(&["reload", "hello"]).refused(1).contains("disabled"));
    assert!(ask(&["enable", "hello"]).done().contains("serves as generation"));
    assert_eq!(
        ask(&["disable", "hello", "--no-wait"]).done(),
        "hello: begun; `camlock show hello` says what comes of it\n"
    );
    server.until_plugin("hello", |plugin| plugin["state"] == "disabled");

    assert_eq!(ask(&["show", "helo"]).refused(1), "there is no plugin `helo`; did you mean `hello`?");
    assert_eq!(ask(&["reload", "abut"]).refused(1), "there is no plugin `abut`; did you mean `about`?");
    let told = ask(&["enable", "nothing-like-it"]).refused(1);
    assert_eq!(told, "there is no plugin `nothing-like-it`; `camlock list` shows those that there are");
    assert_eq!(ask(&["show", "hello", "--json"]).json()["state"], json!("disabled"));
}

#[test]
fn only_the_token_lets_one_in() {
    let site = site();
    let server = site.start();
    let told = ask(&site, &server, &["list", "--token", "wrong"]).refused(4);
    assert!(told.contains("name another with --token or CAMLOCK_TOKEN"), "{told}");
    // Somewhere else there is no token lying about.
    let mut elsewhere =
        command(&site, &["list", "--data", "nowhere", "--server", &format!("http://{}", server.address)]);
    elsewhere.env_remove("CAMLOCK_ADMIN_TOKEN");
    assert!(end(elsewhere).refused(4).starts_with("the server asks for a token: "));
    let token = fs::read_to_string(site.path(".camlock/admin-token")).unwrap();
    let mut told = command(&site, &["list", "--data", "nowhere", "--server", &format!("http://{}/", server.address)]);
    told.env("CAMLOCK_TOKEN", token.trim());
    assert!(end(told).done().contains("about"));
    let address = server.address;
    server.end();
    let told = end(command(&site, &["list", "--server", &format!("http://{address}")])).refused(3);
    assert!(told.starts_with(&format!("no server at http://{address}: nobody listens there; ")), "{told}");
}

#[test]
fn how_to_go_on_is_told_when_all_serves() {
    let site = site();
    site.write("plugins/hello.rs", &single("one"));
    let server = site.start();
    server.until_text("/api/v1/p/hello/", "one");
    let printed = server.until(Server::printed, |printed| printed.contains("make another"));
    let url = format!("http://{}", server.address);
    for line in [
        format!("hello 0.1.0                  {url}/api/v1/p/hello/"),
        "2 of 2 plugins serve".to_owned(),
        format!("admin token   {}", site.path(".camlock").canonicalize().unwrap().join("admin-token").display()),
        format!("make another  camlock new NAME --in {}", site.plugins().display()),
    ] {
        assert!(printed.contains(&line), "{line}\n{printed}");
    }
    assert!(!printed.contains('\x1b'));
}

#[test]
fn by_the_control_socket_one_is_an_admin() {
    let site = site();
    site.write("plugins/hello.rs", &logging("one"));
    let server = site.start_with(informative);
    server.until_text("/api/v1/p/hello/", "one");
    // In the site's directory nothing need be named.
    let run = |arguments: &[&str]| end(command(&site, arguments));
    assert!(run(&["list"]).done().contains("hello"));
    assert!(run(&["logs", "hello"]).done().contains(" INFO made anew"));
    assert!(run(&["nodes"]).done().contains("this one"));
    assert_eq!(run(&["nodes", "--json"]).json()["items"][0]["this"], true);
    run(&["disable", "hello"]).done();
    run(&["enable", "hello"]).done();
    let events = run(&["events", "--plugin", "hello"]).done();
    let at = |what: &str| events.find(what).unwrap_or_else(|| panic!("{what}\n{events}"));
    assert!(at("  disabled  ") < at("  enabled  "), "the newest last\n{events}");
    for line in run(&["events", "--json"]).done().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].is_string(), "{line}");
    }
    assert!(run(&["show", "hello"]).done().contains("what was tried, the newest first"));
    // It waits for nobody else, and the port may be another's.
    assert!(run(&["doctor", "--listen", &server.address.to_string()]).done().contains("is taken; a server runs"));

    assert!(run(&["remove", "hello"]).done().starts_with("hello is removed; "));
    assert!(!site.path("plugins/hello.rs").exists());
    server.until_status("/api/v1/p/hello/", 404);
}

/// One that says something when it is made.
fn logging(text: &str) -> String {
    let source = single(text).replace("Ok(Plugin1)", "tracing::info!(\"made anew\");\n        Ok(Plugin1)");
    "---\n[dependencies]\ntracing = \"0.1\"\n---\n".to_owned() + &source
}

#[test]
fn tokens_let_others_in_as_far_as_their_role_goes() {
    let site = site();
    let server = site.start();
    server.until_serving("about");
    let run = |arguments: &[&str]| end(command(&site, arguments));
    let made = run(&["token", "create", "eve", "--role", "viewer", "--days", "2"]).done();
    let secret = made.trim();
    let url = format!("http://{}", server.address);
    let with_token = |arguments: &[&str]| {
        let mut command = command(&site, arguments);
        command.env("CAMLOCK_SERVER", &url).env("CAMLOCK_TOKEN", secret);
        end(command)
    };
    assert!(with_token(&["list"]).done().contains("about"));
    with_token(&["disable", "about"]).refused(4);
    with_token(&["token", "list"]).refused(4);
    let tokens = run(&["token", "list"]).done();
    assert!(tokens.contains("eve") && tokens.contains("viewer") && !tokens.contains(secret), "{tokens}");
    assert!(tokens.contains("expires in 47 h") || tokens.contains("expires in 2 days"), "{tokens}");
    let id = run(&["token", "list", "--json"]).json()["items"][0]["id"].to_string();
    assert_eq!(run(&["token", "revoke", &id]).done(), format!("token {id} is revoked\n"));
    with_token(&["list"]).refused(4);
    assert!(run(&["token", "list"]).done().contains("revoked"));
    assert!(run(&["token", "revoke", "4711"]).refused(1).starts_with("there is no such token"));
}

#[test]
fn what_happens_is_followed() {
    let site = site();
    let server = site.start_with(informative);
    server.until_serving("about");
    let mut followers = [&["events", "-f"][..], &["logs", "hello", "-f"]].map(|arguments| {
        // Its log can be followed once it is known.
        if arguments[0] == "logs" {
            site.write("plugins/hello.rs", &logging("one"));
            server.until_text("/api/v1/p/hello/", "one");
        }
        let mut child = command(&site, arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        (BufReader::new(child.stdout.take().unwrap()).lines(), child)
    });
    let (events, _) = &mut followers[0];
    assert!(events.by_ref().map_while(Result::ok).any(|line| line.contains("hello") && line.contains("serving")));
    let (logs, _) = &mut followers[1];
    assert!(logs.by_ref().map_while(Result::ok).any(|line| line.contains("made anew")), "what was said before");
    end(command(&site, &["reload", "hello"])).done();
    assert!(logs.by_ref().map_while(Result::ok).any(|line| line.contains("made anew")), "and what is said since");
    for (_, child) in &mut followers {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// The server tells of what it does.
fn informative(command: &mut Command) {
    command.env("CAMLOCK_LOG", "info");
}
