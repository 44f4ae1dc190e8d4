//! Threads of its own for a generation: for what the host brings to it, and for its requests if it blocks the threads that serve.
//! There it can hold up nobody but itself.

use crate::thread_activity::{RequestLine, enter};
use bytes::Bytes;
use camlock_policy::{Answer, Body, BodyError, BoxFuture, Call, Fault, FaultKind, Instance, Lease};
use http_body::{Body as _, Frame};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
};

/// By which of an instance's functions something comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// A client asks.
    Request,
    /// The host brings it.
    Delivery,
}

/// A runtime that runs one generation's code.
pub(crate) struct DedicatedThreads {
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl DedicatedThreads {
    /// So many threads; as many requests can block at once, and further ones wait.
    pub(crate) fn start(name: String, threads: usize, on_thread_park: Option<fn()>) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads.max(1)).enable_all().thread_name(name);
        if let Some(hook) = on_thread_park {
            builder.on_thread_park(hook);
        }
        Ok(DedicatedThreads { runtime: Some(builder.build()?) })
    }

    /// Calls the plugin there. Dropping the future cancels the request, as soon as it does not block.
    pub(crate) fn call(
        &self,
        entrance: Entrance,
        (instance, lease): (&Arc<dyn Instance>, Lease),
        generation: u64,
        line: RequestLine,
        call: Call,
    ) -> BoxFuture<Result<Answer, Fault>> {
        let (mut reply, answer) = oneshot::channel();
        let instance = instance.clone();
        let run = async move {
            let calling = {
                let _inside = enter(generation, &line);
                match entrance {
                    Entrance::Request => instance.call(call),
                    Entrance::Delivery => instance.deliver(call),
                }
            };
            // What was called has a lease of its own.
            drop((instance, lease));
            let mut calling = pin!(TrackedCall { future: calling, generation, line: line.clone() });
            let outcome = tokio::select! {
                () = reply.closed() => return,
                outcome = &mut calling => outcome,
            };
            match outcome {
                Ok(Answer { response, connection }) if response.body().is_stream() => {
                    let (parts, body) = response.into_parts();
                    let (frames, received) = mpsc::channel(1);
                    let response = http::Response::from_parts(parts, Body::stream(RelayedBody(received)));
                    let _ = reply.send(Ok(Answer { response, connection }));
                    send(body, frames, generation, line).await;
                }
                outcome => drop(reply.send(outcome)),
            }
        };
        if let Some(runtime) = &self.runtime {
            runtime.spawn(run);
        }
        Box::pin(async move {
            let gone = || Err(Fault::new(FaultKind::Error, "the plugin's own threads have ended"));
            answer.await.unwrap_or_else(|_| gone())
        })
    }
}

impl Drop for DedicatedThreads {
    fn drop(&mut self) {
        // Threads that are stuck end when they are free again.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for DedicatedThreads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DedicatedThreads")
    }
}

/// A future whose polls are marked.
struct TrackedCall {
    future: BoxFuture<Result<Answer, Fault>>,
    generation: u64,
    line: RequestLine,
}

impl Future for TrackedCall {
    type Output = Result<Answer, Fault>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let _inside = enter(this.generation, &this.line);
        this.future.as_mut().poll(context)
    }
}

/// Reads a body here, for those who wait elsewhere, until it ends or nobody waits.
async fn send(
    mut body: Body,
    frames: mpsc::Sender<Result<Frame<Bytes>, BodyError>>,
    generation: u64,
    line: RequestLine,
) {
    loop {
        let next = poll_fn(|context| {
            let _inside = enter(generation, &line);
            Pin::new(&mut body).poll_frame(context)
        });
        let frame = tokio::select! {
            () = frames.closed() => return,
            frame = next => frame,
        };
        let Some(frame) = frame else { return };
        if frames.send(frame).await.is_err() {
            return;
        }
    }
}

/// A body that is read elsewhere.
struct RelayedBody(mpsc::Receiver<Result<Frame<Bytes>, BodyError>>);

impl http_body::Body for RelayedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(context)
    }
}
