//! PageSessions: the token that a visitor showed, sealed in a cookie that scripts cannot read. What must not live here: whether the
//! token still holds, which the admin API says at every request, so that a revoked one ends its sessions at once.
//!
//! Nothing is kept on the server: a session outlives a restart, and holds on every server with the same admin token, from which
//! the sealing key is derived.

use camlock_api::Digest;
use camlock_http::PAGE_COOKIE;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, header::COOKIE};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// How long one may stay without signing in again.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 3600);
/// So long a nonce is.
const NONCE: usize = 24;
/// What a sealed session is; another form would say so.
const FORM: &[u8] = b"camlock page session 1";

/// What seals and opens sessions.
pub(crate) struct PageSessions {
    cipher: XChaCha20Poly1305,
    name: String,
    secure: bool,
}

impl PageSessions {
    /// For the page on this port of a server with this admin token.
    pub(crate) fn new(admin_token: &str, port: u16, secure: bool) -> Self {
        let text = Zeroizing::new([FORM, b" key ", admin_token.as_bytes()].concat());
        let key = Digest::of(&text);
        let prefix = if secure { "__Host-" } else { "" };
        // Cookies know no ports: two servers on one host would take each other's.
        let name = format!("{prefix}{PAGE_COOKIE}{port}");
        PageSessions { cipher: XChaCha20Poly1305::new(key.as_bytes().into()), name, secure }
    }

    /// The cookie of a new session, as `Set-Cookie` has it.
    pub(crate) fn begin(&self, token: &str, now: SystemTime) -> Option<String> {
        let until = seconds(now).checked_add(LASTS.as_secs())?;
        let message = Zeroizing::new([&until.to_le_bytes()[..], token.as_bytes()].concat());
        let nonce = XNonce::generate();
        let sealed = self.cipher.encrypt(&nonce, Payload { msg: &message, aad: FORM }).ok()?;
        let value = BASE64URL_NOPAD.encode(&[&nonce[..], &sealed].concat());
        Some(self.cookie(&value, LASTS.as_secs()))
    }

    /// What ends the session in the browser.
    pub(crate) fn end(&self) -> String {
        self.cookie("", 0)
    }

    fn cookie(&self, value: &str, age: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}", self.name)
    }

    /// The token of the session that a request belongs to.
    pub(crate) fn token(&self, headers: &HeaderMap, now: SystemTime) -> Option<Zeroizing<String>> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| (name == self.name).then(|| self.open(value, now)).flatten())
    }

    fn open(&self, value: &str, now: SystemTime) -> Option<Zeroizing<String>> {
        let bytes = BASE64URL_NOPAD.decode(value.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let opened = self.cipher.decrypt(nonce.into(), Payload { msg: sealed, aad: FORM }).ok()?;
        let opened = Zeroizing::new(opened);
        let (until, token) = opened.split_first_chunk::<8>()?;
        if seconds(now) >= u64::from_le_bytes(*until) {
            return None;
        }
        Some(Zeroizing::new(std::str::from_utf8(token).ok()?.to_owned()))
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, format!("other=1; {pair}").parse().unwrap())])
    }

    #[test]
    fn a_session_is_its_token_until_it_expires() {
        let sessions = PageSessions::new("admin", 8081, false);
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let cookie = sessions.begin("camlock_secret", now).unwrap();
        assert!(cookie.starts_with("camlock_page_8081=") && !cookie.contains("secret"), "{cookie}");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"), "{cookie}");
        let token = |sessions: &PageSessions, cookie: &str, now| {
            sessions.token(&shown(cookie), now).map(|token| token.to_string())
        };
        assert_eq!(token(&sessions, &cookie, now).as_deref(), Some("camlock_secret"));
        assert_eq!(token(&sessions, &cookie, now + LASTS), None);
        assert_eq!(token(&PageSessions::new("other", 8081, false), &cookie, now), None);
        assert_eq!(token(&PageSessions::new("admin", 8082, false), &cookie, now), None);
        assert_eq!(token(&sessions, &cookie.replacen("camlock_page_8081=", "camlock_page_8081=A", 1), now), None);
        assert_eq!(token(&sessions, "camlock_page_8081=", now), None);
        assert_ne!(sessions.begin("camlock_secret", now), Some(cookie));
        let secure = PageSessions::new("admin", 8081, true).begin("x", now).unwrap();
        assert!(secure.starts_with("__Host-camlock_page_8081=") && secure.ends_with("; Secure"), "{secure}");
    }
}
