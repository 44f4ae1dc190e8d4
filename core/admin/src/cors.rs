//! Which pages of other origins may ask in a browser: none, unless somebody says so. What must not live here: who may do what; a page
//! needs a token like anybody else.

use http::{
    HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER},
};
use std::time::Duration;
use tower_http::cors::CorsLayer;

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Answers browsers, for pages of these origins; nothing without any.
pub(super) fn layer(origins: &[HeaderValue]) -> Option<CorsLayer> {
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(origins.to_vec())
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([
                AUTHORIZATION,
                CONTENT_TYPE,
                IF_MATCH,
                IF_NONE_MATCH,
                HeaderName::from_static("last-event-id"),
            ])
            .expose_headers([ETAG, RETRY_AFTER])
            .max_age(REMEMBERED)
    })
}
