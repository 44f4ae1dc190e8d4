//! What strangers are not told: where things lie on this machine. And who is no stranger.

use crate::admin::{ADMIN, Admin, view};
use camlock_admin::{AdminOptions, AdminSettings};
use camlock_policy::{Failure, Headline, Overview, PluginView, Stage};
use serde_json::Value;
use std::{sync::Arc, time::SystemTime};

/// A plugin of whose failure everything tells.
fn broken() -> PluginView {
    let failure = Failure::new(Stage::Manifest, "/srv/secret/hello/Cargo.toml cannot be read");
    PluginView {
        state: Headline::Failed,
        reason: Some(failure.to_string()),
        failed: Some(failure.view(1, SystemTime::now())),
        ..view("hello")
    }
}

async fn ask(admin: &Admin, path: &str, token: &str, headers: &[(&'static str, &str)]) -> (u16, Value) {
    let mut request = Admin::request("GET", path, token, "");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let answer = admin.server.send(request).await;
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
}

#[tokio::test]
async fn a_name_that_leads_here_makes_nobody_an_insider() {
    let admin = Admin::start().await;
    for (host, expected) in [
        ("localhost", true),
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("plugins.test", true),
        ("evil.example", false),
        ("evil.example:8080", false),
    ] {
        let (_, plugin) = ask(&admin, "/plugins/hello", "", &[("host", host)]).await;
        assert_eq!(plugin["path"] == "hello", expected, "{host}: {plugin}");
        let (_, health) = ask(&admin, "/_/health", "", &[("host", host)]).await;
        assert_eq!(health["blocked"].is_array(), expected, "{host}: {health}");
    }
    let (_, plugin) = ask(&admin, "/plugins/hello", ADMIN, &[("host", "evil.example")]).await;
    assert_eq!(plugin["path"], "hello", "a token is a token");
}

#[tokio::test]
async fn wrong_tokens_are_counted_where_a_proxy_says_that_they_come_from() {
    for (proxies, hundred_first) in [(vec!["127.0.0.1".parse().unwrap()], 401), (Vec::new(), 429)] {
        let admin = Admin::with(|options| {
            let settings = AdminSettings { proxies, ..options.settings };
            AdminOptions { settings, ..options }
        })
        .await;
        for _ in 0..100 {
            let (status, _) = ask(&admin, "/api/v1/plugins", "guess", &[("x-forwarded-for", "192.0.2.1")]).await;
            assert_eq!(status, 401);
        }
        let (status, _) = ask(&admin, "/api/v1/plugins", "guess", &[("x-forwarded-for", "192.0.2.2")]).await;
        assert_eq!(status, hundred_first);
    }
}

#[tokio::test]
async fn strangers_are_shown_no_paths() {
    let admin = Admin::start().await;
    let stranger = &[("host", "evil.example")];
    admin.show([broken()]);
    for path in ["/plugins", "/plugins/hello"] {
        let (_, shown) = ask(&admin, path, "", stranger).await;
        assert!(!shown.to_string().contains("secret") && shown.to_string().contains("…/Cargo.toml"), "{shown}");
        let (_, shown) = ask(&admin, path, "", &[]).await;
        assert!(shown.to_string().contains("/srv/secret/hello/Cargo.toml"), "{shown}");
    }
    let trouble = Some("/srv/secret cannot be read".to_owned());
    admin.overview.send_replace(Arc::new(Overview { trouble, ..Overview::default() }));
    let (status, shown) = ask(&admin, "/_/ready", "", stranger).await;
    assert_eq!((status, shown["detail"].as_str()), (503, Some("not ready: …/secret cannot be read")));
    let (_, shown) = ask(&admin, "/_/ready", "", &[]).await;
    assert_eq!(shown["detail"], "not ready: /srv/secret cannot be read");
}
