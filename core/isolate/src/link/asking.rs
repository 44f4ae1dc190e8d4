//! A request to the other end, until its answer begins.

use super::{
    Link,
    body::LinkBody,
    connection::LinkConnection,
    ended,
    pump::{self, BegunBody},
    stream::AnswerHead,
    user::StreamUser,
};
use crate::frames::{BadFrame, RequestKind, SizeBounds};
use camlock_policy::{Answer, Body, Call, Connection, Fault, FaultKind};
use http::{Response, header::EXPECT};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// The future of an answer.
pub(crate) struct Asking {
    link: Link,
    stage: AskingStage,
}

enum AskingStage {
    /// Nothing of it was sent: by the first poll a short body is there more often than not.
    New(RequestKind, Box<Call>),
    Asked(StreamUser),
    Done,
}

impl Asking {
    pub(super) fn new(link: Link, kind: RequestKind, call: Call) -> Self {
        Asking { link, stage: AskingStage::New(kind, Box::new(call)) }
    }

    /// Opens the stream; what of the body is not there is sent beside.
    fn send(&self, kind: RequestKind, mut call: Call, context: &mut Context<'_>) -> Result<StreamUser, Fault> {
        // What the client sends only when it is asked for is asked for by the handler alone.
        let look = !call.request.headers().contains_key(EXPECT);
        let mut body = std::mem::take(call.request.body_mut());
        if call.upgrade {
            // The bytes that follow such a request belong to the protocol that it asks for.
            body = Body::empty();
        }
        let BegunBody { inline, hint, rest } = pump::begin(body, look, context);
        let mut state = self.link.0.state.lock();
        if state.closed {
            return Err(ended());
        }
        let stream = state.open();
        let written = state.out.writer.request(stream, kind, &call, &inline, (rest.is_none(), hint));
        if let Err(BadFrame(why)) = written {
            state.streams.remove(&stream);
            return Err(Fault::new(FaultKind::Contract, format!("it cannot be sent to the plugin's process: {why}")));
        }
        if let Some(state) = state.streams.get_mut(&stream) {
            state.out_ended = rest.is_none();
            if !look {
                state.credit = 0;
            }
        }
        let flush = state.flush();
        drop(state);
        self.link.write(flush);
        let user = StreamUser::first(self.link.clone(), stream);
        if let Some(rest) = rest {
            self.link.0.runtime.spawn(pump::send(user.clone(), rest));
        }
        Ok(user)
    }
}

impl Future for Asking {
    type Output = Result<Answer, Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let AskingStage::New(..) = &self.stage {
            if !self.link.0.state.lock().out.has_room(context.waker()) {
                return Poll::Pending;
            }
            let AskingStage::New(kind, call) = std::mem::replace(&mut self.stage, AskingStage::Done) else {
                return Poll::Ready(Err(ended()));
            };
            match self.send(kind, *call, context) {
                Ok(user) => self.stage = AskingStage::Asked(user),
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
        let AskingStage::Asked(user) = &self.stage else {
            return Poll::Ready(Err(Fault::new(FaultKind::Contract, "polled after it was done")));
        };
        let outcome = user.with(|link, stream| {
            let state = link.streams.get_mut(&stream)?;
            match (state.answer.take(), &mut state.failed) {
                (Some(answer), _) => Some(Ok(answer)),
                (None, Some(fault)) => Some(Err(fault.take().unwrap_or_else(given_up))),
                (None, None) => {
                    state.reader = Some(context.waker().clone());
                    None
                }
            }
        });
        let Some(outcome) = outcome else { return Poll::Pending };
        let AskingStage::Asked(user) = std::mem::replace(&mut self.stage, AskingStage::Done) else {
            return Poll::Ready(Err(ended()));
        };
        Poll::Ready(outcome.map(|head| answer(head, user)))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // What still sends its body refers to the stream too: it is not over by itself.
        if let AskingStage::Asked(user) = &self.stage {
            user.give_up();
        }
    }
}

fn given_up() -> Fault {
    Fault::new(FaultKind::Contract, "the plugin's process gave the request up without an answer")
}

fn answer(AnswerHead { head, hint }: AnswerHead, user: StreamUser) -> Answer {
    let mut connection = None;
    let body = if head.upgraded {
        connection = Some(Box::pin(LinkConnection::new(user)) as Connection);
        Body::empty()
    } else {
        whole_or_stream(user, hint, false)
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    Answer { response, connection }
}

/// A body that came with its head is whole. One that waits for the word is sent once somebody reads it.
pub(super) fn whole_or_stream(user: StreamUser, hint: SizeBounds, waits_for_word: bool) -> Body {
    let whole = user.with(|link, stream| {
        let state = link.streams.get_mut(&stream)?;
        if !state.is_whole() {
            return None;
        }
        Some(state.next(usize::MAX, &mut link.pool).map(|(bytes, _)| bytes).unwrap_or_default())
    });
    match whole {
        Some(bytes) => Body::from(bytes),
        None => Body::stream(LinkBody::new(user, hint, waits_for_word)),
    }
}
