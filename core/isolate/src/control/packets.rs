//! Messages of any length in packets of a bounded one. Pure.

use super::PACKET;

/// The longest message: what a plugin saves for its successor.
const LARGEST: usize = 256 * 1024 * 1024;
const LAST: u8 = 1;
const MORE: u8 = 0;

/// The packets of a message.
pub(crate) fn cut(message: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let pieces = message.chunks(PACKET - 1).count().max(1);
    (0..pieces).map(move |number| {
        let start = number * (PACKET - 1);
        let piece = &message[start..message.len().min(start + PACKET - 1)];
        let mut packet = Vec::with_capacity(piece.len() + 1);
        packet.push(if number + 1 == pieces { LAST } else { MORE });
        packet.extend_from_slice(piece);
        packet
    })
}

/// Puts them together again.
#[derive(Default)]
pub(crate) struct PacketJoiner(Vec<u8>);

impl PacketJoiner {
    /// Takes a packet: the message, if it was the last of one.
    pub(crate) fn take(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let [kind, piece @ ..] = packet else { return Err("an empty packet".to_owned()) };
        if packet.len() > PACKET {
            return Err(format!("a packet is longer than the {PACKET} bytes that it may have"));
        }
        if self.0.len() + piece.len() > LARGEST {
            return Err(format!("a message is longer than the {LARGEST} bytes that it may have"));
        }
        self.0.extend_from_slice(piece);
        match *kind {
            MORE => Ok(None),
            LAST => Ok(Some(std::mem::take(&mut self.0))),
            other => Err(format!("there is no packet of kind {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_length() {
        for length in [0, 1, PACKET - 2, PACKET - 1, PACKET, 3 * (PACKET - 1), 200_000] {
            let message: Vec<u8> = (0..length).map(|number| number as u8).collect();
            let mut joiner = PacketJoiner::default();
            let taken: Vec<_> = cut(&message).filter_map(|packet| joiner.take(&packet).unwrap()).collect();
            assert_eq!(taken, [message]);
        }
    }

    #[test]
    fn what_is_no_packet_is_told() {
        let mut joiner = PacketJoiner::default();
        assert_eq!(joiner.take(&[]).unwrap_err(), "an empty packet");
        assert_eq!(joiner.take(&[7, 0]).unwrap_err(), "there is no packet of kind 7");
        assert!(joiner.take(&[0; PACKET + 1]).unwrap_err().starts_with("a packet is longer than"));
        let why = (0..=LARGEST / (PACKET - 1)).find_map(|_| joiner.take(&[MORE; PACKET]).err());
        assert!(why.unwrap().starts_with("a message is longer than"));
    }
}
