//! What reads all there is from a link's socket and hands it out, once a turn; and writes on where whoever writes could not
//! (`writing.rs`).

use super::{Link, serving, state::Arrived};
use crate::frames::{BadFrame, Frame, FrameHeader, HEADER};
use bytes::{Buf, Bytes, BytesMut};
use rustix::net::Shutdown;
use std::{future::poll_fn, io, task::Context, task::Poll, task::Waker};

/// As much is read at once.
const READ: usize = 128 * 1024;
/// A shorter payload is copied: what is kept of it would keep all that was read with it.
const SHORT: usize = 8 * 1024;
/// So often is read before others have their turn.
const ROUNDS: usize = 16;

pub(super) async fn drive(link: Link) {
    let mut driver = Driver { link: link.clone(), buffer: BytesMut::new(), header: None };
    let why = poll_fn(|context| driver.turn(context)).await;
    link.close(&why);
    // Others have the socket too, and write no more: the other end is to know.
    let _ = rustix::net::shutdown(&link.0.socket, Shutdown::Both);
}

struct Driver {
    link: Link,
    buffer: BytesMut,
    /// Of the frame whose payload is not all there.
    header: Option<FrameHeader>,
}

impl Driver {
    /// One turn; ready, with the reason, when it was the last.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<String> {
        {
            let mut state = self.link.0.state.lock();
            if state.closed {
                return Poll::Ready("it was closed".to_owned());
            }
            state.driver = Some(context.waker().clone());
        }
        if let Err(why) = self.read(context) {
            return Poll::Ready(why);
        }
        match self.link.write_on(context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(gone(&error)),
        }
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        for _ in 0..ROUNDS {
            match self.link.0.socket.poll_read_ready(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(gone(&error)),
                Poll::Ready(Ok(())) => {}
            }
            self.buffer.reserve(READ);
            match self.link.0.socket.try_read_buf(&mut self.buffer) {
                Ok(0) => return Err("the other end closed it".to_owned()),
                Ok(_) => self.hand_out().map_err(|BadFrame(why)| format!("it was sent nonsense: {why}"))?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(gone(&error)),
            }
        }
        context.waker().wake_by_ref();
        Ok(())
    }

    /// Hands out the frames that are there.
    fn hand_out(&mut self) -> Result<(), BadFrame> {
        let (mut woken, mut arrived) = (Vec::new(), Vec::new());
        let outcome = self.hand_out_to(&mut woken, &mut arrived);
        woken.into_iter().for_each(Waker::wake);
        for arrived in arrived {
            serving::begin(&self.link, arrived);
        }
        outcome
    }

    fn hand_out_to(&mut self, woken: &mut Vec<Waker>, arrived: &mut Vec<Arrived>) -> Result<(), BadFrame> {
        let mut state = self.link.0.state.lock();
        loop {
            let header = match self.header.take() {
                Some(header) => header,
                None => {
                    let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(()) };
                    let header = FrameHeader::read(header)?;
                    self.buffer.advance(HEADER);
                    header
                }
            };
            let length = header.length as usize;
            if self.buffer.len() < length {
                self.header = Some(header);
                return Ok(());
            }
            let payload = if length < SHORT {
                let copy = Bytes::copy_from_slice(&self.buffer[..length]);
                self.buffer.advance(length);
                copy
            } else {
                self.buffer.split_to(length).freeze()
            };
            let frame = Frame::decode(header, payload)?;
            if let Some(request) = state.take(header.stream, frame, woken)? {
                if !self.link.0.serve.takes(request.kind) {
                    return Err(BadFrame(format!("{:?} is nothing that this end is asked", request.kind)));
                }
                arrived.push(request);
            }
        }
    }
}

fn gone(error: &io::Error) -> String {
    format!("the other end is gone: {error}")
}
