//! Streaming bodies with backpressure and trailers. Either side may be the one that makes the body.

use crate::{BorrowWaker, BorrowedWaker, Failure, FailureMessage, HeaderPair, OwnedBytes, SharedWaker, WakerHeader};
use abi_stable::{StableAbi, std_types::RSlice};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// How a poll for a frame ended.
#[repr(u8)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollFrame {
    /// Nothing yet; the waker will be woken.
    Pending,
    /// The sink was given one frame.
    Frame,
    /// There is no more.
    End,
    /// The sink was given a failure; there is no more.
    Failed,
}

/// Where one poll puts its frame. Borrowed for that call; at most one of the functions is called, once.
#[repr(C)]
#[derive(StableAbi)]
pub struct FrameSink<'a> {
    context: *mut (),
    data: unsafe extern "C" fn(*mut (), OwnedBytes),
    trailers: unsafe extern "C" fn(*mut (), RSlice<'_, HeaderPair<'_>>),
    failed: unsafe extern "C" fn(*mut (), &Failure<'_>),
    lifetime: PhantomData<&'a mut ()>,
}

/// The functions of a body.
#[repr(C)]
#[derive(StableAbi)]
pub struct BodyTable {
    poll_frame: unsafe extern "C" fn(*mut (), *const WakerHeader, &FrameSink<'_>) -> PollFrame,
    drop: unsafe extern "C" fn(*mut ()),
}

/// An owned body: either nothing, or whole, or a stream.
#[repr(C)]
#[derive(StableAbi)]
pub struct Body {
    kind: BodyKind,
    /// Meaningful for a stream: what its size hint was when it crossed.
    lower: u64,
    upper: u64,
}

#[repr(u8)]
#[derive(StableAbi)]
enum BodyKind {
    Empty,
    Whole(OwnedBytes),
    Stream(RawStream),
}

#[repr(C)]
#[derive(StableAbi)]
struct RawStream {
    state: *mut (),
    table: *const BodyTable,
}

// SAFETY: a stream is made from a `Send` body (see `Body::stream`) and owned by one holder at a time.
unsafe impl Send for RawStream {}

impl Drop for RawStream {
    fn drop(&mut self) {
        // SAFETY: the owner drops once; table and state belong together and are the maker's.
        unsafe { ((*self.table).drop)(self.state) }
    }
}

/// What exporting a body needs to know of the side that does it.
pub trait ExportedBody: http_body::Body<Data = Bytes> + Send + 'static {
    /// What to tell of an error.
    fn describe(error: Self::Error) -> FailureMessage;
    /// Called for a panic outside any poll (a body's drop), which has nobody to return to.
    fn dropped_badly(caught: &crate::Caught);
}

impl Body {
    /// No bytes, no trailers.
    pub fn empty() -> Self {
        Body { kind: BodyKind::Empty, lower: 0, upper: 0 }
    }

    /// All bytes at once.
    pub fn whole(bytes: Bytes) -> Self {
        Body { kind: BodyKind::Whole(bytes.into()), lower: 0, upper: 0 }
    }

    /// Frames that are made as they are asked for.
    ///
    /// `waker` is how this side sees the wakers of the one that polls.
    pub fn stream<B: ExportedBody, W: BorrowWaker + Send + 'static>(body: B, waker: W) -> Self {
        let hint = body.size_hint();
        let state = Box::into_raw(Box::new(Exported { body, waker })).cast();
        let table = const { &BodyTable { poll_frame: exported_poll::<B, W>, drop: exported_drop::<B, W> } };
        let kind = BodyKind::Stream(RawStream { state, table });
        Body { kind, lower: hint.lower(), upper: hint.upper().unwrap_or(u64::MAX) }
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        matches!(self.kind, BodyKind::Empty)
    }

    /// Takes the bytes of a whole (or empty) body, or gives a stream to be polled.
    ///
    /// `guard` is made for each thing that keeps foreign memory alive: the stream, and each run of bytes.
    pub fn import<G: Clone + Send + 'static>(self, guard: impl FnOnce() -> G) -> Result<Bytes, ImportBody<G>> {
        match self.kind {
            BodyKind::Empty => Ok(Bytes::new()),
            BodyKind::Whole(bytes) => Ok(bytes.into_bytes(guard)),
            BodyKind::Stream(stream) => Err(ImportBody {
                stream: Some(stream),
                kept: None,
                lower: self.lower,
                upper: (self.upper != u64::MAX).then_some(self.upper),
                guard: guard(),
            }),
        }
    }
}

struct Exported<B, W> {
    body: B,
    waker: W,
}

unsafe extern "C" fn exported_poll<B: ExportedBody, W: BorrowWaker>(
    state: *mut (),
    waker: *const WakerHeader,
    sink: &FrameSink<'_>,
) -> PollFrame {
    // SAFETY: `state` is the box that `Body::stream` made, alive until `exported_drop`; the owner polls from one thread at a
    // time (polling takes `&mut`).
    let exported = unsafe { &mut *state.cast::<Exported<B, W>>() };
    let polled = crate::catch(|| {
        // SAFETY: the box is never moved out of; the body is dropped in place.
        let body = unsafe { Pin::new_unchecked(&mut exported.body) };
        // SAFETY: `waker` is the caller's for the duration of this call.
        unsafe { exported.waker.with(waker, |context| body.poll_frame(context)) }
    });
    // SAFETY (for the sink's functions): the sink is the caller's, valid for this call, and one function is called once.
    match polled {
        Ok(Poll::Pending) => PollFrame::Pending,
        Ok(Poll::Ready(None)) => PollFrame::End,
        Ok(Poll::Ready(Some(Ok(frame)))) => {
            match frame.into_data() {
                // SAFETY: see above.
                Ok(data) => unsafe { (sink.data)(sink.context, data.into()) },
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    let mut list = crate::HeaderList::new();
                    crate::encode_headers(&trailers, &mut list);
                    // SAFETY: see above; the list outlives the call.
                    unsafe { (sink.trailers)(sink.context, RSlice::from_slice(&list)) }
                }
            }
            PollFrame::Frame
        }
        Ok(Poll::Ready(Some(Err(error)))) => {
            let message = crate::catch(|| B::describe(error)).unwrap_or_else(|caught| caught);
            // SAFETY: see above.
            unsafe { (sink.failed)(sink.context, &message.borrow()) };
            PollFrame::Failed
        }
        Err(caught) => {
            // SAFETY: see above.
            unsafe { (sink.failed)(sink.context, &caught.borrow()) };
            PollFrame::Failed
        }
    }
}

unsafe extern "C" fn exported_drop<B: ExportedBody, W>(state: *mut ()) {
    // SAFETY: called once by the owner's drop; this takes the box back.
    if let Err(caught) = crate::catch(|| drop(unsafe { Box::from_raw(state.cast::<Exported<B, W>>()) })) {
        B::dropped_badly(&caught);
    }
}

/// A received stream, as an ordinary body of this side.
pub struct ImportBody<G> {
    /// None once it ended: the other side's memory is let go at once.
    stream: Option<RawStream>,
    kept: Option<Arc<SharedWaker>>,
    lower: u64,
    upper: Option<u64>,
    guard: G,
}

/// What a sink's functions fill in.
enum Received {
    Nothing,
    Data(OwnedBytes),
    Trailers(Result<HeaderMap, FailureMessage>),
    Failed(FailureMessage),
}

unsafe extern "C" fn sink_data(context: *mut (), data: OwnedBytes) {
    // SAFETY: `context` is the `Received` on the stack of `poll_frame` below, which waits for this call.
    unsafe { *context.cast::<Received>() = Received::Data(data) };
}

unsafe extern "C" fn sink_trailers(context: *mut (), pairs: RSlice<'_, HeaderPair<'_>>) {
    let trailers = crate::decode_headers(pairs, HeaderMap::new(), None);
    let trailers = trailers.map_err(|refused| FailureMessage::error(format!("bad trailers: {refused}")));
    // SAFETY: as for data.
    unsafe { *context.cast::<Received>() = Received::Trailers(trailers) };
}

unsafe extern "C" fn sink_failed(context: *mut (), failure: &Failure<'_>) {
    // SAFETY: as for data.
    unsafe { *context.cast::<Received>() = Received::Failed(failure.into()) };
}

impl<G: Clone + Send + Unpin + 'static> ImportBody<G> {
    fn received(&mut self, state: PollFrame, received: Received) -> Poll<Option<Result<Frame<Bytes>, FailureMessage>>> {
        let frame = match (state, received) {
            (PollFrame::Pending, _) => return Poll::Pending,
            (PollFrame::Frame, Received::Data(data)) => {
                let guard = &self.guard;
                let data = data.into_bytes(|| guard.clone());
                let seen = data.len() as u64;
                self.lower = self.lower.saturating_sub(seen);
                self.upper = self.upper.map(|upper| upper.saturating_sub(seen));
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            (PollFrame::Frame, Received::Trailers(Ok(trailers))) => {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            (_, Received::Trailers(Err(failure)) | Received::Failed(failure)) => Some(Err(failure)),
            (PollFrame::End, _) => None,
            (state, _) => Some(Err(FailureMessage::error(format!("a body said {state:?} and gave nothing")))),
        };
        self.stream = None;
        self.kept = None;
        (self.lower, self.upper) = (0, Some(0));
        Poll::Ready(frame)
    }
}

impl<G: Clone + Send + Unpin + 'static> http_body::Body for ImportBody<G> {
    type Data = Bytes;
    type Error = FailureMessage;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FailureMessage>>> {
        let this = &mut *self;
        let Some(stream) = &this.stream else { return Poll::Ready(None) };
        let mut received = Received::Nothing;
        let sink = FrameSink {
            context: (&raw mut received).cast(),
            data: sink_data,
            trailers: sink_trailers,
            failed: sink_failed,
            lifetime: PhantomData,
        };
        let state = BorrowedWaker::poll(context.waker(), &mut this.kept, |waker| {
            // SAFETY: table and state belong together and are alive until the stream is dropped; the waker and the sink
            // live for this call, as the contract asks.
            unsafe { ((*stream.table).poll_frame)(stream.state, waker, &sink) }
        });
        this.received(state, received)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        if let Some(upper) = self.upper.filter(|upper| *upper >= self.lower) {
            hint.set_upper(upper);
        }
        hint.set_lower(self.lower);
        hint
    }
}

impl std::fmt::Display for FailureMessage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for FailureMessage {}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    struct Script(Vec<Result<Frame<Bytes>, &'static str>>);

    impl http_body::Body for Script {
        type Data = Bytes;
        type Error = &'static str;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            match self.0.pop() {
                Some(Err("panic")) => panic!("in poll"),
                Some(Err("later")) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                other => Poll::Ready(other),
            }
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(3000)
        }
    }

    impl ExportedBody for Script {
        fn describe(error: &'static str) -> FailureMessage {
            FailureMessage::error(error)
        }
        fn dropped_badly(_: &crate::Caught) {}
    }

    fn cross(mut frames: Vec<Result<Frame<Bytes>, &'static str>>) -> ImportBody<Arc<()>> {
        frames.reverse();
        Body::stream(Script(frames), crate::DirectWaker).import(|| Arc::new(())).err().unwrap()
    }

    fn run<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(std::task::Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
        }
    }

    #[test]
    fn data_and_trailers_cross_in_order() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let body = cross(vec![
            Ok(Frame::data(Bytes::from(vec![1; 1000]))),
            Err("later"),
            Ok(Frame::data(Bytes::from(vec![2; 2000]))),
            Ok(Frame::trailers(trailers.clone())),
        ]);
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3000));
        let collected = run(body.collect()).unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes().len(), 3000);
    }

    #[test]
    fn errors_and_panics_end_a_body_with_their_message() {
        assert_eq!(run(cross(vec![Err("broken")]).collect()).unwrap_err().message, "broken");
        let caught = run(cross(vec![Err("panic")]).collect()).unwrap_err();
        assert_eq!((caught.kind, caught.message.as_str()), (crate::FailureKind::Panic, "in poll"));
    }

    #[test]
    fn a_body_that_is_not_read_to_the_end_is_freed() {
        drop(cross(vec![Ok(Frame::data(Bytes::from_static(b"x")))]));
        drop(Body::whole(Bytes::from(vec![1; 500])));
        assert!(Body::empty().import(|| ()).ok().unwrap().is_empty());
    }
}
