//! One request to a plugin, and what comes of it.

use crate::Body;
use http::{HeaderValue, Request, Response};
use std::{fmt, net::SocketAddr, pin::Pin};
use tokio::io::{AsyncRead, AsyncWrite};

/// A request for a plugin.
#[derive(Debug)]
pub struct Call {
    /// As it came, with its whole path.
    pub request: Request<Body>,
    /// How many bytes of the path are the plugin's mount: it sees the rest.
    pub mount: usize,
    /// Whether it is to be told its mount, in the header `X-Forwarded-Prefix`, which `request` has not.
    pub tells_mount: bool,
    /// The address that the request came from, if that is known.
    pub peer: Option<SocketAddr>,
    /// The host's id of this request.
    pub request_id: RequestId,
    /// The W3C trace id, or zeros.
    pub trace_id: [u8; 16],
    /// The request asks for another protocol on its connection, and the connection can give it.
    pub upgrade: bool,
}

impl Call {
    /// A call of the whole path.
    pub fn new(request: Request<Body>) -> Self {
        Call {
            request,
            mount: 0,
            tells_mount: false,
            peer: None,
            request_id: RequestId::None,
            trace_id: [0; 16],
            upgrade: false,
        }
    }
}

/// What a request is called, in logs and between programs. Making one allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestId {
    /// It has no name.
    #[default]
    None,
    /// The host's: sixteen ASCII characters.
    Made([u8; 16]),
    /// The client's, as it sent it.
    Sent(HeaderValue),
}

impl RequestId {
    /// As text; empty if there is none, or if it is not visible ASCII.
    pub fn as_str(&self) -> &str {
        match self {
            RequestId::None => "",
            RequestId::Made(text) => std::str::from_utf8(text).unwrap_or_default(),
            RequestId::Sent(value) => value.to_str().unwrap_or_default(),
        }
    }
}

/// What remains of a connection once it was upgraded: the plugin's end.
pub type Connection = Pin<Box<dyn Duplex>>;

/// A connection on which both ends read and write.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// What a plugin answers a request with.
pub struct Answer {
    /// Status, headers and body.
    pub response: Response<Body>,
    /// With status 101: the plugin's end of the connection, to be relayed.
    pub connection: Option<Connection>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Answer").field("response", &self.response).finish_non_exhaustive()
    }
}

/// What sort of failure a plugin showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It said so in order.
    Error,
    /// It panicked; the panic went no further.
    Panic,
    /// It broke the contract: its answer could not be taken.
    Contract,
    /// It did not come to an end in time.
    TimedOut,
    /// The process that it had for itself ended meanwhile.
    Ended,
}

/// A failure of a plugin, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What sort of failure it is.
    pub kind: FaultKind,
    /// What went wrong, in one sentence.
    pub message: String,
    /// `file:line` of a panic, or empty.
    pub location: String,
    /// The functions that a panic went through, innermost first.
    pub backtrace: Vec<String>,
}

impl Fault {
    /// A failure without a place.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into(), location: String::new(), backtrace: Vec::new() }
    }
}
