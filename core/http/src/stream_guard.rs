//! HTTP/2 streams: each is a task, which ends when its answer is read, or when its client has had its time for that. A stream that
//! is cut tells its client so (`CANCEL`), and frees what it held of a plugin; others on the same connection go on.
//!
//! A client decides for each stream how much it takes. What it does not take lies in hyper, which asks nobody in the meantime, so
//! that no body of ours could end it. What must not live here: connections that take nothing at all.

use crate::{
    Dispatch,
    connection_state::ConnectionState,
    poll_notes::{PollNotes, take_notes},
    relay::farewell_said,
    slow_client::AFTER_FAREWELL,
};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// Runs the streams of one connection.
#[derive(Clone)]
pub(crate) struct StreamExecutor {
    dispatch: Dispatch,
    state: Arc<ConnectionState>,
    /// How long a client may take nothing of an answer.
    limit: Duration,
}

impl StreamExecutor {
    pub(crate) fn new(dispatch: Dispatch, state: Arc<ConnectionState>, limit: Duration) -> Self {
        StreamExecutor { dispatch, state, limit }
    }
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let open = OpenStream::begin(self.state.clone());
        let (dispatch, limit) = (self.dispatch.clone(), self.limit);
        tokio::spawn(guard(stream, open, dispatch, limit));
    }
}

/// A stream that is counted until this is dropped.
struct OpenStream {
    state: Arc<ConnectionState>,
    cut: bool,
}

impl OpenStream {
    fn begin(state: Arc<ConnectionState>) -> Self {
        state.stream_begins();
        OpenStream { state, cut: false }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.state.stream_ends(self.cut);
    }
}

async fn guard(stream: impl Future, mut open: OpenStream, dispatch: Dispatch, limit: Duration) {
    let mut stream = pin!(stream);
    let mut reading = AnswerReading { dispatch, limit, answer: None };
    open.cut = poll_fn(|context| {
        // What others left on this thread is not about this stream.
        take_notes();
        match stream.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending => reading.poll_over(context, take_notes()).map(|()| true),
        }
    })
    .await;
}

/// How the client gets on with reading an answer.
struct AnswerReading {
    dispatch: Dispatch,
    limit: Duration,
    answer: Option<UnreadAnswer>,
}

/// An answer that was not read at once.
struct UnreadAnswer {
    /// Turns ready soon after the farewell of the generation that gave it.
    after_farewell: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// When the client has had its time, if it is the client that is waited for.
    over: Option<Pin<Box<Sleep>>>,
}

impl AnswerReading {
    /// Ready when the client has had its time.
    fn poll_over(&mut self, context: &mut Context<'_>, notes: PollNotes) -> Poll<()> {
        if notes.answered_by != 0 {
            self.answer = Some(UnreadAnswer::of(&self.dispatch, notes.answered_by));
        }
        let Some(answer) = &mut self.answer else { return Poll::Pending };
        if answer.after_farewell.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if notes.awaits_plugin {
            answer.over = None;
            return Poll::Pending;
        }
        let over = answer.over.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if over.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        // The stream was woken for another reason: its client took something.
        over.as_mut().reset(Instant::now() + self.limit);
        over.as_mut().poll(context)
    }
}

impl UnreadAnswer {
    fn of(dispatch: &Dispatch, generation: u64) -> Self {
        let farewell = dispatch.generation(generation).map(|generation| generation.farewell.clone());
        let after_farewell = Box::pin(async move {
            if let Some(farewell) = farewell {
                farewell_said(farewell).await;
            }
            sleep(AFTER_FAREWELL).await;
        });
        UnreadAnswer { after_farewell, over: None }
    }
}
