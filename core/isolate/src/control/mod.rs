//! What server and runner say to each other beside requests: how a generation begins and ends, its health and state, its records.
//!
//! A socket of its own, so that no body ever delays this. `words` are the messages, `packets` how one of any length crosses in packets
//! of a bounded one. What must not live here: what is done about a message.

pub(crate) mod packets;
pub(crate) mod words;

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

/// The longest packet.
pub(crate) const PACKET: usize = 32 * 1024;

/// The two ends of such a socket.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one packet.
pub(crate) fn send_packet(socket: impl AsFd, packet: &[u8]) -> io::Result<()> {
    loop {
        match send(&socket, packet, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes one packet; of one that is longer than any may be, one byte too many. Empty: the other end is gone.
pub(crate) fn take_packet(socket: impl AsFd, into: &mut [u8; PACKET + 1]) -> io::Result<&[u8]> {
    loop {
        match recv(&socket, &mut into[..], RecvFlags::empty()) {
            Ok((_, count)) => return Ok(&into[..count.min(PACKET + 1)]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
