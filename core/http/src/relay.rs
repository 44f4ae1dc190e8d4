//! Upgraded connections: bytes both ways between the client and the plugin, until either ends, or until the farewell.
//!
//! At the farewell a WebSocket is told 1012 between two frames, and gets a moment to answer; anything else just ends.

use crate::{
    connection_state::ConnectionState,
    frames::{Frames, close_frame},
    generation::ServedGeneration,
    thread_activity::{RequestLine, enter},
};
use camlock_policy::Connection;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::watch,
    time::timeout,
};

/// How long a frame may take to end once the farewell is said, and how long a client has to answer it.
const PATIENCE: Duration = Duration::from_secs(1);
/// "The service is restarting; come back in a moment."
const SERVICE_RESTART: u16 = 1012;
const BUFFER: usize = 8 * 1024;

/// A connection that shall go over to another protocol.
pub(crate) struct RequestedUpgrade {
    pub(crate) upgrade: OnUpgrade,
    /// Counted among the connections for as long as it is relayed.
    pub(crate) connection: Option<Arc<ConnectionState>>,
}

/// Relays in a task of its own. The plugin's end holds a lease on its generation.
pub(crate) fn relay(
    RequestedUpgrade { upgrade, connection }: RequestedUpgrade,
    plugin: Connection,
    websocket: bool,
    generation: &Arc<ServedGeneration>,
    line: &RequestLine,
) {
    let (key, farewell, line) = (generation.key, generation.farewell.clone(), line.clone());
    tokio::spawn(async move {
        let _connection = connection;
        match upgrade.await {
            Ok(client) => {
                let mut relaying = pin!(between(TokioIo::new(client), plugin, websocket, farewell_said(farewell)));
                // Which side broke first is of no consequence: both are gone afterwards.
                let _ = poll_fn(|context| {
                    let _inside = enter(key, &line);
                    relaying.as_mut().poll(context)
                })
                .await;
            }
            Err(error) => tracing::debug!(%error, "a connection was not upgraded after all"),
        }
    });
}

/// Waits until the farewell is said, for ever if it never is.
pub(crate) async fn farewell_said(mut farewell: watch::Receiver<bool>) {
    if farewell.wait_for(|said| *said).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Relays until both sides have ended, either has broken, or the farewell is said and kept.
async fn between<C, P>(
    mut client: C,
    mut plugin: P,
    websocket: bool,
    farewell: impl Future<Output = ()>,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    P: AsyncRead + AsyncWrite + Unpin,
{
    let frames = || websocket.then(Frames::default);
    let (mut up, mut down) = (Pump::new(frames()), Pump::new(frames()));
    let mut farewell = pin!(farewell);
    let ended = poll_fn(|context| {
        let up = up.poll_all(context, &mut client, &mut plugin)?;
        let down = down.poll_all(context, &mut plugin, &mut client)?;
        Poll::Ready(Ok::<_, io::Error>(match (up.is_ready(), down.is_ready()) {
            (true, true) => RelayEnd::Both,
            // A WebSocket does not go on in one direction.
            (false, true) if websocket => RelayEnd::Plugin,
            _ => ready!(farewell.as_mut().poll(context).map(|()| RelayEnd::Farewell)),
        }))
    });
    match ended.await? {
        RelayEnd::Both => return Ok(()),
        RelayEnd::Farewell if websocket => {
            // A frame that stays half-way is cut with its connection.
            timeout(PATIENCE, poll_fn(|context| down.poll_frame(context, &mut plugin, &mut client))).await??;
        }
        RelayEnd::Farewell | RelayEnd::Plugin => {}
    }
    // From here on the generation is free.
    drop(plugin);
    if websocket {
        timeout(PATIENCE, close_websocket(&mut client, up, &down)).await??;
    }
    timeout(PATIENCE, client.shutdown()).await?
}

/// What ended a connection.
enum RelayEnd {
    Both,
    Plugin,
    Farewell,
}

/// Tells the client that this is the end, and waits until it has said so too.
async fn close_websocket<C: AsyncRead + AsyncWrite + Unpin>(
    client: &mut C,
    mut up: Pump,
    down: &Pump,
) -> io::Result<()> {
    if !down.ended && !down.closed() {
        client.write_all(&close_frame(SERVICE_RESTART, "service restart")).await?;
    }
    client.flush().await?;
    up.pass(up.start..up.end);
    while !up.ended && !up.closed() {
        up.end = client.read(&mut up.buffer).await?;
        up.ended = up.end == 0;
        up.pass(0..up.end);
    }
    Ok(())
}

/// One direction.
struct Pump {
    buffer: Box<[u8]>,
    /// What was read and not yet written.
    start: usize,
    end: usize,
    /// The reader has no more.
    ended: bool,
    /// Something was written and not flushed.
    unflushed: bool,
    /// Follows what was written, if the connection is a WebSocket.
    frames: Option<Frames>,
}

impl Pump {
    fn new(frames: Option<Frames>) -> Self {
        Pump { buffer: vec![0; BUFFER].into(), start: 0, end: 0, ended: false, unflushed: false, frames }
    }

    fn closed(&self) -> bool {
        self.frames.as_ref().is_some_and(Frames::closed)
    }

    fn pass(&mut self, range: std::ops::Range<usize>) {
        if let Some(frames) = &mut self.frames {
            frames.pass(&self.buffer[range]);
        }
    }

    /// Carries all there is; ready when the reader has ended and the writer knows.
    fn poll_all<R, W>(&mut self, context: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while self.start < self.end {
                ready!(self.poll_write(context, writer, self.end))?;
            }
            if self.ended {
                return Pin::new(writer).poll_shutdown(context);
            }
            if self.poll_read(context, reader, BUFFER)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(writer).poll_flush(context))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
        }
    }

    /// Carries no more than what belongs to the frame that has begun; ready between frames.
    fn poll_frame<R, W>(&mut self, context: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            let inside = self.frames.as_ref().map_or(0, Frames::inside);
            let inside = usize::try_from(inside).unwrap_or(usize::MAX);
            if inside == 0 {
                return Poll::Ready(Ok(()));
            }
            if self.start == self.end {
                if !self.ended {
                    ready!(self.poll_read(context, reader, inside.min(BUFFER)))?;
                }
                if self.ended {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            }
            let end = self.end.min(self.start.saturating_add(inside));
            ready!(self.poll_write(context, writer, end))?;
        }
    }

    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        most: usize,
    ) -> Poll<io::Result<()>> {
        let mut buffer = ReadBuf::new(&mut self.buffer[..most]);
        ready!(Pin::new(reader).poll_read(context, &mut buffer))?;
        (self.start, self.end) = (0, buffer.filled().len());
        self.ended = self.end == 0;
        Poll::Ready(Ok(()))
    }

    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut W,
        end: usize,
    ) -> Poll<io::Result<()>> {
        let written = ready!(Pin::new(writer).poll_write(context, &self.buffer[self.start..end]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.pass(self.start..self.start + written);
        self.start += written;
        self.unflushed = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::frame;
    use tokio::{io::duplex, sync::oneshot};

    /// What the client saw, and what it answers the farewell with.
    async fn farewell_after(sent: &[u8], cut: usize, more: bool) -> Vec<u8> {
        let (mut client, servers) = duplex(64);
        let (mut author, plugins) = duplex(64);
        let (say, said) = oneshot::channel();
        let relaying = tokio::spawn(between(servers, plugins, true, async { drop(said.await) }));
        let (first, rest) = (sent[..cut].to_vec(), sent[cut..].to_vec());
        let writing = tokio::spawn(async move {
            author.write_all(&first).await.unwrap();
            (author, rest)
        });
        let mut seen = vec![0; cut];
        client.read_exact(&mut seen).await.unwrap();
        let (mut author, rest) = writing.await.unwrap();
        say.send(()).unwrap();
        // The plugin goes on as if nothing were, until nobody reads what it says.
        let writing = tokio::spawn(async move {
            if more {
                let _ = author.write_all(&rest).await;
            }
            author
        });
        let mut frames = Frames::default();
        frames.pass(&seen);
        let mut byte = [0];
        while !frames.closed() && client.read(&mut byte).await.unwrap() == 1 {
            frames.pass(&byte);
            seen.push(byte[0]);
        }
        // The client's own close, masked; the server ends the connection then.
        let _ = client.write_all(&frame(8, 2, true)).await;
        assert_eq!(client.read(&mut byte).await.unwrap(), 0);
        let _ = relaying.await.unwrap();
        drop(writing.await.unwrap());
        seen
    }

    #[tokio::test]
    async fn a_farewell_falls_between_two_frames() {
        let frames = [frame(1, 5, false), frame(2, 130, false), frame(9, 0, false), frame(1, 200, false)];
        let whole = frames.concat();
        let goodbye = close_frame(SERVICE_RESTART, "service restart");
        let mut ends = vec![0];
        for frame in &frames {
            ends.push(ends[ends.len() - 1] + frame.len());
        }
        for cut in 0..=whole.len() {
            let seen = farewell_after(&whole, cut, true).await;
            let end = ends.iter().copied().find(|end| *end >= cut).unwrap();
            assert_eq!(seen, [&whole[..end], &goodbye[..]].concat(), "said after {cut} bytes");
        }
    }

    #[tokio::test]
    async fn a_plugin_that_has_said_goodbye_is_not_spoken_over() {
        let whole = [frame(1, 5, false), frame(8, 2, false)].concat();
        assert_eq!(farewell_after(&whole, whole.len(), true).await, whole);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_does_not_end_is_cut() {
        let whole = frame(1, 5, false);
        assert_eq!(farewell_after(&whole, 4, false).await, whole[..4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_answer_is_left() {
        let (mut client, servers) = duplex(64);
        let (author, plugins) = duplex(64);
        let outcome = tokio::spawn(between(servers, plugins, true, async {}));
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, close_frame(SERVICE_RESTART, "service restart"));
        assert!(outcome.await.unwrap().is_err());
        drop(author);
    }

    #[tokio::test]
    async fn other_protocols_just_end() {
        let (mut client, servers) = duplex(64);
        let (mut author, plugins) = duplex(64);
        let (say, said) = oneshot::channel();
        let relaying = tokio::spawn(between(servers, plugins, false, async { drop(said.await) }));
        client.write_all(b"to the plugin").await.unwrap();
        author.write_all(b"to the client").await.unwrap();
        let mut seen = [0; 13];
        author.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"to the plugin");
        client.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"to the client");
        say.send(()).unwrap();
        assert_eq!(client.read(&mut seen).await.unwrap(), 0);
        relaying.await.unwrap().unwrap();
        assert_eq!(author.read(&mut seen).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stays_after_the_end_keeps_nothing() {
        let (mut client, servers) = duplex(64);
        let (mut author, plugins) = duplex(64);
        let relaying = tokio::spawn(between(servers, plugins, true, std::future::pending()));
        author.write_all(&frame(8, 2, false)).await.unwrap();
        author.shutdown().await.unwrap();
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, frame(8, 2, false));
        assert_eq!(author.read(&mut [0]).await.unwrap(), 0, "the plugin is let go, though the client stays");
        assert!(relaying.await.unwrap().is_err());
        drop(client);
    }

    #[tokio::test]
    async fn without_a_farewell_both_ends_end_by_themselves() {
        let (mut client, servers) = duplex(64);
        let (mut author, plugins) = duplex(64);
        let relaying = tokio::spawn(between(servers, plugins, false, std::future::pending()));
        client.write_all(b"not a frame at all").await.unwrap();
        client.shutdown().await.unwrap();
        let mut seen = Vec::new();
        author.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"not a frame at all");
        author.write_all(b"bye").await.unwrap();
        drop(author);
        seen.clear();
        client.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"bye");
        relaying.await.unwrap().unwrap();
    }
}
