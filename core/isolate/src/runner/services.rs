//! What the plugin asks of its host: carried to the server, which knows who asks.

use crate::{frames::RequestKind, link::Link};
use camlock_policy::{AskError, AskErrorCode, Asker, Body, BoxFuture, Call, Services};
use http::{Request, Response};

pub(super) struct AskServer(pub(super) Link);

impl Services for AskServer {
    fn ask(&self, _: &Asker, request: Request<Body>) -> BoxFuture<Response<Body>> {
        let asking = self.0.ask(RequestKind::Ask, Call::new(request));
        Box::pin(async move {
            match asking.await {
                Ok(answer) => answer.response,
                Err(fault) => AskError::new(AskErrorCode::Unavailable, fault.message).into(),
            }
        })
    }
}
