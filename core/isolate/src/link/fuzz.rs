//! A runner that speaks nonsense, at random, from numbers that are the same each time: whatever it sends, the server's end stays whole or
//! closes with a sentence, and everything that waited for it is told.

use super::tests::{Answering, call};
use super::*;
use crate::frames::{
    FrameKind, FrameWriter, HEADER, INLINE, LARGEST_HEAD, LARGEST_WORDS, PIECE, SizeBounds, StatusHead,
};
use bytes::BufMut;
use camlock_policy::Body;
use camlock_testing::Random;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use std::{io::Write, os::fd::AsFd, time::Duration};

/// So many runners speak, each so many times.
const RUNNERS: u64 = 300;
const WORDS: usize = 24;
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream that was opened, most of the time.
fn stream(random: &mut Random) -> u64 {
    [1, 1, 1, 3, 5, 2, 4, 0, 7, u64::MAX][random.below(10)]
}

fn length(random: &mut Random) -> usize {
    let one = [1, 2, 255, INLINE, PIECE, LARGEST_WORDS, LARGEST_HEAD][random.below(7)];
    (one + random.below(3)).saturating_sub(random.below(3))
}

fn ends(random: &mut Random) -> bool {
    random.below(4) == 0
}

/// One word: most are what a runner might say at some time, some are what none ever says.
fn speak(random: &mut Random, out: &mut FrameWriter) {
    let begin = out.0.len();
    let (stream, none) = (stream(random), SizeBounds::default());
    match random.below(14) {
        0 | 1 => {
            let head = StatusHead { status: StatusCode::OK, headers: HeaderMap::new(), upgraded: random.below(5) == 0 };
            let body = vec![1; random.below(INLINE)];
            let _ = out.response(stream, &head, &body, (ends(random), none));
        }
        2 | 3 => {
            let length = length(random).min(PIECE);
            let kind = if random.below(2) == 0 { FrameKind::Body } else { FrameKind::Bytes };
            out.piece(stream, kind, length, ends(random));
            out.0.put_bytes(0, length);
        }
        4 => out.credit(stream, [0, 1, 1 << 20, 1 << 30, u32::MAX][random.below(5)]),
        5 => {
            let mut trailers = HeaderMap::new();
            for number in 0..random.below(200) {
                trailers.append("x-more", HeaderValue::from(number as u64));
            }
            let _ = out.trailers(stream, &trailers);
        }
        6 => out.broken(stream, "it broke"),
        7 => out.reset(stream, None),
        8 => out.reset(stream, Some(&Fault::new(FaultKind::Panic, "x".repeat(random.below(1000))))),
        9 => out.piece(stream, FrameKind::End, 0, false),
        10 => out.piece(stream, FrameKind::Enough, 0, false),
        11 => {
            let kind = [RequestKind::Call, RequestKind::Ask, RequestKind::Delivery][random.below(3)];
            let call = call("/echo", Body::empty());
            let _ = out.request(2 + 2 * random.below(4) as u64, kind, &call, b"body", (ends(random), none));
        }
        // A header that announces whatever it likes, and less or more that follows.
        12 => {
            let longest = length(random) as u32;
            let number = random.below(13) as u8;
            out.0.put_u32_le(if random.below(8) == 0 { u32::MAX } else { longest });
            out.0.put_u8(number);
            out.0.put_u8([0, 0, 1, 2, 255][random.below(5)]);
            out.0.put_u16_le([0, 0, 0, 7][random.below(4)]);
            out.0.put_u64_le(stream);
            for _ in 0..length(random).min(4096) {
                let byte = random.below(256) as u8;
                out.0.put_u8(byte);
            }
        }
        _ => {
            for _ in 0..random.below(64) {
                let byte = random.below(256) as u8;
                out.0.put_u8(byte);
            }
        }
    }
    // A byte of it becomes another one, or its end is missing.
    if random.below(6) == 0 && out.0.len() > begin {
        let at = begin + random.below((out.0.len() - begin).min(2 * HEADER));
        out.0[at] = random.below(256) as u8;
    }
    if random.below(20) == 0 {
        let kept = begin + random.below(out.0.len() - begin + 1);
        out.0.truncate(kept);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_it_says_the_server_stays_whole() {
    let mut sentences = std::collections::BTreeSet::new();
    for seed in 1..=RUNNERS {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (one, mut other) = UnixStream::pair().unwrap();
        let host = Link::begin(one, End::Host, Arc::new(Answering::default()), &Handle::current()).unwrap();
        let asked: Vec<_> = (0..3)
            .map(|_| {
                let asking = host.ask(RequestKind::Call, call("/", Body::from("asked".to_owned())));
                tokio::spawn(async move {
                    let Ok(answer) = asking.await else { return };
                    let _ = answer.response.into_body().collect().await;
                })
            })
            .collect();
        let mut out = FrameWriter::default();
        for _ in 0..WORDS {
            speak(&mut random, &mut out);
        }
        let speaking = tokio::task::spawn_blocking(move || {
            other.set_write_timeout(Some(PATIENCE)).unwrap();
            // Whoever is closed in the middle cannot go on.
            let _ = other.write_all(&out.0);
            let _ = other.shutdown(std::net::Shutdown::Write);
            // What it is answered is read, so that it holds up nobody, until the server closes.
            let _ = std::io::copy(&mut other, &mut std::io::sink());
        });
        let mut closed = host.closed();
        let closed = tokio::time::timeout(PATIENCE, closed.wait_for(Option::is_some)).await;
        let why = closed.unwrap_or_else(|_| panic!("{seed} is never over")).unwrap().clone().unwrap();
        let is_sentence = why.starts_with("it was sent nonsense: ") && why.len() < 300 && !why.contains('\n');
        assert!(is_sentence || why == "the other end closed it", "{seed}: {why}");
        for one in asked {
            tokio::time::timeout(PATIENCE, one).await.unwrap_or_else(|_| panic!("{seed}: not told")).unwrap();
        }
        tokio::time::timeout(PATIENCE, speaking).await.unwrap_or_else(|_| panic!("{seed}: not closed")).unwrap();
        sentences.insert(why.chars().filter(|character| !character.is_ascii_digit()).collect::<String>());
    }
    // Else it does not speak of much.
    assert!(sentences.len() >= 12, "{sentences:#?}");
}

/// As many trailers as it likes, and streams, and bytes beyond what was allowed: none of it is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_ends_is_ended() {
    type Speak = fn(&mut FrameWriter, u64);
    let cases: [(Speak, &str); 3] = [
        (|out, _| out.trailers(1, &HeaderMap::new()).unwrap(), "the body of stream 1 ended twice, or before it began"),
        (
            |out, round| {
                let call = call("/hang", Body::empty());
                out.request(2 + 2 * round, RequestKind::Call, &call, b"", (true, SizeBounds::default())).unwrap();
            },
            "more than 16384 streams were opened at once",
        ),
        (
            |out, round| {
                if round == 0 {
                    let head = StatusHead { status: StatusCode::OK, headers: HeaderMap::new(), upgraded: false };
                    out.response(1, &head, b"", (false, SizeBounds::default())).unwrap();
                }
                out.piece(1, FrameKind::Body, PIECE, false);
                out.0.put_bytes(0, PIECE);
            },
            "more bytes came on stream 1 than there was credit for",
        ),
    ];
    for (speak, why) in cases {
        let (one, mut other) = UnixStream::pair().unwrap();
        let host = Link::begin(one, End::Host, Arc::new(Answering::default()), &Handle::current()).unwrap();
        let asked = tokio::spawn(host.ask(RequestKind::Call, call("/", Body::empty())));
        let speaking = tokio::task::spawn_blocking(move || {
            let asked = std::io::Read::read_exact(&mut other, &mut [0; HEADER]);
            asked.unwrap();
            other.set_write_timeout(Some(PATIENCE)).unwrap();
            for round in 0..1_000_000 {
                let mut out = FrameWriter::default();
                speak(&mut out, round);
                if other.write_all(&out.0).is_err() {
                    return;
                }
            }
            panic!("it was let go on");
        });
        let mut closed = host.closed();
        let told = tokio::time::timeout(PATIENCE, closed.wait_for(Option::is_some)).await.expect(why).unwrap().clone();
        assert_eq!(told.unwrap(), format!("it was sent nonsense: {why}"));
        speaking.await.unwrap();
        drop(asked.await.unwrap());
    }
}

/// Descriptors that come along are nobody's.
#[tokio::test]
async fn descriptors_that_it_sends_are_closed() {
    let (one, other) = UnixStream::pair().unwrap();
    let host = Link::begin(one, End::Host, Arc::new(Answering::default()), &Handle::current()).unwrap();
    let (kept, sent) = UnixStream::pair().unwrap();
    let mut out = FrameWriter::default();
    out.request(2, RequestKind::Call, &call("/echo", Body::empty()), b"", (true, SizeBounds::default())).unwrap();
    crate::control::send_packet_with(&other, &out.0, sent.as_fd()).unwrap();
    drop(sent);
    // The other end of what was sent is told when nobody has it any more.
    kept.set_nonblocking(true).unwrap();
    let mut kept = tokio::net::UnixStream::from_std(kept).unwrap();
    let mut one = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut kept, &mut one);
    assert_eq!(tokio::time::timeout(PATIENCE, read).await.expect("it is closed").unwrap(), 0);
    drop(host);
}
