//! Says what answers here, and shows a request as a plugin sees it: what a proxy in front made of it, under which path it
//! arrived, who is taken for the client. It ships inside the server, and is an ordinary plugin all the same.

#![forbid(unsafe_code)]

use camlock_plugin::{
    RequestId, TraceId,
    axum::{
        extract::{ConnectInfo, OriginalUri, Request},
        http::{HeaderMap, header},
    },
    prelude::*,
};
use serde_json::{Map, Value, json};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

/// The plugin.
pub struct About {
    host: Host,
    since: SystemTime,
    answered: AtomicU64,
}

impl Plugin for About {
    async fn create(host: Host) -> Result<Self> {
        Ok(About { since: host.now(), host, answered: AtomicU64::new(0) })
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(greeting)).route("/echo", any(echo)).with_state(self)
    }
}

impl About {
    /// How many requests it has answered, with this one.
    fn count(&self) -> u64 {
        self.answered.fetch_add(1, Ordering::Relaxed) + 1
    }
}

async fn greeting(State(about): State<Arc<About>>) -> Json<Value> {
    let uptime = about.host.now().duration_since(about.since).unwrap_or_default();
    Json(json!({
        "greeting": "Hello! Camlock serves native plugins over HTTP and replaces them while it runs: \
                     a plugin that changes is live with its next request, and none is dropped.",
        "plugin": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": uptime.as_secs(),
        "requests": about.count(),
        "see": { "echo": "this request as a plugin sees it" },
    }))
}

async fn echo(State(about): State<Arc<About>>, trace: TraceId, request: Request) -> impl IntoResponse {
    about.count();
    let extensions = request.extensions();
    let original = extensions.get::<OriginalUri>().map_or_else(|| request.uri(), |OriginalUri(original)| original);
    let told = json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "query": request.uri().query(),
        "original_uri": original.to_string(),
        "version": format!("{:?}", request.version()),
        "headers": all_values(request.headers()),
        "peer": extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.to_string()),
        "request_id": extensions.get::<RequestId>().map(RequestId::as_str),
        "trace_id": (trace != TraceId::default()).then(|| trace.to_string()),
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(told))
}

/// What a script in a page must not get to see of its own request.
const SECRET: [header::HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// Each header with all its values.
fn all_values(headers: &HeaderMap) -> Map<String, Value> {
    let values = |name: &header::HeaderName| -> Vec<String> {
        let value = |value: &header::HeaderValue| match SECRET.contains(name) {
            true => "(not shown)".to_owned(),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        headers.get_all(name).iter().map(value).collect()
    };
    headers.keys().map(|name| (name.to_string(), values(name).into())).collect()
}

export!(About);

#[cfg(test)]
mod tests {
    use super::About;
    use camlock_plugin::axum::{body::Body, http::Request};
    use camlock_testkit::Running;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn it_counts_and_echoes() {
        let about = Running::<About>::start().await.unwrap();
        let request = Request::put("/echo?a=b").header("cookie", "secret").header("x-a", "1").header("x-a", "2");
        let answer = about.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let told: Value = serde_json::from_str(&answer.text()).unwrap();
        let expected = json!({
            "method": "PUT", "path": "/echo", "query": "a=b", "original_uri": "/echo?a=b", "version": "HTTP/1.1",
            "headers": { "cookie": ["(not shown)"], "x-a": ["1", "2"] },
            "peer": null, "request_id": null, "trace_id": null,
        });
        assert_eq!(told, expected);
        let told: Value = serde_json::from_str(&about.get("/").await.text()).unwrap();
        assert_eq!((&told["requests"], &told["plugin"]), (&json!(2), &json!("about")));
        about.stop().await;
    }
}
