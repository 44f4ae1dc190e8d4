//! One attempt, over a real socket.

use crate::{
    Webhook,
    plan::AttemptAnswer,
    sender::send,
    settings::{WebhookEndpoint, WebhookSettings},
    store::WebhookDelivery,
};
use camlock_plugin::{Event, json};
use camlock_testkit::{Running, Setup};
use std::time::{Duration, SystemTime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

fn delivery() -> WebhookDelivery {
    WebhookDelivery {
        id: "msg_1".to_owned(),
        endpoint: "shop".to_owned(),
        topic: "order.paid".to_owned(),
        body: "{\"order\":7}".to_owned(),
        state: "waiting".to_owned(),
        attempts: 0,
        status: None,
        error: None,
        made: 0,
        changed: 0,
    }
}

fn endpoint(url: &str) -> WebhookEndpoint {
    WebhookEndpoint {
        url: url.to_owned(),
        topics: vec!["**".to_owned()],
        secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()],
        seconds: 1,
    }
}

fn private() -> WebhookSettings {
    WebhookSettings { private: true, ..WebhookSettings::default() }
}

/// What comes of a request that is answered so, and what was sent.
async fn answered(answer: &'static str) -> (AttemptAnswer, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let receiving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"{\"order\":7}") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let (endpoint, settings, delivery) = (endpoint(&url), private(), delivery());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_614_265_330);
    tokio::join!(send(&endpoint, &settings, &delivery, now), receiving)
}

#[tokio::test]
async fn what_is_sent_and_what_is_answered() {
    let (outcome, request) = answered("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(outcome, AttemptAnswer::Status(204, None));
    let request = request.to_lowercase();
    for line in ["post /hook http/1.1", "webhook-id: msg_1", "webhook-timestamp: 1614265330", "webhook-signature: v1,"]
    {
        assert!(request.contains(line), "{line}: {request}");
    }
    let (outcome, _) = answered("HTTP/1.1 429 Slow\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(outcome, AttemptAnswer::Status(429, Some(Duration::from_secs(120))));
    // Nobody is led elsewhere.
    let (outcome, _) =
        answered("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(outcome, AttemptAnswer::Status(302, None));
}

#[tokio::test]
async fn what_is_not_sent() {
    let now = SystemTime::now();
    let open = WebhookSettings::default();
    let refused = |url: &'static str, settings: WebhookSettings| async move {
        match send(&endpoint(url), &settings, &delivery(), now).await {
            AttemptAnswer::Misconfigured(why) | AttemptAnswer::Nothing(why) => why,
            other => panic!("{url}: {other:?}"),
        }
    };
    assert_eq!(refused("http://example.com/", open.clone()).await, "the URL has to begin with `https://`");
    for (url, told) in [
        ("https://127.0.0.1:9/", "`127.0.0.1` is 127.0.0.1, which is not in the open internet"),
        ("https://2130706433:9/", "`127.0.0.1` is 127.0.0.1, which is not in the open internet"),
        ("https://[::1]:9/", "`::1` is ::1, which is not in the open internet"),
        ("https://169.254.169.254/", "`169.254.169.254` is 169.254.169.254, which is not in the open internet"),
    ] {
        assert_eq!(refused(url, open.clone()).await, told, "{url}");
    }
    let by_name = refused("https://localhost:9/", open).await;
    assert!(by_name.ends_with("which is not in the open internet"), "{by_name}");
    assert!(refused("http://127.0.0.1:1/", private()).await.starts_with("there was no answer: "));
    // Who takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let outcome = send(&endpoint(&url), &private(), &delivery(), now).await;
    assert_eq!(outcome, AttemptAnswer::Nothing("there was no answer within 1 s".to_owned()));
}

/// A receiver that answers each request with the next of these, and the plugin that knows it.
async fn receiving(answers: &'static [&'static str]) -> (Running<Webhook>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let receiving = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let config = json!({
        "private": true,
        "endpoints": { "shop": { "url": url, "topics": ["order.*"], "secrets": endpoint("").secrets, "seconds": 20 } },
    });
    (Setup::new().config(config).unwrap().start::<Webhook>().await.unwrap(), receiving)
}

async fn states(webhook: &Running<Webhook>) -> Vec<String> {
    webhook.enqueued().await.unwrap().into_iter().map(|task| task.state).collect()
}

#[tokio::test]
async fn an_event_is_delivered_once_and_what_fails_later() {
    const OK: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    const LATER: &str = "HTTP/1.1 503 Away\r\nretry-after: 600\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (webhook, receiving) = receiving(&[OK, LATER, OK]).await;
    let mut event = Event::new("order.paid", "{\"order\":7}");
    event.position = 1;
    webhook.hear(event.clone()).await.unwrap();
    // It came once more, as what is kept may; and another that nobody wants.
    webhook.hear(event.clone()).await.unwrap();
    webhook.hear(Event::new("session.created", "{}")).await.unwrap();
    assert_eq!(states(&webhook).await, ["waiting"]);
    webhook.run_tasks().await.unwrap();
    assert_eq!(states(&webhook).await, ["done"]);
    event.position = 2;
    webhook.hear(event).await.unwrap();
    webhook.run_tasks().await.unwrap();
    // Whoever was asked to wait waits.
    assert_eq!(states(&webhook).await, ["done", "done", "waiting"]);
    let due = webhook.enqueued().await.unwrap()[2].due;
    assert!(due > SystemTime::now() + Duration::from_secs(500));
    webhook.advance(Duration::from_secs(700));
    webhook.run_tasks().await.unwrap();
    assert_eq!(states(&webhook).await, ["done"; 3]);
    receiving.await.unwrap();
    webhook.stop().await;
}
