//! Events that are followed at run time. What must not live here: how an event is written (`wire.rs`).

use super::{Event, wire::Batch};
use crate::{Host, HostError, HostErrorCode};
use axum::body::Body as AxumBody;
use bytes::{Buf, BytesMut};
use http::Request;
use http_body::Body as _;
use std::pin::Pin;

/// Events as they come: see [`Events::subscribe`](super::Events::subscribe).
#[derive(Debug)]
pub struct EventStream {
    body: AxumBody,
    read: BytesMut,
    batch: Option<Batch>,
    dropped: u64,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Batch").finish_non_exhaustive()
    }
}

impl EventStream {
    pub(super) async fn open(host: &Host, pattern: &str) -> Result<Self, HostError> {
        let request = Request::get(format!("/events/1/follow?{pattern}")).body(AxumBody::empty());
        let request = request.map_err(|error| HostError::new(HostErrorCode::Invalid, error.to_string()))?;
        let answer = host.ask(request).await?;
        Ok(EventStream { body: answer.into_body(), read: BytesMut::new(), batch: None, dropped: 0 })
    }

    /// So many events came while too many others waited to be read, and are lost.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next event, which may be waited for as long as it takes. None when the host ends. After an error nothing more comes.
    pub async fn next(&mut self) -> Option<Result<Event, HostError>> {
        loop {
            match self.batch.as_mut().map(Batch::next) {
                Some(Ok(Some(event))) => return Some(Ok(event)),
                Some(Err(error)) => {
                    self.batch = None;
                    return Some(Err(error));
                }
                Some(Ok(None)) | None => self.batch = None,
            }
            match self.take() {
                Some(Ok(batch)) => {
                    self.batch = Some(batch);
                    continue;
                }
                Some(Err(error)) => return Some(Err(error)),
                None => {}
            }
            let frame = std::future::poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await?;
            match frame {
                Ok(frame) => self.read.extend(frame.into_data()),
                Err(error) => return Some(Err(HostError::new(HostErrorCode::Unavailable, error.to_string()))),
            }
        }
    }

    /// A batch that was read wholly. Frames may break it anywhere.
    fn take(&mut self) -> Option<Result<Batch, HostError>> {
        let length = u32::from_le_bytes(self.read.get(..4)?.try_into().ok()?) as usize;
        if self.read.len() < length + 4 {
            return None;
        }
        let mut frame = self.read.split_to(length + 4).freeze();
        frame.advance(4);
        self.dropped = frame.try_get_u64_le().unwrap_or_default();
        Some(Batch::read(frame))
    }
}
