//! Who may do what: each route, each role, and each kind of token that does not hold.

use crate::{
    admin::{ADMIN, Admin, over},
    server::problem,
};
use camlock_admin::{AdminOptions, AdminSettings};
use camlock_policy::registry::{Role, Tokens};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};
use tokio::time::timeout;

/// The table that is agreed on. What is not in it is open to all.
const TABLE: [(&str, &str, Role); 74] = [
    ("GET", "/api/v1/plugins", Role::Viewer),
    ("GET", "/api/v1/plugins/{name}", Role::Viewer),
    ("GET", "/api/v1/plugins/{name}/generations", Role::Viewer),
    ("GET", "/api/v1/plugins/{name}/builds", Role::Viewer),
    ("GET", "/api/v1/plugins/{name}/schema", Role::Viewer),
    ("GET", "/api/v1/plugins/{name}/logs", Role::Viewer),
    ("GET", "/api/v1/plugins/{name}/level", Role::Viewer),
    ("PUT", "/api/v1/plugins/{name}/level", Role::Operator),
    ("GET", "/api/v1/plugins/{name}/grants", Role::Viewer),
    ("PUT", "/api/v1/plugins/{name}/grants", Role::Admin),
    ("GET", "/api/v1/plugins/{name}/tables", Role::Admin),
    ("GET", "/api/v1/plugins/{name}/storage", Role::Admin),
    ("GET", "/api/v1/plugins/{name}/storage/{key}", Role::Admin),
    ("PUT", "/api/v1/plugins/{name}/storage/{key}", Role::Admin),
    ("DELETE", "/api/v1/plugins/{name}/storage/{key}", Role::Admin),
    ("PUT", "/api/v1/plugins/{name}", Role::Operator),
    ("POST", "/api/v1/plugins/{name}/enable", Role::Operator),
    ("POST", "/api/v1/plugins/{name}/disable", Role::Operator),
    ("POST", "/api/v1/plugins/{name}/reload", Role::Operator),
    ("POST", "/api/v1/plugins/{name}/rollback", Role::Operator),
    ("POST", "/api/v1/reload", Role::Operator),
    ("POST", "/api/v1/plugins", Role::Admin),
    ("DELETE", "/api/v1/plugins/{name}", Role::Admin),
    ("POST", "/api/v1/plugins/{name}/execute", Role::Operator),
    ("GET", "/api/v1/plugins/{name}/executions", Role::Operator),
    ("GET", "/api/v1/plugins/{name}/analytics", Role::Viewer),
    ("GET", "/api/v1/problems", Role::Viewer),
    ("GET", "/api/v1/doctor", Role::Viewer),
    ("GET", "/api/v1/extensions", Role::Viewer),
    ("POST", "/api/v1/plugins/{name}/try", Role::Operator),
    ("GET", "/api/v1/plugins/{name}/schedules", Role::Viewer),
    ("GET", "/api/v1/tasks", Role::Operator),
    ("POST", "/api/v1/tasks", Role::Operator),
    ("GET", "/api/v1/tasks/{id}", Role::Operator),
    ("POST", "/api/v1/tasks/{id}/cancel", Role::Operator),
    ("POST", "/api/v1/tasks/{id}/retry", Role::Operator),
    ("POST", "/api/v1/emit", Role::Operator),
    ("GET", "/api/v1/topics/events", Role::Operator),
    ("GET", "/api/v1/subscriptions", Role::Operator),
    ("GET", "/api/v1/subscriptions/{id}/dead", Role::Operator),
    ("POST", "/api/v1/subscriptions/{id}/replay", Role::Operator),
    ("POST", "/api/v1/subscriptions/{id}/pause", Role::Operator),
    ("POST", "/api/v1/subscriptions/{id}/resume", Role::Operator),
    ("GET", "/api/v1/events", Role::Viewer),
    ("GET", "/api/v1/overview/events", Role::Viewer),
    ("GET", "/api/v1/whoami", Role::Viewer),
    ("GET", "/api/v1/page/layout", Role::Viewer),
    ("PUT", "/api/v1/page/layout", Role::Viewer),
    ("POST", "/api/v1/page/codes", Role::Viewer),
    ("GET", "/api/v1/journal", Role::Viewer),
    ("GET", "/api/v1/nodes", Role::Viewer),
    ("GET", "/api/v1/tokens", Role::Admin),
    ("POST", "/api/v1/tokens", Role::Admin),
    ("DELETE", "/api/v1/tokens/{id}", Role::Admin),
    ("GET", "/api/v1/catalogs", Role::Viewer),
    ("POST", "/api/v1/catalogs", Role::Admin),
    ("DELETE", "/api/v1/catalogs/{catalog}", Role::Admin),
    ("POST", "/api/v1/catalogs/{catalog}/sync", Role::Operator),
    ("GET", "/api/v1/marketplace/plugins", Role::Viewer),
    ("GET", "/api/v1/marketplace/plugins/{plugin}", Role::Viewer),
    ("GET", "/api/v1/marketplace/plugins/{plugin}/versions/{version}", Role::Viewer),
    ("GET", "/api/v1/marketplace/categories", Role::Viewer),
    ("GET", "/api/v1/marketplace/installs", Role::Viewer),
    ("GET", "/api/v1/marketplace/plan", Role::Viewer),
    ("GET", "/api/v1/marketplace/outdated", Role::Viewer),
    ("GET", "/api/v1/plugins/discovered", Role::Viewer),
    ("POST", "/api/v1/plugins/discovery/scan", Role::Operator),
    ("GET", "/api/plugins/marketplace/catalog", Role::Viewer),
    ("POST", "/api/plugins/marketplace/install/{plugin}", Role::Admin),
    ("POST", "/api/plugins/marketplace/enable/{plugin}", Role::Operator),
    ("POST", "/api/plugins/marketplace/disable/{plugin}", Role::Operator),
    ("DELETE", "/api/plugins/marketplace/uninstall/{plugin}", Role::Admin),
    ("POST", "/api/plugins/marketplace/sync", Role::Operator),
    // Nothing is told of what there is.
    ("GET", "/api/v1/nothing", Role::Viewer),
];

#[tokio::test]
async fn each_route_and_each_role() {
    let admin = Admin::start().await;
    let later = std::time::SystemTime::now() + Duration::from_secs(3600);
    for (name, role) in [("viewer", Role::Viewer), ("operator", Role::Operator), ("an-admin", Role::Admin)] {
        admin.token(name, role, Some(later)).await;
    }
    admin.token("expired", Role::Admin, Some(over())).await;
    let revoked = admin.token("revoked", Role::Admin, None).await;
    assert!(admin.memory.revoke(revoked, "a test".into()).await.unwrap());
    for (method, path, least) in TABLE {
        let path = path
            .replace("{name}", "hello")
            .replace("{id}", "999")
            .replace("{key}", "a")
            .replace("{catalog}", "main")
            .replace("{plugin}", "nobody")
            .replace("{version}", "1.0.0");
        for (token, role) in [
            ("", None),
            ("nobody-s", None),
            ("expired", None),
            ("revoked", None),
            ("viewer", Some(Role::Viewer)),
            ("operator", Some(Role::Operator)),
            ("an-admin", Some(Role::Admin)),
            (ADMIN, Some(Role::Admin)),
        ] {
            // Who is let in is told that the body is wrong; who is not, never.
            let answer = admin.server.open(Admin::request(method, &path, token, "}{")).await;
            let status = answer.status().as_u16();
            let told = format!("{method} {path} with `{token}`: {status}");
            match role {
                None => assert_eq!(status, 401, "{told}"),
                Some(role) if role < least => assert_eq!(status, 403, "{told}"),
                Some(_) => {
                    let expected = match (method, &*path) {
                        (_, "/api/v1/nothing") | ("DELETE", "/api/v1/tokens/999") => 404,
                        // It has none.
                        ("GET", "/api/v1/plugins/hello/schema") => 404,
                        ("POST", "/api/v1/plugins") => 501,
                        ("GET", "/api/v1/marketplace/plan") => 400,
                        ("POST", "/api/v1/catalogs") => 400,
                        // What they take is no body, and there is no plugin that is called so.
                        ("POST" | "DELETE", path)
                            if path.ends_with("able/nobody") || path.ends_with("uninstall/nobody") =>
                        {
                            404
                        }
                        ("POST", path) if path.contains("/marketplace/install") => 400,
                        (_, path) if path.contains("/catalogs") || path.contains("/marketplace") => 501,
                        (_, path) if path.contains("/storage") => 501,
                        ("GET", path) if path.contains("/topics") || path.contains("/subscriptions") => 501,
                        (_, path)
                            if ["/executions", "/schedules", "/analytics", "/doctor", "/tables"]
                                .iter()
                                .any(|end| path.ends_with(end)) =>
                        {
                            501
                        }
                        ("GET", path) if path.contains("/tasks") => 501,
                        ("POST", "/api/v1/tasks/999/cancel" | "/api/v1/tasks/999/retry") => 501,
                        ("POST", "/api/v1/page/codes") | ("GET", "/api/v1/plugins/discovered") => 404,
                        ("GET", _) => 200,
                        _ => 400,
                    };
                    assert_eq!(status, expected, "{told}");
                }
            }
            if status == 401 || status == 403 {
                assert_eq!(answer.headers()["content-type"], "application/problem+json", "{told}");
                assert!(answer.headers().contains_key("www-authenticate"), "{told}");
            }
        }
    }
    assert!(admin.orders.lock().unwrap().is_empty() && admin.looks.load(Ordering::SeqCst) == 0);
}

/// No route is forgotten in the table above.
#[tokio::test]
async fn the_table_has_every_route() {
    let admin = Admin::start().await;
    let document = admin.get("/openapi.json").await;
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            if path == "/api/v1/plugins/discovery/webhook" {
                // It shows a secret of its own; nobody knows one here.
                assert_eq!(operation["security"], json!([{}, { "token": [] }]));
                assert_eq!(admin.ask(&method, path, "", "").await.status(), 404);
            } else if path.starts_with("/api/") {
                assert_eq!(operation["security"], json!([{ "token": [] }]), "{method} {path}");
                described.insert((method, path.clone()));
            } else {
                assert_eq!(admin.ask(&method, &path.replace("{name}", "hello"), "", "").await.status(), 200, "{path}");
            }
        }
    }
    let table = TABLE.iter().filter(|(_, path, _)| !path.ends_with("/nothing"));
    let table: BTreeSet<_> = table.map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, table);
}

#[tokio::test]
async fn why_a_token_does_not_do() {
    let admin = Admin::start().await;
    admin.token("looker", Role::Viewer, None).await;
    admin.token("old", Role::Admin, Some(over())).await;
    for (method, token, status, told, challenge) in [
        ("GET", "", 401, "this asks for a token with the role `viewer`", "Bearer realm=\"camlock\""),
        ("GET", "x", 401, "nobody knows this token", "Bearer realm=\"camlock\", error=\"invalid_token\""),
        ("GET", "old", 401, "the token `old` has expired", "Bearer realm=\"camlock\", error=\"invalid_token\""),
        (
            "DELETE",
            "looker",
            403,
            "this asks for the role `admin`, and the token `looker` has `viewer`",
            "Bearer realm=\"camlock\", error=\"insufficient_scope\"",
        ),
    ] {
        let answer = admin.ask(method, "/api/v1/plugins/nobody", token, "").await;
        assert_eq!(answer.status().as_u16(), status, "{token}");
        assert!(problem(&answer)["detail"].as_str().unwrap().starts_with(told), "{:?}", answer.body());
        assert_eq!(answer.headers()["www-authenticate"], challenge);
    }
}

#[tokio::test]
async fn what_is_shown_depends_on_who_looks() {
    let admin = Admin::start().await;
    for (name, role) in [("viewer", Role::Viewer), ("operator", Role::Operator)] {
        admin.token(name, role, None).await;
    }
    for (path, token, shown, config) in [
        ("/plugins/hello", "", false, false),
        ("/plugins/hello", "wrong", false, false),
        ("/plugins/hello", "viewer", true, false),
        ("/api/v1/plugins/hello", "operator", true, false),
        ("/api/v1/plugins/hello", ADMIN, true, true),
        ("/plugins/hello", ADMIN, true, true),
    ] {
        let mut request = Admin::request("GET", path, token, "");
        request.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        let answer = admin.server.send(request).await;
        let document: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!((document["path"] == "hello", document["config"].is_object()), (shown, config), "{path} {token}");
        assert_eq!(answer.headers()["etag"], "\"12\"");
    }
    // Nor does an act show more than its role may see.
    let answer = admin.ask("POST", "/api/v1/plugins/hello/reload", "operator", "").await;
    assert!(!String::from_utf8_lossy(answer.body()).contains("canary"));
}

#[tokio::test]
async fn too_many_wrong_tokens_and_a_right_one() {
    let admin = Admin::start().await;
    for attempt in 0..100 {
        assert_eq!(admin.ask("GET", "/api/v1/plugins", &format!("guess-{attempt}"), "").await.status(), 401);
    }
    let answer = admin.ask("GET", "/api/v1/plugins", "guess", "").await;
    assert_eq!(answer.status(), 429);
    assert!((1..=61).contains(&answer.headers()["retry-after"].to_str().unwrap().parse().unwrap()));
    assert!(problem(&answer)["detail"].as_str().unwrap().starts_with("too many wrong tokens came from this address"));
    assert_eq!(admin.ask("GET", "/api/v1/plugins", ADMIN, "").await.status(), 200);
    assert_eq!(admin.ask("GET", "/api/v1/plugins", "", "").await.status(), 401);
    assert_eq!(admin.ask("GET", "/plugins", "guess", "").await.status(), 200);
}

#[tokio::test]
async fn a_token_is_made_shown_once_and_revoked() {
    let admin = Admin::start().await;
    let body = r#"{"name":"ci","role":"operator","expires":"2999-01-01T00:00:00Z"}"#;
    let answer = admin.ask("POST", "/api/v1/tokens", ADMIN, body).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (201, &"no-store".parse().unwrap()));
    let made: Value = serde_json::from_slice(answer.body()).unwrap();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let secret = made["token"].as_str().unwrap();
    assert_eq!(
        (&made["name"], &made["role"], &made["expires"], &made["holds"]),
        (&json!("ci"), &json!("operator"), &json!("2999-01-01T00:00:00Z"), &json!(true))
    );
    assert_eq!(admin.ask("POST", "/api/v1/plugins/hello/reload", secret, "").await.status(), 200);
    assert_eq!(admin.orders.lock().unwrap()[0].by.as_str(), "ci");
    let listed = admin.ask("GET", "/api/v1/tokens", ADMIN, "").await;
    let text = String::from_utf8_lossy(listed.body()).into_owned();
    let hash = camlock_policy::Digest::of(secret.as_bytes()).hex();
    assert!(text.contains("\"ci\"") && !text.contains(secret) && !text.contains(&hash), "{text}");
    assert_eq!(admin.ask("POST", "/api/v1/tokens", ADMIN, body).await.status(), 409);
    for _ in 0..2 {
        assert_eq!(admin.ask("DELETE", &location, ADMIN, "").await.status(), 204);
    }
    assert_eq!(admin.ask("GET", "/api/v1/plugins", secret, "").await.status(), 401);
    assert_eq!(admin.ask("POST", "/api/v1/tokens", ADMIN, body).await.status(), 201);
    let journal = admin.get("/api/v1/journal").await;
    let noted: Vec<_> =
        journal["items"].as_array().unwrap().iter().map(|entry| (&entry["what"], &entry["by"])).collect();
    assert_eq!(
        json!(noted),
        json!([["token-created", "admin"], ["token-revoked", "admin"], ["token-created", "admin"]])
    );
    for (body, told) in [
        ("", "the body is empty"),
        ("[]", "it is no JSON object"),
        (r#"{"name":"x"}"#, "missing field `role`"),
        (r#"{"name":"x","role":"root"}"#, "role: unknown variant `root`"),
        (r#"{"name":7,"role":"admin"}"#, "name: invalid type"),
        (r#"{"name":"x","role":"admin","secret":"y"}"#, "unknown field `secret`"),
        (r#"{"name":"a b","role":"admin"}"#, "`name` is no name for a token"),
        (r#"{"name":"admin","role":"admin"}"#, "`admin` is no name for a token"),
        (r#"{"name":"x","role":"admin","expires":"soon"}"#, "`expires` is a time like"),
        (r#"{"name":"x","role":"admin","expires":"2001-01-01T00:00:00Z"}"#, "`expires` is over already"),
    ] {
        let answer = admin.ask("POST", "/api/v1/tokens", ADMIN, body).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert!(problem(&answer)["detail"].as_str().unwrap().contains(told), "{body}: {:?}", answer.body());
    }
    assert_eq!(admin.ask("DELETE", "/api/v1/tokens/abc", ADMIN, "").await.status(), 404);
}

/// Whoever may open the file may do everything, whatever they show.
#[tokio::test]
async fn over_the_control_socket_one_is_an_admin() {
    use camlock_admin::{bind_socket, serve_socket};
    use hyper_util::rt::TokioIo;
    use std::os::unix::fs::PermissionsExt;
    use tokio::net::UnixStream;
    let admin = Admin::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    // Nobody answers at this one any more.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let socket = serve_socket(&path, bind_socket(&path).unwrap(), admin.router.clone()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = async |method: &str, at: &str, token: &str| {
        let stream = UnixStream::connect(&path).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Admin::request(method, at, token, "");
        request.headers_mut().insert("host", "socket".parse().unwrap());
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.into_body().collect().await.unwrap().to_bytes())
    };
    for token in ["", "wrong"] {
        let (status, body) = ask("GET", "/api/v1/plugins/hello", token).await;
        assert!(status == 200 && String::from_utf8_lossy(&body).contains("canary"));
    }
    assert_eq!(ask("POST", "/api/v1/plugins/hello/disable", "").await.0, 200);
    assert_eq!(admin.orders.lock().unwrap()[0].by.as_str(), "admin");
    assert_eq!(ask("GET", "/api/v1/p/hello/", "").await.0, 404);
    let another = bind_socket(&path).unwrap_err();
    assert!(another.to_string().starts_with("another server answers at "), "{another}");
    drop(socket);
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let closed = timeout(Duration::from_secs(120), UnixStream::connect(&path)).await.unwrap();
    assert!(closed.is_err());
}

async fn asked_by_a_page(admin: &Admin, method: &str, origin: &str) -> http::Response<bytes::Bytes> {
    let mut request = Admin::request(method, "/api/v1/plugins", ADMIN, "");
    request.headers_mut().insert("origin", origin.parse().unwrap());
    if method == "OPTIONS" {
        request.headers_mut().remove("authorization");
        request.headers_mut().insert("access-control-request-method", "PUT".parse().unwrap());
        request.headers_mut().insert("access-control-request-headers", "authorization,if-match".parse().unwrap());
    }
    admin.server.send(request).await
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_only_if_they_are_named() {
    let allowed = |answer: &http::Response<bytes::Bytes>| {
        answer.headers().get("access-control-allow-origin").map(|origin| origin.to_str().unwrap().to_owned())
    };
    let closed = Admin::start().await;
    for method in ["GET", "OPTIONS"] {
        let answer = asked_by_a_page(&closed, method, "https://admin.example.com").await;
        assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control-")), "{answer:?}");
    }
    let open = Admin::with(|options| AdminOptions {
        settings: AdminSettings { origins: vec!["https://admin.example.com".parse().unwrap()], ..options.settings },
        ..options
    })
    .await;
    let answer = asked_by_a_page(&open, "GET", "https://admin.example.com").await;
    assert_eq!((answer.status().as_u16(), allowed(&answer).as_deref()), (200, Some("https://admin.example.com")));
    let before = asked_by_a_page(&open, "OPTIONS", "https://admin.example.com").await;
    assert_eq!((before.status().as_u16(), allowed(&before).as_deref()), (200, Some("https://admin.example.com")));
    let methods = before.headers()["access-control-allow-methods"].to_str().unwrap();
    assert!(methods.contains("PUT"), "{methods}");
    for method in ["GET", "OPTIONS"] {
        assert_eq!(allowed(&asked_by_a_page(&open, method, "https://evil.example.com").await), None);
    }
    // A page has no rights without a token.
    let mut request = Admin::request("GET", "/api/v1/plugins", "", "");
    request.headers_mut().insert("origin", "https://admin.example.com".parse().unwrap());
    assert_eq!(open.server.send(request).await.status(), 401);
}
