//! Streams: how one says that it is still there, and that it ends when what its client showed holds no longer.

use crate::socket::Local;
use crate::{
    keys::{Shown, Token, shown},
    state::Control,
};
use axum::{
    extract::FromRequestParts,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use camlock_policy::registry::Tokens;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::sleep;

/// How often a stream says that it is still there.
const STILL_THERE: Duration = Duration::from_secs(15);
/// How often it is looked whether its client would be let in again.
const AGAIN: Duration = Duration::from_secs(5);

/// What whoever follows a stream has shown.
pub(super) enum Credentials {
    /// The control socket was opened: there is nothing to be taken away.
    Local,
    Shown {
        headers: HeaderMap,
        own: Token,
        tokens: Arc<dyn Tokens>,
    },
}

impl FromRequestParts<Arc<Control>> for Credentials {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, Infallible> {
        if parts.extensions.get::<Local>().is_some() {
            return Ok(Credentials::Local);
        }
        let mut headers = HeaderMap::new();
        headers.extend(parts.headers.get(AUTHORIZATION).map(|value| (AUTHORIZATION, value.clone())));
        let (own, tokens) = (control.options.token.clone(), control.options.tokens.clone());
        Ok(Credentials::Shown { headers, own, tokens })
    }
}

impl Credentials {
    /// Waits until it holds no longer.
    async fn ended(self) {
        let Credentials::Shown { headers, own, tokens } = self else { return std::future::pending().await };
        while matches!(shown(&headers, &own, &*tokens, SystemTime::now()), Shown::Known(..)) {
            sleep(AGAIN).await;
        }
    }
}

/// Server-sent events, for as long as there are any and the pass holds.
pub(super) fn lasting(events: impl Stream<Item = Event> + Send + 'static, pass: Credentials) -> Response {
    let events = events.take_until(pass.ended()).map(Ok::<_, Infallible>);
    Sse::new(Box::pin(events)).keep_alive(KeepAlive::new().interval(STILL_THERE)).into_response()
}
