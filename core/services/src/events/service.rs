//! `events/1`: what plugins ask about events. What must not live here: what is done, and how its parts are written (`wire.rs`).
//!
//! `POST /events/1/emit`; `GET /events/1/follow?PATTERN`, whose answer goes on: of each batch the length of the rest, how many events
//! were missed, and the batch.

use super::{
    Emitter, EventFollower, MOST_PAYLOAD, PluginEvents,
    record::SharedEvent,
    wire::{AskedEmission, begin_batch, put_event, read_emission, size_in_batch},
};
use crate::Service;
use bytes::{BufMut, Bytes, BytesMut};
use camlock_policy::{AskError, AskErrorCode, Asker, Body, BoxFuture, SUBSCRIBE, TopicPattern, opens};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Limited};
use std::{
    future::ready,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// What is asked is no longer than this: an event, with its topic.
const LONGEST: usize = MOST_PAYLOAD + 1_024;

/// Events, for plugins.
#[derive(Clone, Debug)]
pub struct EventService(PluginEvents);

impl EventService {
    /// Of these.
    pub fn new(events: PluginEvents) -> Self {
        EventService(events)
    }
}

fn invalid(why: String) -> AskError {
    AskError::new(AskErrorCode::Invalid, why)
}

impl Service for EventService {
    fn answer(&self, asker: &Asker, request: Request<Body>) -> BoxFuture<Result<Response<Body>, AskError>> {
        let rest = request.uri().path().strip_prefix("/events/1/").unwrap_or_default();
        match (rest, request.method()) {
            ("emit", &Method::POST) => match request.into_body().into_whole() {
                // What came whole and is not to be kept needs no future of its own.
                Ok(asked) => match emit_now(&self.0, asker, asked) {
                    Ok(emitted) => Box::pin(ready(emitted)),
                    Err(asked) => {
                        let (events, asker) = (self.0.clone(), asker.clone());
                        Box::pin(async move { emit(&events, &asker, asked).await })
                    }
                },
                Err(stream) => {
                    let (events, asker) = (self.0.clone(), asker.clone());
                    Box::pin(async move {
                        let read = Limited::new(stream, LONGEST).collect().await;
                        let asked = read.map_err(|error| invalid(format!("what is emitted broke off: {error}")))?;
                        emit(&events, &asker, read_emission(asked.to_bytes())?).await
                    })
                }
            },
            ("follow", &Method::GET) => Box::pin(ready(follow(&self.0, asker, request.uri().query()))),
            _ => Box::pin(ready(Err(invalid(format!("there is no {} {}", request.method(), request.uri().path()))))),
        }
    }
}

type Emitted = Result<Response<Body>, AskError>;

/// Emits at once what is not to be kept; back comes what is.
fn emit_now(events: &PluginEvents, asker: &Asker, asked: Bytes) -> Result<Emitted, AskedEmission> {
    let asked = match read_emission(asked) {
        Ok(asked) if asked.durable || events.wants_kept(&asked.topic) => return Err(asked),
        Ok(asked) => asked,
        Err(error) => return Ok(Err(error)),
    };
    let emitted = events.emit_now(Emitter::Plugin(asker), &asked.event());
    Ok(emitted.map(|()| Response::new(Body::empty())))
}

async fn emit(events: &PluginEvents, asker: &Asker, asked: AskedEmission) -> Emitted {
    events.emit(Emitter::Plugin(asker), &asked.event(), asked.durable).await?;
    Ok(Response::new(Body::empty()))
}

fn follow(events: &PluginEvents, asker: &Asker, pattern: Option<&str>) -> Result<Response<Body>, AskError> {
    let pattern: TopicPattern = pattern.unwrap_or_default().parse().map_err(|error| invalid(format!("{error}")))?;
    may_follow(asker, &pattern)?;
    let follower = events.follow_topics(Some(&asker.plugin), pattern)?;
    Ok(Response::new(Body::stream(EventFrames { next: Some(next(follower)), asker: asker.clone() })))
}

fn may_follow(asker: &Asker, pattern: &TopicPattern) -> Result<(), AskError> {
    if asker.granted.any(|permission| opens(permission, pattern)) {
        return Ok(());
    }
    asker.may(&format!("{SUBSCRIBE}{pattern}"))
}

type NextEvents = BoxFuture<(EventFollower, Vec<SharedEvent>)>;

fn next(mut follower: EventFollower) -> NextEvents {
    Box::pin(async move {
        let events = follower.next().await;
        (follower, events)
    })
}

/// Events as a body: each frame has some of them, whole.
struct EventFrames {
    next: Option<NextEvents>,
    asker: Asker,
}

impl http_body::Body for EventFrames {
    type Data = Bytes;
    type Error = AskError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AskError>>> {
        let Some(waiting) = &mut self.next else { return Poll::Ready(None) };
        let (follower, events) = ready!(waiting.as_mut().poll(context));
        self.next = None;
        // It may have been revoked meanwhile.
        if let Err(denied) = may_follow(&self.asker, follower.pattern()) {
            return Poll::Ready(Some(Err(denied)));
        }
        if events.is_empty() {
            return Poll::Ready(None);
        }
        let bytes = events.iter().map(|event| size_in_batch(event)).sum();
        let mut batch = begin_batch(follower.pattern().as_str(), false, bytes);
        events.iter().for_each(|event| put_event(event, 0, 1, &mut batch));
        let mut frame = BytesMut::with_capacity(batch.len() + 12);
        frame.put_u32_le(u32::try_from(batch.len() + 8).unwrap_or(u32::MAX));
        frame.put_u64_le(follower.dropped());
        frame.put_slice(&batch);
        self.next = Some(next(follower));
        Poll::Ready(Some(Ok(Frame::data(frame.freeze()))))
    }
}
