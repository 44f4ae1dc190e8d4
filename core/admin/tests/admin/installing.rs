//! Plugins that are sent: taken in, handed on, waited for.

use crate::{
    admin::{ADMIN, Admin, Seen, done, live, view},
    server::{PATIENCE, problem},
};
use bytes::Bytes;
use camlock_admin::{AdminOptions, AdminSettings};
use camlock_policy::{
    Act, Arriving, BoxFuture, Done, Failure, Headline, Install, Installed, NotInstalled, PluginView, Refused, Source,
    Stage, Upload,
};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
};

type Outcome = Result<Installed, NotInstalled>;

/// Installs nothing, and remembers what it was asked to, with what was in the file.
struct Fake {
    uploads: PathBuf,
    asked: Seen<(Upload, Vec<u8>)>,
    outcome: Arc<Mutex<Outcome>>,
}

impl Install for Fake {
    fn uploads(&self) -> PathBuf {
        self.uploads.clone()
    }
    fn install(&self, upload: Upload, _: Arriving) -> BoxFuture<Outcome> {
        let content = std::fs::read(upload.source.path()).unwrap_or_default();
        self.asked.lock().unwrap().push((upload, content));
        let outcome = self.outcome.lock().unwrap().clone();
        Box::pin(async move { outcome })
    }
}

struct Installing {
    admin: Admin,
    uploads: tempfile::TempDir,
    asked: Seen<(Upload, Vec<u8>)>,
    outcome: Arc<Mutex<Outcome>>,
}

impl Installing {
    async fn start() -> Self {
        let uploads = tempfile::tempdir().unwrap();
        let installed = Installed { plugin: "fresh".into(), path: "fresh".into() };
        let (asked, outcome) = (Arc::default(), Arc::new(Mutex::new(Ok(installed))));
        let fake = Fake { uploads: uploads.path().to_owned(), asked: Arc::clone(&asked), outcome: outcome.clone() };
        let with = |options: AdminOptions| AdminOptions {
            install: Some(Arc::new(fake)),
            settings: AdminSettings { largest_upload: 100_000, ..options.settings },
            ..options
        };
        Installing { admin: Admin::with(with).await, uploads, asked, outcome }
    }

    async fn send(&self, content_type: &str, query: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        let mut request = Admin::request("POST", &format!("/api/v1/plugins{query}"), ADMIN, body);
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        let answer = self.admin.server.send(request).await;
        assert_eq!(std::fs::read_dir(self.uploads.path()).unwrap().count(), 0, "what was sent is removed");
        answer
    }
}

#[tokio::test]
async fn what_is_sent_is_handed_on() {
    let installing = Installing::start().await;
    for (content_type, body, replace) in [
        ("application/octet-stream", "ELF", false),
        ("application/gzip", "gz", true),
        ("application/x-gzip; x=y", "gz", false),
        ("Application/Zip", "PK", false),
        ("application/json", r#"{"path":"/srv/hello"}"#, false),
    ] {
        let answer = installing.send(content_type, &format!("?wait=false&replace={replace}"), body).await;
        assert_eq!(answer.status(), 202, "{content_type}");
        let document: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(document, json!({ "name": "fresh", "path": "fresh" }));
        let (upload, content) = installing.asked.lock().unwrap().pop().unwrap();
        let (sort, sent) = match &upload.source {
            Source::Artifact(_) => ("octet-stream", true),
            Source::TarGz(_) => ("gzip", true),
            Source::Zip(_) => ("zip", true),
            Source::Path(path) => {
                assert_eq!(path, &PathBuf::from("/srv/hello"));
                ("json", false)
            }
        };
        assert!(content_type.to_lowercase().contains(sort), "{content_type}: {sort}");
        assert_eq!((content == body.as_bytes(), upload.replace), (sent, replace));
        let order = installing.admin.orders.lock().unwrap().pop().unwrap();
        assert_eq!(order.by, camlock_policy::registry::Actor::Admin);
    }
}

#[tokio::test]
async fn what_cannot_be_taken_in_says_why() {
    let installing = Installing::start().await;
    let large = vec![0; 100_001];
    for (content_type, query, body, status, told) in [
        ("text/plain", "", &b"x"[..], 415, "`content-type: text/plain` cannot be installed"),
        ("application/octet-stream", "", b"", 400, "the body is empty"),
        ("application/octet-stream", "", &large, 413, "larger than the 100000 bytes"),
        ("application/json", "", b"{}", 400, "missing field `path`"),
        ("application/json", "", br#"{"path":"here"}"#, 400, "`path` is absolute"),
        ("application/json", "", br#"{"path":"/x","to":"/y"}"#, 400, "unknown field `to`"),
        ("application/gzip", "?overwrite=true", b"x", 400, "unknown field `overwrite`"),
    ] {
        let answer = installing.send(content_type, query, body.to_vec()).await;
        assert_eq!(answer.status().as_u16(), status, "{content_type}{query}");
        assert!(problem(&answer)["detail"].as_str().unwrap().contains(told), "{:?}", answer.body());
    }
    for (refused, status) in [
        (NotInstalled::Unfit("it is no plugin".into()), 422),
        (NotInstalled::TooLarge("it is too large".into()), 413),
        (NotInstalled::Taken("there is one".into()), 409),
        (NotInstalled::Failed("the disk is full".into()), 500),
        (NotInstalled::Busy("others are being installed".into()), 503),
    ] {
        *installing.outcome.lock().unwrap() = Err(refused.clone());
        let answer = installing.send("application/zip", "", "PK").await;
        let document = problem(&answer);
        assert_eq!((answer.status().as_u16(), document["detail"].as_str()), (status, Some(&*refused.to_string())));
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503, "{refused}");
    }
    assert_eq!(installing.admin.looks.load(Ordering::SeqCst), 0);
}

/// It is not in memory that a body is kept, and one without end is cut off.
#[tokio::test]
async fn a_body_of_unknown_length_is_cut_off() {
    let installing = Installing::start().await;
    let chunk = || Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::from_static(&[0; 10_000])));
    let endless = StreamBody::new(futures_util::stream::repeat_with(chunk));
    let request = Request::post("/api/v1/plugins").header("content-type", "application/zip");
    let request = request.header("authorization", format!("Bearer {ADMIN}")).body(endless).unwrap();
    let answer = tokio::time::timeout(PATIENCE, installing.admin.server.open(request)).await.unwrap();
    assert_eq!(answer.status(), 413);
    drop(answer.into_body().collect().await);
    assert_eq!(std::fs::read_dir(installing.uploads.path()).unwrap().count(), 0);
    assert!(installing.asked.lock().unwrap().is_empty());
    // Half of one is none.
    let broken = futures_util::stream::iter([Ok(http_body::Frame::data(Bytes::from_static(b"PK"))), Err("gone")]);
    let request = Request::post("/api/v1/plugins").header("content-type", "application/zip").header("host", "x");
    let request = request.header("authorization", format!("Bearer {ADMIN}")).body(StreamBody::new(broken)).unwrap();
    let stream = tokio::net::TcpStream::connect(installing.admin.server.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert!(sender.send_request(request).await.is_err());
    for _ in 0..200 {
        if std::fs::read_dir(installing.uploads.path()).unwrap().count() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(std::fs::read_dir(installing.uploads.path()).unwrap().count(), 0);
    assert!(installing.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_new_is_waited_for() {
    let installing = Installing::start().await;
    for state in [Headline::Serving, Headline::Disabled, Headline::Waiting] {
        installing.admin.answering(move |_| {
            Ok(Done { plugin: Arc::new(live(PluginView { state, ..view("fresh") })), stages: Vec::new() })
        });
        let answer = installing.send("application/zip", "", "PK").await;
        assert_eq!(answer.status(), 201, "{:?}", answer.body());
        assert_eq!(answer.headers()["location"], "/api/v1/plugins/fresh");
        let document: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(document["state"], json!(state.word()));
    }
    installing.admin.answering(|_| {
        let failure = Failure::new(Stage::Build, "it does not compile");
        Err(Refused::Failed { failure, generation: 1, plugin: Arc::new(live(view("fresh"))) })
    });
    let answer = installing.send("application/zip", "", "PK").await;
    let document = problem(&answer);
    assert_eq!(answer.status(), 422);
    assert_eq!((&document["stage"], &document["detail"]), (&json!("build"), &json!("it does not compile")));
}

#[tokio::test]
async fn what_was_there_is_reloaded() {
    let installing = Installing::start().await;
    *installing.outcome.lock().unwrap() = Ok(Installed { plugin: "hello".into(), path: "hello.so".into() });
    let answer = installing.send("application/octet-stream", "?replace=true", "ELF").await;
    assert_eq!(answer.status(), 200);
    let order = installing.admin.orders.lock().unwrap().pop().unwrap();
    assert_eq!((&*order.plugin, order.act, order.by.as_str()), ("hello", Act::Reload { force: false }, "admin"));
    installing.admin.answering(|order| match done(&order.plugin) {
        Ok(done) => {
            Err(Refused::Failed { failure: Failure::new(Stage::Verify, "no"), generation: 4, plugin: done.plugin })
        }
        refused => refused,
    });
    assert_eq!(installing.send("application/octet-stream", "?replace=true", "ELF").await.status(), 422);
}

/// As browsers and `curl -F file=@hello.tgz` send one.
#[tokio::test]
async fn a_file_in_a_form_is_handed_on() {
    let installing = Installing::start().await;
    let form = |end: &str| {
        let head = "content-disposition: form-data; name=\"file\"; filename=\"hello.tgz\"\r\ncontent-type: image/png";
        format!("--limit\r\n{head}\r\n\r\ngz\r\n{end}")
    };
    let content_type = "multipart/form-data; boundary=limit";
    let answer = installing.send(content_type, "?wait=false", form("--limit--\r\n")).await;
    assert_eq!(answer.status(), 202, "{:?}", answer.body());
    let (upload, content) = installing.asked.lock().unwrap().pop().unwrap();
    assert!(matches!(upload.source, Source::TarGz(_)) && content == b"gz", "{upload:?}");
    // Half of a form is none, though the file was whole.
    let answer = installing.send(content_type, "?wait=false", form("")).await;
    assert_eq!(answer.status(), 400, "{:?}", answer.body());
    assert!(installing.asked.lock().unwrap().is_empty());
}
