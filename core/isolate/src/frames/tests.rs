use super::*;
use camlock_policy::{Body, FaultKind, RequestId};
use camlock_testing::Random;
use http::{HeaderValue, Request, StatusCode, Version};

/// All frames in some bytes, as whoever is at the other end reads them.
fn read_all(mut bytes: Bytes) -> Result<Vec<(u64, Frame)>, BadFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let Some(header) = bytes.first_chunk::<HEADER>() else { return bad("half a header") };
        let header = FrameHeader::read(header)?;
        let _ = bytes.split_to(HEADER);
        if bytes.len() < header.length as usize {
            return bad("half a frame");
        }
        let payload = bytes.split_to(header.length as usize);
        frames.push((header.stream, Frame::decode(header, payload)?));
    }
    Ok(frames)
}

fn call() -> Call {
    let request = Request::post("http://plugins.test/api/v1/p/hello/x?y=z").version(Version::HTTP_2);
    let mut secret = HeaderValue::from_static("a secret");
    secret.set_sensitive(true);
    let request = request.header("x-one", "1").header("x-one", "2").header("cookie", secret);
    Call {
        mount: 15,
        tells_mount: true,
        peer: Some("[2001:db8::1]:443".parse().unwrap()),
        request_id: RequestId::Sent(HeaderValue::from_static("seven")),
        trace_id: *b"sixteen bytes...",
        upgrade: true,
        ..Call::new(request.body(Body::empty()).unwrap())
    }
}

/// Frames of every kind.
fn everything() -> Bytes {
    let mut writer = FrameWriter::default();
    let hint = SizeBounds { lower: 4, upper: Some(4) };
    writer.request(1, RequestKind::Call, &call(), b"body", (true, hint)).unwrap();
    writer
        .request(3, RequestKind::Ask, &Call::new(Request::new(Body::empty())), b"", (false, SizeBounds::default()))
        .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-a", HeaderValue::from_bytes(&[0xff]).unwrap());
    let head = StatusHead { status: StatusCode::SWITCHING_PROTOCOLS, headers: headers.clone(), upgraded: true };
    writer.response(1, &head, b"", (false, SizeBounds::default())).unwrap();
    writer.piece(1, FrameKind::Body, 3, true);
    writer.0.put_slice(b"abc");
    writer.piece(1, FrameKind::Bytes, 2, false);
    writer.0.put_slice(b"de");
    writer.trailers(1, &headers).unwrap();
    writer.piece(1, FrameKind::End, 0, false);
    writer.broken(2, "the client went away");
    writer.reset(5, None);
    let backtrace = vec!["one".to_owned(), "two".to_owned()];
    let fault = Fault { location: "lib.rs:7".to_owned(), backtrace, ..Fault::new(FaultKind::Panic, "it panicked") };
    writer.reset(u64::MAX, Some(&fault));
    writer.credit(4, u32::MAX);
    writer.piece(6, FrameKind::Enough, 0, false);
    writer.0.freeze()
}

#[test]
fn what_is_written_is_read() {
    let frames = read_all(everything()).unwrap();
    let streams: Vec<u64> = frames.iter().map(|(stream, _)| *stream).collect();
    assert_eq!(streams, [1, 3, 1, 1, 1, 1, 1, 2, 5, u64::MAX, 4, 6]);
    let mut frames = frames.into_iter().map(|(_, frame)| frame);
    let Some(Frame::Request { kind: RequestKind::Call, call: read, ends: true, hint }) = frames.next() else {
        panic!()
    };
    assert_eq!(hint, SizeBounds { lower: 4, upper: Some(4) });
    let (sent, mut read) = (call(), *read);
    let body = std::mem::take(read.request.body_mut()).into_whole().unwrap();
    assert_eq!(body, "body");
    assert_eq!(format!("{read:?}"), format!("{sent:?}"));
    assert!(read.request.headers()["cookie"].is_sensitive());
    let Some(Frame::Request { kind: RequestKind::Ask, call: read, ends: false, .. }) = frames.next() else { panic!() };
    assert_eq!((read.request.uri().path(), read.peer), ("/", None));
    let Some(Frame::Response { head, body, ends: false, .. }) = frames.next() else { panic!() };
    assert!(head.upgraded && head.status == 101 && head.headers["x-a"].as_bytes() == [0xff] && body.is_empty());
    assert!(matches!(frames.next(), Some(Frame::Body { bytes, ends: true }) if bytes == "abc"));
    assert!(matches!(frames.next(), Some(Frame::Bytes { bytes, ends: false }) if bytes == "de"));
    assert!(matches!(frames.next(), Some(Frame::Trailers(trailers)) if trailers.len() == 1));
    assert!(matches!(frames.next(), Some(Frame::End)));
    assert!(matches!(frames.next(), Some(Frame::Broken(why)) if why == "the client went away"));
    assert!(matches!(frames.next(), Some(Frame::Reset(None))));
    let Some(Frame::Reset(Some(fault))) = frames.next() else { panic!() };
    assert_eq!((fault.kind, &*fault.message, &*fault.location), (FaultKind::Panic, "it panicked", "lib.rs:7"));
    assert_eq!(fault.backtrace, ["one", "two"]);
    assert!(matches!(frames.next(), Some(Frame::Credit(u32::MAX))));
    assert!(matches!(frames.next(), Some(Frame::Enough)));
}

/// Whatever a peer sends comes to frames or to a sentence: never to a panic, never to more memory than it sent.
#[test]
fn damaged_bytes_are_refused_or_read() {
    let whole = everything();
    for end in 0..whole.len() {
        let _ = read_all(whole.slice(..end));
    }
    let mut random = Random::new(7);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = whole.to_vec();
        for _ in 0..=random.number() % 4 {
            let at = random.number() as usize % bytes.len();
            bytes[at] = random.number() as u8;
        }
        if let Err(BadFrame(why)) = read_all(bytes.into()) {
            refused += 1;
            assert!(!why.is_empty());
        }
    }
    assert!(refused > 1000, "{refused}");
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.number() % 200).map(|_| random.number() as u8).collect();
        let _ = read_all(bytes.into());
    }
}

/// Every kind with a payload that is no such thing, and what is said of it.
#[test]
fn each_malformed_frame_has_its_sentence() {
    let header = |length: u32, kind: u8, flags: u8, zeros: u16, stream: u64| {
        let mut bytes = BytesMut::new();
        bytes.put_u32_le(length);
        bytes.put_u8(kind);
        bytes.put_u8(flags);
        bytes.put_u16_le(zeros);
        bytes.put_u64_le(stream);
        bytes
    };
    let with = |kind: FrameKind, payload: &[u8]| {
        let mut bytes = header(payload.len() as u32, kind as u8, 0, 0, 1);
        bytes.put_slice(payload);
        bytes
    };
    let too_long = |kind: FrameKind| header(kind.longest() as u32 + 1, kind as u8, 0, 0, 1);
    for (bytes, why) in [
        (header(0, 0, 0, 0, 1), "there is no frame of kind 0"),
        (header(0, 11, 0, 0, 1), "there is no frame of kind 11"),
        (header(0, 5, 1, 0, 1), "an end has flags that it cannot have (0x1, 0x0)"),
        (header(0, 3, 2, 0, 1), "a piece of a body has flags that it cannot have (0x2, 0x0)"),
        (header(0, 3, 0, 7, 1), "a piece of a body has flags that it cannot have (0x0, 0x7)"),
        (header(0, 3, 0, 0, 0), "a piece of a body belongs to no stream"),
        (too_long(FrameKind::Body), "a piece of a body of 65537 bytes is longer than the 65536 that it may be"),
        (too_long(FrameKind::End), "an end of 1 bytes is longer than the 0 that it may be"),
        (too_long(FrameKind::Credit), "a credit of 5 bytes is longer than the 4 that it may be"),
        (with(FrameKind::Credit, &[1, 2]), "a frame ends in the middle of what it says"),
        (with(FrameKind::Credit, &[0; 4]), "a credit of nothing"),
        (with(FrameKind::Broken, &[0xff]), "a text in a frame is not UTF-8"),
        (with(FrameKind::Reset, &[9]), "there is no fault of kind 9"),
        (with(FrameKind::Request, &[4]), "there is no request of kind 4"),
        (with(FrameKind::Request, &[1, 4]), "a request has unknown flags (0x4)"),
        (with(FrameKind::Request, &[1, 0, 12]), "there is no HTTP version 12"),
        (with(FrameKind::Request, &[1, 0, 11, 1, 0, b' ']), "a request's method is none"),
        (with(FrameKind::Response, &[7, 0]), "there is no status 7"),
        (with(FrameKind::Response, &[200, 0, 2]), "an answer has unknown flags (0x2)"),
        (with(FrameKind::Trailers, &[0xff, 0xff]), "65535 headers are more than the 4096 that are taken"),
        (with(FrameKind::Trailers, &[1, 0, 1, 0, b' ']), "a header's name is none"),
        (with(FrameKind::Trailers, &[1, 0, 1, 0, b'a', 1, 0, 0, 0, b'\n']), "a header's value is none"),
        (with(FrameKind::Trailers, &[0, 0, 0]), "a frame has 1 bytes too many"),
    ] {
        assert_eq!(read_all(bytes.freeze()).unwrap_err().0, why);
    }
    let mut writer = FrameWriter::default();
    let head = StatusHead { status: StatusCode::OK, headers: HeaderMap::new(), upgraded: false };
    writer.response(1, &head, &[0; INLINE + 1], (true, SizeBounds::default())).unwrap();
    assert_eq!(read_all(writer.0.freeze()).unwrap_err().0, "16385 bytes of a body came with its head");
}

/// What cannot be sent leaves nothing behind among what is.
#[test]
fn what_is_too_long_is_not_written() {
    let mut writer = FrameWriter::default();
    writer.credit(1, 5);
    let before = writer.0.len();
    let mut headers = HeaderMap::new();
    for number in 0..10 {
        headers.append("x", HeaderValue::from_bytes(&vec![b'0' + number; 100_000]).unwrap());
    }
    let why = writer.trailers(1, &headers).unwrap_err();
    assert_eq!(why.0, "a frame of trailers of 1000072 bytes is too long");
    assert_eq!(writer.0.len(), before);
    let fault = Fault::new(FaultKind::Error, "ä".repeat(LARGEST_WORDS));
    writer.reset(1, Some(&fault));
    assert_eq!(read_all(writer.0.freeze()).unwrap().len(), 2);
}
