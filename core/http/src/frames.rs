//! Where one frame of a WebSocket ends and the next begins, in one direction (RFC 6455, section 5.2). Nothing is decoded.

/// The longest header: two bytes, a length of eight, a mask of four.
const LONGEST: usize = 14;
const CLOSE: u8 = 0x8;

/// Follows one direction of a WebSocket, however its bytes are cut.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    at: FramePart,
    closed: bool,
}

#[derive(Debug, Default)]
enum FramePart {
    /// Between two frames.
    #[default]
    Boundary,
    /// So many bytes of a header are there.
    Header { bytes: [u8; LONGEST], filled: usize },
    /// So many bytes of the payload are to come.
    Payload { left: u64, close: bool },
}

impl Frames {
    /// These bytes have passed.
    pub(crate) fn pass(&mut self, mut passed: &[u8]) {
        while !passed.is_empty() {
            passed = match &mut self.at {
                FramePart::Boundary => {
                    self.at = FramePart::Header { bytes: [0; LONGEST], filled: 0 };
                    passed
                }
                FramePart::Header { bytes, filled } => {
                    let (taken, rest) = passed.split_at(passed.len().min(header(&bytes[..*filled]) - *filled));
                    bytes[*filled..*filled + taken.len()].copy_from_slice(taken);
                    *filled += taken.len();
                    let whole = &bytes[..*filled];
                    if *filled >= 2 && *filled == header(whole) {
                        let (left, close) = (payload(whole), whole[0] & 0x0f == CLOSE);
                        self.at = FramePart::Payload { left, close };
                        self.end_if_whole();
                    }
                    rest
                }
                FramePart::Payload { left, .. } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(passed.len());
                    *left -= taken as u64;
                    self.end_if_whole();
                    &passed[taken..]
                }
            };
        }
    }

    fn end_if_whole(&mut self) {
        if let FramePart::Payload { left: 0, close } = self.at {
            self.closed |= close;
            self.at = FramePart::Boundary;
        }
    }

    /// So many of the next bytes, at least, belong to the frame that has begun; none between frames.
    pub(crate) fn inside(&self) -> u64 {
        match &self.at {
            FramePart::Boundary => 0,
            FramePart::Header { bytes, filled } => (header(&bytes[..*filled]) - filled) as u64,
            FramePart::Payload { left, .. } => *left,
        }
    }

    /// Whether a close frame has passed whole.
    pub(crate) fn closed(&self) -> bool {
        self.closed
    }
}

/// How long a header is, as far as its beginning tells.
fn header(beginning: &[u8]) -> usize {
    let Some(second) = beginning.get(1) else { return 2 };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length + mask
}

/// The length of the payload that a whole header announces.
fn payload(header: &[u8]) -> u64 {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    match header[1] & 0x7f {
        126 => number(&header[2..4]),
        127 => number(&header[2..10]),
        short => u64::from(short),
    }
}

/// A close frame as a server sends it.
pub(crate) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    debug_assert!(reason.len() <= 123, "a control frame is short");
    let mut frame = vec![0x80 | CLOSE, 2 + reason.len() as u8];
    frame.extend(code.to_be_bytes());
    frame.extend(reason.as_bytes());
    frame
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A frame with a payload of this length.
    pub(crate) fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..=125 => frame.push(mask | length as u8),
            126..=0xffff => {
                frame.push(mask | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([0x88; 4]);
        }
        // What looks like a header is none inside a payload.
        frame.extend(std::iter::repeat_n(0x88, length));
        frame
    }

    #[test]
    fn every_kind_of_frame_ends_where_it_ends() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 127, 0xffff, 0x10000] {
                for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xa] {
                    let bytes = frame(opcode, length, masked);
                    let mut frames = Frames::default();
                    frames.pass(&bytes[..bytes.len() - 1]);
                    let last = if length == 0 && bytes.len() > 2 { 1 } else { frames.inside() };
                    assert_eq!((last, frames.closed()), (1, false), "{opcode} {length} {masked}");
                    frames.pass(&bytes[bytes.len() - 1..]);
                    assert_eq!((frames.inside(), frames.closed()), (0, opcode == 0x8), "{opcode} {length} {masked}");
                }
            }
        }
    }

    #[test]
    fn what_is_certain_to_be_inside() {
        for (passed, inside) in [
            (&[][..], 0),
            (&[0x81], 1),
            (&[0x81, 5], 5),
            (&[0x81, 0x85], 4),
            (&[0x81, 126], 2),
            (&[0x81, 126, 1], 1),
            (&[0x81, 126, 1, 0], 256),
            (&[0x81, 127], 8),
            (&[0x81, 0xff], 12),
            (&[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0], 1 << 32),
            (&[0x81, 0], 0),
            (&[0x81, 1, 0, 0x82], 1),
        ] {
            let mut frames = Frames::default();
            frames.pass(passed);
            assert_eq!(frames.inside(), inside, "{passed:?}");
        }
    }

    #[test]
    fn however_the_bytes_are_cut() {
        let whole =
            [frame(1, 3, false), frame(2, 130, true), frame(9, 0, false), frame(0, 300, false), frame(8, 2, true)];
        let boundaries: Vec<_> = whole
            .iter()
            .scan(0, |end, frame| {
                Some({
                    *end += frame.len();
                    *end
                })
            })
            .collect();
        let bytes = whole.concat();
        for first in 0..=bytes.len() {
            for size in [1, 2, 3, 7, 64, bytes.len()] {
                let mut frames = Frames::default();
                let mut position = 0;
                let cuts = [&bytes[..first]].into_iter().chain(bytes[first..].chunks(size));
                for chunk in cuts {
                    frames.pass(chunk);
                    position += chunk.len();
                    let between = position == 0 || boundaries.contains(&position);
                    assert_eq!(frames.inside() == 0, between, "{first} {size} {position}");
                    assert_eq!(frames.closed(), position == bytes.len());
                }
            }
        }
    }

    #[test]
    fn our_close_frame_is_one() {
        let mut frames = Frames::default();
        frames.pass(&close_frame(1012, "service restart"));
        assert!(frames.closed() && frames.inside() == 0);
    }
}
