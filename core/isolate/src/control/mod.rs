//! What server and runner say to each other beside requests: how a generation begins and ends, its health and state, its records.
//!
//! A socket of its own, so that no body ever delays this. `words` are the messages, `packets` how one of any length crosses in packets
//! of a bounded one. What must not live here: what is done about a message.

pub(crate) mod packets;
pub(crate) mod words;

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg, socketpair,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
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

/// Sends one packet, and a descriptor with it.
pub(crate) fn send_packet_with(socket: impl AsFd, packet: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    beside.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(packet)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
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

/// The same, with the first descriptor that came with it. Others are closed.
pub(crate) fn take_packet_with(socket: impl AsFd, into: &mut [u8; PACKET + 1]) -> io::Result<(&[u8], Option<OwnedFd>)> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let taken = recvmsg(&socket, &mut [IoSliceMut::new(&mut into[..])], &mut beside, RecvFlags::CMSG_CLOEXEC);
        match taken {
            Ok(taken) => {
                let descriptors = beside.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                    _ => None,
                });
                let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
                return Ok((&into[..taken.bytes.min(PACKET + 1)], descriptors.into_iter().next()));
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
