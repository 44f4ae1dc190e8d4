//! The secrets that people show, and whose they are. What must not live here: what a role allows.

use camlock_policy::{
    Digest,
    registry::{Actor, Role, TokenView, Tokens},
};
use http::{HeaderMap, header::AUTHORIZATION};
use std::{
    collections::HashMap,
    fmt,
    hint::black_box,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// So many wrong tokens in [`WHILE`] are answered like any other; further ones are told to wait.
const WRONG: u32 = 100;
const WHILE: Duration = Duration::from_secs(60);
/// Of so many addresses it is remembered how often they were wrong.
const ADDRESSES: usize = 4096;

/// The server's own secret: who has it may do everything. Only its hash is kept.
#[derive(Clone)]
pub struct Token(Option<Digest>);

impl Token {
    /// This secret. An empty one lets nobody in.
    pub fn new(secret: impl AsRef<str>) -> Self {
        let secret = secret.as_ref().as_bytes();
        Token((!secret.is_empty()).then(|| Digest::of(secret)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// What a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// Something that nobody knows.
    Wrong,
    /// A token of this name that holds no longer.
    Expired(String),
    /// A token of this name that was revoked.
    Revoked(String),
    /// A token that holds.
    Known(Actor, Role),
}

/// What is shown by a request with these headers.
pub(super) fn shown(headers: &HeaderMap, own: &Token, tokens: &dyn Tokens, now: SystemTime) -> Shown {
    let Some(value) = headers.get(AUTHORIZATION) else { return Shown::Nothing };
    let Some(secret) = bearer(value.as_bytes()).filter(|secret| !secret.is_empty()) else { return Shown::Wrong };
    let hash = Digest::of(secret);
    // All are compared, whichever it is: how long that takes tells nothing.
    let own = own.0.as_ref().is_some_and(|own| same(own, &hash));
    let mut found: Option<TokenView> = None;
    for token in tokens.known() {
        // A hash may have been revoked and made anew: the one that holds counts.
        if same(&token.hash, &hash) && found.as_ref().is_none_or(|found| !holds(found, now)) {
            found = Some(token);
        }
    }
    match found {
        _ if own => Shown::Known(Actor::Admin, Role::Admin),
        None => Shown::Wrong,
        Some(token) if token.revoked.is_some() => Shown::Revoked(token.name),
        Some(token) if !holds(&token, now) => Shown::Expired(token.name),
        Some(token) => Shown::Known(Actor::Token(token.name), token.role),
    }
}

/// Whether a token lets somebody in.
pub(super) fn holds(token: &TokenView, now: SystemTime) -> bool {
    token.revoked.is_none() && token.expires.is_none_or(|expires| now < expires)
}

/// Whether two hashes are equal. How long it takes tells nothing.
fn same(one: &Digest, other: &Digest) -> bool {
    let pairs = one.as_bytes().iter().zip(other.as_bytes());
    pairs.fold(0, |all, (one, other)| black_box(all | (one ^ other))) == 0
}

/// What stands behind `Bearer`, which may be written as one likes.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, shown) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| shown.trim_ascii())
}

/// Who showed wrong tokens, and how often.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<HashMap<IpAddr, Guessed>>);

#[derive(Debug)]
struct Guessed {
    since: Instant,
    wrong: u32,
}

impl Guesses {
    /// Counts a wrong token; how long to wait, if there were too many.
    pub(super) fn wrong(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let from = whose(from);
        let recent = |guessed: &Guessed| now.saturating_duration_since(guessed.since) < WHILE;
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !addresses.contains_key(&from) && addresses.len() >= ADDRESSES {
            addresses.retain(|_, guessed| recent(guessed));
            if addresses.len() >= ADDRESSES {
                addresses.retain(|_, guessed| guessed.wrong > WRONG);
            }
            if addresses.len() >= ADDRESSES {
                return None;
            }
        }
        let guessed = addresses.entry(from).or_insert(Guessed { since: now, wrong: 0 });
        if !recent(guessed) {
            *guessed = Guessed { since: now, wrong: 0 };
        }
        guessed.wrong = guessed.wrong.saturating_add(1);
        (guessed.wrong > WRONG).then(|| WHILE.saturating_sub(now.saturating_duration_since(guessed.since)))
    }
}

/// One client has a whole network of addresses in IPv6.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InMemory;
    use camlock_policy::registry::NewToken;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn only_a_token_is_a_token() {
        let memory = InMemory::default();
        for (name, role, expires) in [("ci", Role::Operator, None), ("old", Role::Viewer, Some(at(100)))] {
            let hash = Digest::of(format!("{name}-secret").as_bytes());
            let token = NewToken { name: name.into(), role, hash, expires };
            assert!(memory.create(token, Actor::Admin).await.unwrap().is_some());
        }
        let known = |by: &str, role| Shown::Known(by.into(), role);
        for (own, header, now, expected) in [
            ("abc", Some("Bearer abc"), 0, known("admin", Role::Admin)),
            ("abc", Some("bearer  abc"), 0, known("admin", Role::Admin)),
            ("abc", Some("BEARER abc "), 0, known("admin", Role::Admin)),
            ("abc", Some("Bearer abd"), 0, Shown::Wrong),
            ("abc", Some("Bearer ab"), 0, Shown::Wrong),
            ("abc", Some("Bearer abcd"), 0, Shown::Wrong),
            ("abc", Some("Basic abc"), 0, Shown::Wrong),
            ("abc", Some("Bearer"), 0, Shown::Wrong),
            ("abc", Some("abc"), 0, Shown::Wrong),
            ("abc", Some(""), 0, Shown::Wrong),
            ("abc", None, 0, Shown::Nothing),
            ("", Some("Bearer "), 0, Shown::Wrong),
            ("", None, 0, Shown::Nothing),
            ("abc", Some("Bearer ci-secret"), 0, known("ci", Role::Operator)),
            ("abc", Some("Bearer old-secret"), 99, known("old", Role::Viewer)),
            ("abc", Some("Bearer old-secret"), 100, Shown::Expired("old".into())),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|value| (AUTHORIZATION, value.parse().unwrap())));
            assert_eq!(shown(&headers, &Token::new(own), &memory, at(now)), expected, "{own} {header:?} {now}");
        }
        assert!(memory.revoke(1, Actor::Admin).await.unwrap());
        let headers = HeaderMap::from_iter([(AUTHORIZATION, "Bearer ci-secret".parse().unwrap())]);
        assert_eq!(shown(&headers, &Token::new("abc"), &memory, at(0)), Shown::Revoked("ci".into()));
        assert_eq!(format!("{:?}", Token::new("secret")), "Token(…)");
    }

    #[test]
    fn after_a_hundred_in_a_minute_an_address_waits() {
        let guesses = Guesses::default();
        let begun = Instant::now();
        let from: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..100 {
            assert_eq!(guesses.wrong(from, begun), None);
        }
        assert_eq!(guesses.wrong(from, begun + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(guesses.wrong("192.0.2.2".parse().unwrap(), begun), None);
        assert_eq!(guesses.wrong(from, begun + Duration::from_secs(60)), None);
        for number in 0..100 {
            assert_eq!(guesses.wrong(format!("2001:db8::{number:x}").parse().unwrap(), begun), None);
        }
        assert!(guesses.wrong("2001:db8::ffff".parse().unwrap(), begun).is_some());
        // However many addresses there are, so many are remembered.
        for number in 0..10_000_u32 {
            guesses.wrong(IpAddr::V4(number.into()), begun);
        }
        assert!(guesses.0.lock().unwrap().len() <= ADDRESSES);
        assert!(guesses.wrong("2001:db8::1".parse().unwrap(), begun).is_some());
    }
}
