//! `storage/1`: what plugins ask of the storage. What must not live here: what is done, and how its parts are written (`wire.rs`).
//!
//! `GET`, `PUT`, `DELETE /storage/1/values/KEY` (`?if=absent|REVISION`, `?expires=MILLISECONDS`), `GET /storage/1/list`,
//! `POST /storage/1/batch`, `GET /storage/1/watch`. What is not there is 204, no error.

use super::{
    MOST_VALUE, PluginStorage, StorageAct, StorageOperation, StorageQuery, StorageWatch, invalid,
    plan::check_size,
    wire::{condition, decoded, number, parameter, read_batch, write_change, write_key},
};
use crate::Service;
use bytes::{BufMut, Bytes, BytesMut};
use camlock_policy::{AskError, AskErrorCode, Asker, Body, BoxFuture};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Limited};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// The largest batch, in bytes.
const MOST_BATCH_BYTES: usize = 8 << 20;

/// The storage, for plugins.
#[derive(Clone, Debug)]
pub struct StorageService(PluginStorage);

impl StorageService {
    /// Of that storage.
    pub fn new(storage: PluginStorage) -> Self {
        StorageService(storage)
    }
}

impl Service for StorageService {
    fn answer(&self, asker: &Asker, request: Request<Body>) -> BoxFuture<Result<Response<Body>, AskError>> {
        if let Err(denied) = asker.may("storage") {
            return Box::pin(std::future::ready(Err(denied)));
        }
        Box::pin(answer(self.0.clone(), asker.plugin.clone(), request))
    }
}

async fn answer(storage: PluginStorage, plugin: Arc<str>, request: Request<Body>) -> Result<Response<Body>, AskError> {
    let (head, body) = request.into_parts();
    let rest = head.uri.path().strip_prefix("/storage/1/").unwrap_or_default();
    let query = head.uri.query().unwrap_or_default();
    if let Some(key) = rest.strip_prefix("values/") {
        let key = decoded(key)?;
        let operation = match head.method {
            Method::GET => return get(&storage, &plugin, &key).await,
            Method::PUT => {
                let bytes = whole(body, MOST_VALUE).await?;
                StorageOperation::Put(bytes, number(query, "expires")?.map(Duration::from_millis))
            }
            Method::DELETE => StorageOperation::Delete,
            _ => return Err(invalid("a value is got, put or deleted")),
        };
        let revisions =
            storage.write(&plugin, vec![StorageAct { key, condition: condition(query)?, operation }]).await?;
        return Ok(at_revision(revisions.first().copied().unwrap_or(0), Body::empty()));
    }
    match (rest, head.method) {
        ("list", Method::GET) => list(&storage, &plugin, query).await,
        ("batch", Method::POST) => {
            let revisions = storage.write(&plugin, read_batch(whole(body, MOST_BATCH_BYTES).await?)?).await?;
            let mut told = BytesMut::with_capacity(revisions.len() * 8);
            revisions.iter().for_each(|revision| told.put_u64_le(*revision));
            Ok(Response::new(Body::from(told.freeze())))
        }
        ("watch", Method::GET) => {
            let prefix = parameter(query, "prefix")?.unwrap_or_default();
            let (after, watch) = storage.watch(&plugin, &prefix, number(query, "after")?).await?;
            Ok(at_revision(after, Body::stream(Changes::of(watch))))
        }
        _ => Err(invalid(format!("the storage has no `{rest}`"))),
    }
}

async fn get(storage: &PluginStorage, plugin: &Arc<str>, key: &str) -> Result<Response<Body>, AskError> {
    let Some(value) = storage.get(plugin, key).await? else { return Ok(at_revision(0, Body::empty())) };
    let mut response = at_revision(value.revision, Body::from(value.bytes));
    if let Some(expires) = value.expires {
        response.headers_mut().insert("x-expires", HeaderValue::from(expires));
    }
    Ok(response)
}

async fn list(storage: &PluginStorage, plugin: &Arc<str>, query: &str) -> Result<Response<Body>, AskError> {
    let most = number(query, "most")?.map_or(super::MOST_PAGE, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let asked = StorageQuery {
        prefix: parameter(query, "prefix")?.unwrap_or_default(),
        after: parameter(query, "after")?,
        most,
        values: parameter(query, "values")?.is_some(),
    };
    let page = storage.list(plugin, asked).await?;
    let mut told = BytesMut::new();
    page.keys.iter().for_each(|key| write_key(key, &mut told));
    let mut response = Response::new(Body::from(told.freeze()));
    if page.next.is_some() {
        response.headers_mut().insert("x-more", HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// An answer about what has this revision; 0: there is nothing.
fn at_revision(revision: u64, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    if revision == 0 && response.body().is_empty() {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response.headers_mut().insert("x-revision", HeaderValue::from(revision));
    response
}

/// What was sent, uncopied where it came whole.
async fn whole(body: Body, most: usize) -> Result<Bytes, AskError> {
    let too_large = || AskError::new(AskErrorCode::Limit, format!("more than {most} bytes were sent"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    match body.into_whole() {
        Ok(bytes) => check_size(if most == MOST_VALUE { bytes.len() } else { 0 }).map(|()| bytes),
        Err(stream) => match Limited::new(stream, most).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
            Err(error) => Err(invalid(format!("what was sent broke off: {error}"))),
        },
    }
}

type NextChanges = BoxFuture<(StorageWatch, Result<Bytes, AskError>)>;

/// Changes as a body: each frame has some of them, whole.
struct Changes(Option<NextChanges>);

impl Changes {
    fn of(watch: StorageWatch) -> Self {
        Changes(Some(Changes::after(watch)))
    }

    fn after(mut watch: StorageWatch) -> NextChanges {
        Box::pin(async move {
            let told = watch.next().await.map(|changes| {
                let mut told = BytesMut::new();
                changes.iter().for_each(|change| write_change(change, &mut told));
                told.freeze()
            });
            (watch, told)
        })
    }
}

impl http_body::Body for Changes {
    type Data = Bytes;
    type Error = AskError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AskError>>> {
        let Some(next) = &mut self.0 else { return Poll::Ready(None) };
        let (watch, told) = ready!(next.as_mut().poll(context));
        self.0 = told.is_ok().then(|| Changes::after(watch));
        Poll::Ready(Some(told.map(Frame::data)))
    }
}
