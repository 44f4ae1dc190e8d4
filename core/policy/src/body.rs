//! Bodies, to and from plugins.

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is nothing, whole, or a stream. Only the last costs an allocation.
pub struct Body(BodyKind);

enum BodyKind {
    Empty,
    Whole(Bytes),
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
}

impl Body {
    /// No bytes, no trailers.
    pub fn empty() -> Self {
        Body(BodyKind::Empty)
    }

    /// Frames as they come.
    pub fn stream<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        if http_body::Body::is_end_stream(&body) {
            return Body::empty();
        }
        Body(BodyKind::Stream(Box::pin(WithBodyError(body))))
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, BodyKind::Empty)
    }

    /// Whether its bytes are still to come.
    pub fn is_stream(&self) -> bool {
        matches!(self.0, BodyKind::Stream(_))
    }

    /// The bytes, where they are there already.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        match self.0 {
            BodyKind::Empty => Ok(Bytes::new()),
            BodyKind::Whole(bytes) => Ok(bytes),
            BodyKind::Stream(_) => Err(self),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body(if bytes.is_empty() { BodyKind::Empty } else { BodyKind::Whole(bytes) })
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::empty()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            BodyKind::Empty => formatter.write_str("Body(empty)"),
            BodyKind::Whole(bytes) => write!(formatter, "Body({} bytes)", bytes.len()),
            BodyKind::Stream(_) => formatter.write_str("Body(stream)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let BodyKind::Stream(stream) = &mut self.0 {
            return stream.as_mut().poll_frame(context);
        }
        match std::mem::replace(&mut self.0, BodyKind::Empty) {
            BodyKind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyKind::Empty => true,
            BodyKind::Whole(_) => false,
            BodyKind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyKind::Empty => SizeHint::with_exact(0),
            BodyKind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            BodyKind::Stream(stream) => stream.size_hint(),
        }
    }
}

/// A body whose errors are of our type.
struct WithBodyError<B>(B);

impl<B> http_body::Body for WithBodyError<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().0).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
