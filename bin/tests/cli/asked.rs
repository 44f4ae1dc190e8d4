//! What commands ask of a server and make of its answers, with a server of the tests' own.

use crate::{
    Ended, camlock, end,
    fake::{Answer, Asked, Request, diagnostic, on_socket, on_tcp, plugin},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::Stdio,
};

fn ask(address: SocketAddr, arguments: &[&str]) -> Ended {
    let mut command = camlock(arguments);
    command.env("CAMLOCK_SERVER", format!("http://{address}")).env("CAMLOCK_TOKEN", "secret");
    end(command)
}

fn requests(asked: &Asked) -> Vec<Request> {
    std::mem::take(&mut asked.lock().unwrap())
}

/// The one request that was made: its line and its body.
#[track_caller]
fn one(asked: &Asked) -> (String, Value) {
    let requests = requests(asked);
    assert_eq!(requests.len(), 1, "{requests:#?}");
    assert_eq!(requests[0].authorization, "Bearer secret");
    let body = &requests[0].body;
    (requests[0].line.clone(), if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() })
}

#[test]
fn each_act_is_one_request() {
    let (address, asked) = on_tcp(|_| {
        let mut answer = plugin("hello", "disabled");
        answer["items"] = json!([]);
        answer["next"] = Value::Null;
        Answer::json(&answer)
    });
    for (arguments, line, body) in [
        (&["enable", "hello"][..], "POST /api/v1/plugins/hello/enable", Value::Null),
        (&["disable", "hello", "--no-wait"], "POST /api/v1/plugins/hello/disable?wait=false", Value::Null),
        (&["reload", "hello", "--force"], "POST /api/v1/plugins/hello/reload?force=true", Value::Null),
        (
            &["reload", "hello", "--force", "--no-wait"],
            "POST /api/v1/plugins/hello/reload?force=true&wait=false",
            Value::Null,
        ),
        (&["reload"], "POST /api/v1/reload", Value::Null),
        (&["rollback", "hello"], "POST /api/v1/plugins/hello/rollback", Value::Null),
        (
            &["rollback", "hello", "--to", "sha256:0"],
            "POST /api/v1/plugins/hello/rollback",
            json!({ "to": "sha256:0" }),
        ),
        (&["remove", "hello"], "DELETE /api/v1/plugins/hello", Value::Null),
        (&["remove", "hello", "--purge"], "DELETE /api/v1/plugins/hello?purge=true", Value::Null),
        (&["remove", "../tokens/1"], "DELETE /api/v1/plugins/..%2Ftokens%2F1", Value::Null),
        (&["remove", ".."], "DELETE /api/v1/plugins/%2E%2E", Value::Null),
        (
            &["list", "--status", "failed", "--category", "kv", "-q", "a&b"],
            "GET /api/v1/plugins?limit=500&status=failed&category=kv&q=a%26b",
            Value::Null,
        ),
        (&["grants", "hello", "--json"], "GET /api/v1/plugins/hello/grants", Value::Null),
        (&["grant", "hello", "--all", "--json"], "PUT /api/v1/plugins/hello/grants", json!({ "granted": "asked" })),
        (&["revoke", "hello", "--all", "--json"], "PUT /api/v1/plugins/hello/grants", json!({ "granted": [] })),
        (&["config", "hello", "schema"], "GET /api/v1/plugins/hello/schema", Value::Null),
        (&["storage", "hello", "list", "a b"], "GET /api/v1/plugins/hello/storage?limit=500&prefix=a%20b", Value::Null),
        (&["storage", "hello", "delete", "a/b"], "DELETE /api/v1/plugins/hello/storage/a%2Fb", Value::Null),
        (&["nodes"], "GET /api/v1/nodes", Value::Null),
        (&["logs", "hello"], "GET /api/v1/plugins/hello/logs", Value::Null),
        (&["events", "-n", "7", "--plugin", "hello"], "GET /api/v1/journal?limit=7&plugin=hello", Value::Null),
        (&["token", "list"], "GET /api/v1/tokens", Value::Null),
        (&["token", "revoke", "3"], "DELETE /api/v1/tokens/3", Value::Null),
    ] {
        ask(address, arguments).done();
        assert_eq!(one(&asked), (line.to_owned(), body), "{arguments:?}");
    }
}

#[test]
fn a_list_is_read_to_its_end() {
    let (address, asked) = on_tcp(|request| {
        let (name, next) =
            if request.line.ends_with("&cursor=a%20b") { ("two", Value::Null) } else { ("one", json!("a b")) };
        Answer::json(&json!({ "items": [plugin(name, "serving")], "next": next }))
    });
    let list = ask(address, &["list", "--json"]).json();
    assert_eq!(list, json!({ "items": [plugin("one", "serving"), plugin("two", "serving")], "next": null }));
    assert_eq!(requests(&asked).len(), 2);
    let text = ask(address, &["list"]).done();
    assert_eq!(text, "NAME  VERSION  STATE    URLS\none            serving\ntwo            serving\n");
}

#[test]
fn tokens_are_shown_once_and_alone() {
    let token = || {
        json!({
            "id": 3, "name": "ci", "role": "operator", "created": "2020-01-01T00:00:00Z", "expires": null, "revoked": null,
            "holds": true,
        })
    };
    let (address, asked) = on_tcp(move |request| match &*request.line {
        "POST /api/v1/tokens" => {
            let mut made = token();
            made["token"] = "cml_abc".into();
            Answer::json(&made)
        }
        _ => Answer::json(&json!({ "next": null, "items": [token()] })),
    });
    let ended = ask(address, &["token", "create", "ci", "--role", "operator", "--days", "90"]);
    assert_eq!((&*ended.stdout, ended.code), ("cml_abc\n", 0));
    assert_eq!(ended.stderr, "token 3 for ci (operator): keep it, it is not shown again\n");
    let (line, body) = one(&asked);
    assert_eq!((&*line, &body["name"], &body["role"]), ("POST /api/v1/tokens", &json!("ci"), &json!("operator")));
    assert!(body["expires"].as_str().unwrap().ends_with('Z'), "{body}");
    assert_eq!(ask(address, &["token", "create", "ci", "--role", "viewer", "--json"]).json()["token"], "cml_abc");
    assert_eq!(requests(&asked)[0].body, json!({ "name": "ci", "role": "viewer" }).to_string());
    let list = ask(address, &["token", "list"]).done();
    assert!(
        list.starts_with("ID  NAME  ROLE      MADE")
            && list.contains("3   ci    operator  ")
            && list.ends_with("until revoked\n"),
        "{list}"
    );
}

#[test]
fn what_a_server_refuses_has_its_exit_code() {
    let (address, _) = on_tcp(|request| {
        let path = request.line.split(' ').nth(1).unwrap();
        match path.rsplit('/').nth(1).unwrap() {
            "low" => {
                Answer::problem(403, &json!({ "detail": "this asks for an operator, and the token is a viewer's" }))
            }
            "none" => Answer::problem(401, &json!({ "detail": "nobody has this token" })),
            "busy" => Answer::problem(409, &json!({ "detail": "`other` depends on it", "plugin": "busy" })),
            "html" => Answer::other(502, "text/html", "<html>"),
            "odd" => Answer::other(200, "text/html", "<html>"),
            "sly" => Answer::problem(409, &json!({ "detail": "\u{1b}[2Jgone" })),
            _ => Answer::problem(
                422,
                &json!({
                    "detail": "it does not compile", "plugin": "bad", "stage": "build", "generation": 4,
                    "diagnostics": [diagnostic("error: expected `;`\n")],
                }),
            ),
        }
    });
    for (name, code, sentence) in [
        ("low", 4, "this asks for an operator, and the token is a viewer's"),
        ("none", 4, "nobody has this token; name another with --token"),
        ("busy", 1, "`other` depends on it"),
        ("html", 1, "the server answered 502 Bad Gateway, and does not say why"),
        ("odd", 1, "is not camlock's admin API"),
        ("sly", 1, "\\u{1b}[2Jgone"),
    ] {
        let told = ask(address, &["disable", name]).refused(code);
        assert!(told.contains(sentence), "{told}");
    }
    let ended = ask(address, &["reload", "bad"]);
    assert_eq!(ended.failed(1), "bad: build failed: it does not compile");
    assert!(ended.stderr.starts_with("error: expected `;`\n"), "{}", ended.stderr);
}

#[test]
fn without_a_server_it_is_3() {
    let dir = tempfile::tempdir().unwrap();
    let list = |arguments: &[&str]| {
        let mut command = camlock(&[&["list"], arguments].concat());
        command.current_dir(dir.path());
        end(command)
    };
    let told = list(&[]).refused(3);
    assert!(told.contains(".camlock/control.sock: there is no such socket; start one with `camlock serve`"), "{told}");
    fs::create_dir(dir.path().join("data")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("data/control.sock")).unwrap());
    let told = list(&["--data", "data"]).refused(3);
    assert!(told.contains("data/control.sock: nobody listens there"), "{told}");
    let told = list(&["--server", "https://example.org"]).refused(2);
    assert!(told.contains("plain http:// only; reach a server behind TLS through a tunnel"), "{told}");
}

#[test]
fn the_control_socket_of_the_data_directory_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::write(dir.path().join("camlock.toml"), "data.dir = \"data\"").unwrap();
    fs::write(dir.path().join("data/admin-token"), "local\n").unwrap();
    let asked =
        on_socket(&dir.path().join("data/control.sock"), |_| Answer::json(&json!({ "items": [], "next": null })));
    let mut command = camlock(&["list"]);
    fs::create_dir(dir.path().join("deeper")).unwrap();
    command.current_dir(dir.path().join("deeper"));
    assert_eq!(end(command).done(), "there are no plugins yet: `camlock new NAME` makes one\n");
    let requests = requests(&asked);
    assert_eq!((&*requests[0].line, &*requests[0].authorization), ("GET /api/v1/plugins?limit=500", ""));
}

#[test]
fn events_go_on_where_they_broke_off() {
    let event = |id: u32, what: &str| json!({ "id": format!("0-{id}"), "at": "2026-01-02T03:04:05Z", "node": null, "plugin": "hello", "generation": null, "what": what, "by": "admin", "detail": {} });
    let sse = move |id: u32, what: &str| format!("id: 0-{id}\nevent: {what}\ndata: {}\n\n", event(id, what));
    let (address, asked) = on_tcp(move |request| match (&*request.line, &*request.last_event_id) {
        ("GET /api/v1/journal?limit=30&", _) => {
            Answer::json(&json!({ "items": [event(2, "reload"), event(1, "enabled")], "next": null }))
        }
        ("GET /api/v1/events", "0-2") => Answer::events(&(": hello\n\n".to_owned() + &sse(3, "failed"))),
        ("GET /api/v1/events", "0-3") => Answer::events(&sse(4, "serving")),
        ("GET /api/v1/events", "0-4") => Answer::problem(403, &json!({ "detail": "the token was revoked" })),
        _ => Answer::problem(400, &json!({ "detail": format!("{request:?}") })),
    });
    let mut command = camlock(&["events", "-f", "--server", &format!("http://{address}"), "--token", "secret"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    let what: Vec<_> = lines.iter().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!(what, ["enabled", "reload", "failed", "serving"]);
    assert_eq!(lines[0], "2026-01-02T03:04:05Z  hello            enabled  (by admin)");
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{told}");
    let expected =
        "camlock: the stream of events broke off; trying again\n".repeat(2) + "camlock: the token was revoked\n";
    assert_eq!(told, expected);
    assert_eq!(requests(&asked).len(), 4);
}

#[test]
fn logs_are_read_and_followed() {
    let record = |message: &str| {
        json!({
            "id": 1, "at": "2026-01-02T03:04:05Z", "level": "info", "message": message, "fields": "n=1", "generation": 1,
            "trace_id": null, "module": "hello",
        })
    };
    let (address, _) = on_tcp(move |request| match &*request.line {
        "GET /api/v1/plugins/hello/logs" => {
            Answer::json(&json!({ "items": [record("one"), record("t\u{1b}o")], "next": null }))
        }
        "GET /api/v1/plugins/hello/logs?follow=true" => Answer::json(&json!({ "items": [], "next": null })),
        "GET /api/v1/plugins?limit=500" => Answer::json(&json!({ "items": [{ "name": "hello" }], "next": null })),
        _ => Answer::problem(404, &json!({ "detail": "there is no plugin `hallo`", "plugin": "hallo" })),
    });
    let text = ask(address, &["logs", "hello"]).done();
    assert_eq!(text, "2026-01-02T03:04:05Z  INFO one n=1\n2026-01-02T03:04:05Z  INFO t\\u{1b}o n=1\n");
    assert_eq!(ask(address, &["logs", "hello", "--json"]).done().lines().count(), 2);
    assert_eq!(ask(address, &["logs", "hallo"]).refused(1), "there is no plugin `hallo`; did you mean `hello`?");
    let told = ask(address, &["logs", "hello", "-f"]).refused(1);
    assert_eq!(told, "this server does not let that be followed; ask without -f");
}

#[test]
fn nodes_say_who_serves_what() {
    let node = json!({ "id": "a1", "host": "web", "address": "10.0.0.1:80", "version": "1.0.0", "this": true, "stale": false,
        "started": "2026-01-02T03:04:05Z", "heard": "2026-01-02T03:04:05Z", "lags": [],
        "serves": [{ "plugin": "hello", "state": "failed", "reason": "no disk", "generation": null, "artifact": null,
            "version": null, "revision": 1 }] });
    let (address, _) = on_tcp(move |_| Answer::json(&json!({ "items": [node], "next": null })));
    let text = ask(address, &["nodes"]).done();
    assert!(
        text.ends_with(
            "a1    web   10.0.0.1:80  1.0.0    this one  0 of 1 plugin\n    hello is failed there: no disk\n"
        ),
        "{text}"
    );
    assert_eq!(ask(address, &["nodes", "--json"]).json()["items"][0]["id"], "a1");
}

#[test]
fn an_answer_that_does_not_fit_says_where() {
    let (address, _) = on_tcp(|request| match request.line.split(' ').nth(1).unwrap() {
        "/api/v1/plugins/hello" => {
            let mut answer = plugin("hello", "serving");
            answer["pinned"] = json!([{ "generation": "three", "reason": "" }]);
            Answer::json(&answer)
        }
        "/api/v1/plugins?limit=500" => {
            Answer::json(&json!({ "items": [plugin("one", "serving"), { "name": "two" }], "next": null }))
        }
        _ => Answer::json(&json!({ "items": [{ "id": "0-1" }], "next": null })),
    });
    for (arguments, place) in [
        (&["show", "hello"][..], "`pinned[0].generation`: invalid type: string"),
        (&["list"], "`items[1]`: missing field `version`"),
        (&["events"], "its top: missing field `at`"),
        (&["nodes"], "`items[0]`: missing field `host`"),
        (&["token", "list"], "`items[0].id`: invalid type: string"),
        (&["logs", "hello"], "`id`: invalid type: string"),
    ] {
        let told = ask(address, arguments).refused(1);
        assert!(told.contains(&format!("the server's answer does not fit at {place}")), "{arguments:?}: {told}");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    // The system accepts for it; nobody reads.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for (arguments, what) in [
        (&["list"][..], "does not say what is at /api/v1/plugins for 1 s"),
        (&["show", "hello"], "does not say what is at /api/v1/plugins/hello for 1 s"),
        (&["events"], "does not say what is at /api/v1/journal for 1 s"),
        (&["events", "-f", "-n", "0"], "does not say what is at /api/v1/events for 1 s"),
        (&["logs", "hello"], "does not say what is at /api/v1/plugins/hello/logs for 1 s"),
        (&["nodes"], "does not say what is at /api/v1/nodes for 1 s"),
        (&["token", "list"], "does not say what is at /api/v1/tokens for 1 s"),
        (&["token", "revoke", "3"], "does not say any more that it lives for 1 s"),
        (&["enable", "hello"], "does not say any more that it lives for 1 s"),
        (&["reload"], "does not say any more that it lives for 1 s"),
    ] {
        let told = ask(address, &[arguments, &["--timeout", "1"]].concat()).refused(3);
        assert!(told.contains(what) && told.contains("may still be done"), "{arguments:?}: {told}");
    }
}

#[test]
fn an_act_is_waited_for_as_long_as_the_server_lives() {
    let (address, _) = on_tcp(|request| {
        if request.line == "GET /_/live" {
            return Answer::json(&json!({ "status": "live" }));
        }
        std::thread::sleep(std::time::Duration::from_secs(4));
        Answer::json(&plugin("hello", "disabled"))
    });
    assert_eq!(ask(address, &["disable", "hello", "--timeout", "1"]).done(), "hello is disabled\n");
}
