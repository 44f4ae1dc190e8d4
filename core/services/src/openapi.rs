//! `openapi/1`: a plugin says anew what it answers. It needs no permission, for it is about the plugin itself. What must not live
//! here: how documents are merged, which happens when somebody looks.

use crate::Service;
use camlock_policy::{AskError, AskErrorCode, Asker, Body, BoxFuture};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    future::ready,
    sync::Arc,
    time::{Duration, Instant},
};

/// A document may have so many bytes.
pub const MOST_DOCUMENT: usize = 4 << 20;

/// So long passes between two documents of a plugin.
const BETWEEN: Duration = Duration::from_secs(1);

/// The service.
#[derive(Debug, Default)]
pub struct OpenApiService {
    /// When each plugin last replaced its document.
    last: Arc<Mutex<BTreeMap<Arc<str>, Instant>>>,
}

impl Service for OpenApiService {
    fn answer(&self, asker: &Asker, request: Request<Body>) -> BoxFuture<Result<Response<Body>, AskError>> {
        if request.uri().path() != "/openapi/1" || request.method() != Method::PUT {
            let words =
                format!("there is no {} {}: a document is replaced by PUT /openapi/1", request.method(), request.uri());
            return Box::pin(ready(Err(AskError::new(AskErrorCode::Invalid, words))));
        }
        let (asker, last) = (asker.clone(), self.last.clone());
        Box::pin(async move {
            let read = Limited::new(request.into_body(), MOST_DOCUMENT).collect().await;
            let too_long =
                |_| AskError::new(AskErrorCode::Limit, format!("a document has {MOST_DOCUMENT} bytes at most"));
            let bytes = read.map_err(too_long)?.to_bytes();
            let text = check(&bytes)?;
            is_due(&mut last.lock(), &asker.plugin, Instant::now())?;
            asker.document.replace(text);
            Ok(Response::new(Body::default()))
        })
    }
}

/// Whether it is time for another document of this plugin; it is counted as one then.
fn is_due(last: &mut BTreeMap<Arc<str>, Instant>, plugin: &Arc<str>, now: Instant) -> Result<(), AskError> {
    if last.get(plugin).is_some_and(|last| now.saturating_duration_since(*last) < BETWEEN) {
        let words = "the document was replaced less than a second ago: wait, and replace it with the last one then";
        return Err(AskError::new(AskErrorCode::Limit, words));
    }
    last.insert(plugin.clone(), now);
    Ok(())
}

/// Whether this can be merged with the documents of others.
fn check(bytes: &[u8]) -> Result<&str, AskError> {
    let invalid = |words: String| AskError::new(AskErrorCode::Invalid, words);
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(format!("the document is not UTF-8: {error}")))?;
    let document: Value =
        serde_json::from_str(text).map_err(|error| invalid(format!("the document is no JSON: {error}")))?;
    if !document.get("openapi").and_then(Value::as_str).is_some_and(|version| version.starts_with("3.")) {
        return Err(invalid("the document is none of OpenAPI 3: `openapi` says no version that begins so".to_owned()));
    }
    if !document.get("paths").is_none_or(Value::is_object) {
        return Err(invalid("the document's `paths` are no object".to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use camlock_policy::{Granted, ReplacedDocument};

    fn asker(plugin: &str) -> Asker {
        let document = ReplacedDocument::default();
        Asker { plugin: plugin.into(), generation: 1, granted: Granted::default(), document }
    }

    async fn put(service: &OpenApiService, asker: &Asker, document: &[u8]) -> Result<(), AskErrorCode> {
        let request = Request::put("/openapi/1").body(Body::from(Bytes::copy_from_slice(document))).unwrap();
        service.answer(asker, request).await.map(drop).map_err(|error| error.code)
    }

    const DOCUMENT: &str = r#"{"openapi":"3.1.0","paths":{}}"#;

    #[tokio::test]
    async fn a_document_is_replaced_once_a_second() {
        let service = OpenApiService::default();
        let (one, other) = (asker("one"), asker("other"));
        assert_eq!(one.document.get(), None);
        assert_eq!(put(&service, &one, DOCUMENT.as_bytes()).await, Ok(()));
        assert_eq!(one.document.get().as_deref(), Some(DOCUMENT));
        assert_eq!(put(&service, &one, DOCUMENT.as_bytes()).await, Err(AskErrorCode::Limit));
        assert_eq!(put(&service, &other, DOCUMENT.as_bytes()).await, Ok(()));
        let plugin: Arc<str> = "one".into();
        let (mut last, now) = (BTreeMap::new(), Instant::now());
        assert!(is_due(&mut last, &plugin, now).is_ok());
        assert!(is_due(&mut last, &plugin, now + Duration::from_millis(999)).is_err());
        assert!(is_due(&mut last, &plugin, now + BETWEEN).is_ok());
    }

    #[tokio::test]
    async fn what_is_no_document_changes_nothing() {
        let (service, asker) = (OpenApiService::default(), asker("one"));
        for document in
            [&b""[..], b"{", b"[]", b"{}", b"\xff", br#"{"openapi":"2.0"}"#, br#"{"openapi":"3.1.0","paths":[]}"#]
        {
            assert_eq!(put(&service, &asker, document).await, Err(AskErrorCode::Invalid));
        }
        assert_eq!(put(&service, &asker, &vec![b' '; MOST_DOCUMENT + 1]).await, Err(AskErrorCode::Limit));
        assert_eq!(asker.document.get(), None);
        // Nor does it count.
        assert_eq!(put(&service, &asker, DOCUMENT.as_bytes()).await, Ok(()));
        let strange = Request::get("/openapi/1/x").body(Body::default()).unwrap();
        assert_eq!(service.answer(&asker, strange).await.unwrap_err().code, AskErrorCode::Invalid);
    }
}
