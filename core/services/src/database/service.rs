//! `database/1`: SQL of plugins at run time.
//!
//! One ask is one session: its body is a stream of orders, the answer's one of replies ([`wire`]). Without a transaction each
//! statement is one; the end of the orders, or dropping the ask, takes back what is not committed. RowsToSend are read as they are
//! taken: nothing is collected. What must not live here: connections. [`Sessions`] lends them.

mod on_postgres;
mod on_sqlite;
mod session;
mod statement;
pub mod wire;

pub use on_postgres::LONGEST;
pub use session::{Ended, Session, SessionLimits};

use crate::{Service, events::may_emit, tasks::TaskDesk};
use bytes::{Bytes, BytesMut};
use camlock_policy::{AskError, AskErrorCode, Asker, Body, BoxFuture};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Limited};
use std::{
    convert::Infallible,
    future::ready,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{sync::mpsc, task::AbortHandle};
use wire::SqlOrder;

/// Who has the connections, and the tables.
pub trait Sessions: Send + Sync + 'static {
    /// Lends a connection to a session, and runs it there: by [`Session::run_on_sqlite`] on a thread that may block, or by
    /// [`Session::run_on_postgres`]. If there is none to be had, the error is the ask's.
    fn start(&self, plugin: &Arc<str>, session: Session) -> BoxFuture<Result<(), AskError>>;

    /// Changes a plugin's tables as a migration would.
    fn define(&self, plugin: &Arc<str>, text: String) -> BoxFuture<Result<(), AskError>> {
        let _ = (plugin, text);
        Box::pin(ready(Err(AskError::new(AskErrorCode::Unavailable, "tables cannot be changed here"))))
    }

    /// What a client of the plugin's own connects with.
    fn url(&self, plugin: &Arc<str>) -> BoxFuture<Result<String, AskError>> {
        let _ = plugin;
        Box::pin(ready(Err(AskError::new(AskErrorCode::Unavailable, "the database has no URL here"))))
    }
}

/// The service.
#[derive(Debug)]
pub struct DatabaseService<S>(Arc<S>, SessionLimits, Option<TaskDesk>);

impl<S: Sessions> DatabaseService<S> {
    /// One with these connections.
    pub fn new(sessions: S, limits: SessionLimits) -> Self {
        DatabaseService(Arc::new(sessions), limits, None)
    }

    /// One whose transactions enqueue tasks there.
    pub fn with_tasks(mut self, desk: TaskDesk) -> Self {
        self.2 = Some(desk);
        self
    }
}

/// What a plugin needs for this.
const PERMISSION: &str = "database";

/// What it needs for connections of its own.
const DIRECT: &str = "database:direct";

/// A change of tables may have so many bytes.
const MOST_CHANGE: usize = 1 << 20;

/// So many orders are read before they can be obeyed.
const ORDERS_AHEAD: usize = 4;
/// So many replies, of some 64 KiB, are made before they are taken.
const REPLIES_AHEAD: usize = 2;

impl<S: Sessions> Service for DatabaseService<S> {
    fn answer(&self, asker: &Asker, request: Request<Body>) -> AnswerToAsk {
        let (what, permission) = match request.uri().path() {
            "/database/1" => (DatabaseAsk::Session, PERMISSION),
            "/database/1/tables" => (DatabaseAsk::Define, PERMISSION),
            "/database/1/url" => (DatabaseAsk::Url, DIRECT),
            other => {
                let words = format!("the database has no `{other}`");
                return Box::pin(ready(Err(AskError::new(AskErrorCode::Invalid, words))));
            }
        };
        if let Err(denied) = asker.may(permission) {
            return Box::pin(ready(Err(denied)));
        }
        match what {
            DatabaseAsk::Session => self.session(asker, request),
            DatabaseAsk::Define => self.define(asker, request),
            DatabaseAsk::Url => {
                let url = self.0.url(&asker.plugin);
                Box::pin(async move { Ok(Response::new(Body::from(url.await?))) })
            }
        }
    }
}

/// What may be asked for.
enum DatabaseAsk {
    /// SQL.
    Session,
    /// Other tables.
    Define,
    /// What a client of the plugin's own connects with.
    Url,
}

type AnswerToAsk = BoxFuture<Result<Response<Body>, AskError>>;

impl<S: Sessions> DatabaseService<S> {
    fn define(&self, asker: &Asker, request: Request<Body>) -> AnswerToAsk {
        let (tables, plugin) = (self.0.clone(), asker.plugin.clone());
        Box::pin(async move {
            let read = Limited::new(request.into_body(), MOST_CHANGE).collect().await;
            let too_long = |_| AskError::new(AskErrorCode::Limit, format!("a change has {MOST_CHANGE} bytes at most"));
            let text = String::from_utf8(read.map_err(too_long)?.to_bytes().into());
            let text = text.map_err(|_| AskError::new(AskErrorCode::Invalid, "the change is not UTF-8"))?;
            tables.define(&plugin, text).await?;
            Ok(Response::new(Body::default()))
        })
    }

    fn session(&self, asker: &Asker, request: Request<Body>) -> AnswerToAsk {
        let (orders, to_obey) = mpsc::channel(ORDERS_AHEAD);
        let (replies, to_send) = mpsc::channel(REPLIES_AHEAD);
        let asker = asker.clone();
        let session = Session::new(to_obey, replies, self.1).with_tasks(self.2.clone(), &asker);
        let started = self.0.start(&asker.plugin, session);
        Box::pin(async move {
            started.await?;
            let reading = tokio::spawn(read_orders(request.into_body(), orders, asker)).abort_handle();
            Ok(Response::new(Body::stream(ReplyBody { to_send, reading })))
        })
    }
}

/// Reads orders until they end. What is none ends them with that.
async fn read_orders(mut body: Body, orders: mpsc::Sender<Result<SqlOrder, AskError>>, asker: Asker) {
    let mut pending = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        let Ok(data) = frame.into_data() else { continue };
        pending.extend_from_slice(&data);
        loop {
            match wire::take_order(&mut pending).and_then(|order| permitted(order, &asker)) {
                Ok(None) => break,
                Ok(Some(order)) => {
                    if orders.send(Ok(order)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = orders.send(Err(error)).await;
                    return;
                }
            }
        }
    }
}

/// An event that the plugin may not emit ends the session, and with it the transaction.
fn permitted(order: Option<SqlOrder>, asker: &Asker) -> Result<Option<SqlOrder>, AskError> {
    if let Some(SqlOrder::Emit(event)) = &order {
        may_emit(asker, &event.topic, event.payload.len(), event.depth)?;
    }
    Ok(order)
}

/// What is answered. Dropping it ends the session.
struct ReplyBody {
    to_send: mpsc::Receiver<Bytes>,
    reading: AbortHandle,
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.to_send.poll_recv(context).map(|reply| reply.map(|reply| Ok(Frame::data(reply))))
    }
}
