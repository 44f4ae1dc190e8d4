//! Commands against a real `camlock serve`.

use crate::{Ended, command, end, site};
use camlock_testing::{Server, Site, single};
use serde_json::json;
use std::fs;

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

    assert_eq!(ask(&["disable", "hello"]).done(), "hello is disabled: an operator disabled it\n");
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
