//! Answering a request of the other end.

use super::{
    Link,
    asking::whole_or_stream,
    connection::LinkConnection,
    pump::{self, BegunBody},
    state::Arrived,
    user::StreamUser,
};
use crate::frames::{BadFrame, StatusHead};
use camlock_abi::{Caught, catch};
use camlock_policy::{Answer, BoxFuture, Fault, FaultKind};
use http::header::EXPECT;
use std::{future::poll_fn, task::Poll};
use tokio::io::copy_bidirectional_with_sizes;

/// As much is copied at once from and to an upgraded connection.
const COPIED: usize = 16 * 1024;

/// Begins to serve it. Its stream is there, with one user.
pub(super) fn begin(link: &Link, arrived: Arrived) {
    let Arrived { stream, kind, mut call, hint, .. } = arrived;
    let user = StreamUser::first(link.clone(), stream);
    let inline = std::mem::take(call.request.body_mut()).into_whole().unwrap_or_default();
    user.with(|state, stream| {
        if let Some(state) = state.streams.get_mut(&stream) {
            state.put_inline(inline);
        }
    });
    let waits_for_word = call.request.headers().contains_key(EXPECT);
    *call.request.body_mut() = whole_or_stream(user.clone(), hint, waits_for_word);
    let serving = catch(|| link.0.serve.serve(kind, *call));
    let theirs = user.clone();
    let runtime = link.0.serve.elsewhere(kind).unwrap_or_else(|| link.0.runtime.clone());
    let task = runtime.spawn(async move {
        let outcome = match serving {
            Ok(serving) => caught(serving).await,
            Err(panic) => Err(panicked(panic)),
        };
        answer(theirs, outcome).await;
    });
    let handler = task.abort_handle();
    user.with(|link, stream| match link.streams.get_mut(&stream) {
        Some(state) if state.failed.is_none() => state.handler = Some(handler),
        _ => handler.abort(),
    });
}

/// What comes of it; a panic is a fault like any other.
async fn caught(mut serving: BoxFuture<Result<Answer, Fault>>) -> Result<Answer, Fault> {
    let polled = poll_fn(|context| match catch(|| serving.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(outcome)) => Poll::Ready(outcome),
        Err(panic) => Poll::Ready(Err(panicked(panic))),
    });
    polled.await
}

fn panicked(panic: Caught) -> Fault {
    Fault { location: panic.location, ..Fault::new(FaultKind::Panic, panic.message) }
}

/// Sends an answer, to its end.
async fn answer(user: StreamUser, outcome: Result<Answer, Fault>) {
    let Answer { response, connection } = match outcome {
        Ok(answer) => answer,
        Err(fault) => return fail(&user, &fault),
    };
    let (parts, body) = response.into_parts();
    let upgraded = connection.is_some();
    let head = StatusHead { status: parts.status, headers: parts.headers, upgraded };
    poll_fn(|context| user.poll_out(context)).await;
    let mut body = Some(body);
    let rest = poll_fn(|context| {
        let BegunBody { inline, hint, rest } = pump::begin(body.take().unwrap_or_default(), true, context);
        let sent = user.with(|link, stream| {
            let Some(state) = link.streams.get_mut(&stream).filter(|state| state.failed.is_none()) else {
                return Ok(None);
            };
            let ends = rest.is_none() && !upgraded;
            link.out.writer.response(stream, &head, &inline, (ends, hint))?;
            state.out_ended = ends;
            if upgraded {
                state.upgrade();
            }
            Ok(link.flush())
        });
        Poll::Ready(sent.map(|flush| {
            user.link.write(flush);
            rest
        }))
    });
    match rest.await {
        Err(BadFrame(why)) => {
            let why = format!("the plugin's answer cannot be sent: {why}");
            fail(&user, &Fault::new(FaultKind::Contract, why));
        }
        Ok(rest) => {
            if let Some(mut connection) = connection {
                let mut far = LinkConnection::new(user);
                let _ = copy_bidirectional_with_sizes(&mut connection, &mut far, COPIED, COPIED).await;
            } else if let Some(rest) = rest {
                pump::send(user, rest).await;
            }
        }
    }
}

fn fail(user: &StreamUser, fault: &Fault) {
    let flush = user.with(|link, stream| {
        let state = link.streams.get_mut(&stream).filter(|state| state.failed.is_none())?;
        state.failed = Some(None);
        link.out.writer.reset(stream, Some(fault));
        link.flush()
    });
    user.link.write(flush);
}
