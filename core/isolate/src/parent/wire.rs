//! How words cross: one packet each, a socket beside it where there is one.

use super::words::LONGEST;
use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Sends a word, and never waits: who does not listen is no reason to stand still.
pub(super) fn send(socket: impl AsFd, word: &[u8], with: Option<BorrowedFd<'_>>) -> io::Result<()> {
    if word.len() > LONGEST {
        return Err(io::Error::other("a word is too long"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let one;
    if let Some(with) = with {
        one = [with];
        control.push(SendAncillaryMessage::ScmRights(&one));
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(word)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A word, and the socket that came with it.
pub(super) type Heard = (Vec<u8>, Option<OwnedFd>);

/// Takes a word; none if the other end is gone.
pub(super) fn take(socket: impl AsFd, flags: RecvFlags) -> io::Result<Option<Heard>> {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let count = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags | RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => break message.bytes,
            Err(Errno::INTR) => {}
            // It ended with words of ours unread.
            Err(Errno::CONNRESET) => break 0,
            Err(error) => return Err(error.into()),
        }
    };
    if count == 0 {
        return Ok(None);
    }
    let mut with = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            with = descriptors.next();
        }
    }
    bytes.truncate(count);
    Ok(Some((bytes, with)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control;
    use std::{
        io::Write,
        net::{TcpListener, TcpStream},
    };

    #[test]
    fn a_listener_crosses_and_its_waiting_connections_with_it() {
        let (one, two) = control::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"waits").unwrap();
        send(&one, b"first", Some(listener.as_fd())).unwrap();
        send(&one, b"second", None).unwrap();
        drop((one, listener));
        let (word, with) = take(&two, RecvFlags::empty()).unwrap().unwrap();
        assert_eq!(word, b"first");
        let theirs = TcpListener::from(with.unwrap());
        assert_eq!(theirs.local_addr().unwrap(), address);
        assert_eq!(theirs.accept().unwrap().1, client.local_addr().unwrap());
        assert!(matches!(take(&two, RecvFlags::empty()).unwrap(), Some((word, None)) if word == b"second"));
        assert!(take(&two, RecvFlags::empty()).unwrap().is_none(), "the other end is gone");
        assert!(send(&two, &vec![0; LONGEST + 1], None).is_err());
    }
}
