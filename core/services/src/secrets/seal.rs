//! Sealing and opening one secret: XChaCha20-Poly1305, with the plugin, the place and the key's id as associated data.

use super::key::SecretsKey;
use camlock_policy::{NotOpened, SealedSecret};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};
use zeroize::Zeroizing;

/// So long a nonce is: chosen at random each time.
const NONCE: usize = 24;
/// Of what form a sealed secret is; another one would say so.
const FORM: &[u8] = b"camlock secret 1";

/// Whose secret it is, and where it stands in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretPlace<'a> {
    /// The plugin.
    pub plugin: &'a str,
    /// The place, as a JSON pointer.
    pub pointer: &'a str,
}

pub(super) fn seal(key: &SecretsKey, place: &SecretPlace<'_>, secret: &[u8]) -> Result<SealedSecret, NotOpened> {
    let nonce = XNonce::generate();
    let bound = bound_to(place, key.id());
    let sealed = XChaCha20Poly1305::new(key.bytes().into()).encrypt(&nonce, Payload { msg: secret, aad: &bound });
    let sealed = sealed.map_err(|_| NotOpened::TooLong { place: in_words(place) })?;
    Ok(SealedSecret { key_id: key.id().to_owned(), bytes: [&nonce[..], &sealed].concat() })
}

pub(super) fn open(
    key: &SecretsKey,
    place: &SecretPlace<'_>,
    sealed: &SealedSecret,
) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
    if sealed.key_id != key.id() {
        return Err(NotOpened::OtherKey { needed: sealed.key_id.clone(), has: Some(key.id().to_owned()) });
    }
    let damaged = || NotOpened::Damaged { place: in_words(place) };
    let (nonce, secret) = sealed.bytes.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
    let bound = bound_to(place, key.id());
    let opened = XChaCha20Poly1305::new(key.bytes().into()).decrypt(nonce.into(), Payload { msg: secret, aad: &bound });
    opened.map(Zeroizing::new).map_err(|_| damaged())
}

/// What the seal is bound to. Each part has its length before it, so that no two places are the same bytes.
fn bound_to(place: &SecretPlace<'_>, key_id: &str) -> Vec<u8> {
    let mut bound = Vec::new();
    for part in [FORM, place.plugin.as_bytes(), place.pointer.as_bytes(), key_id.as_bytes()] {
        bound.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

fn in_words(place: &SecretPlace<'_>) -> String {
    if place.plugin.is_empty() {
        return "the check of the key".to_owned();
    }
    format!("the secret `{}` of `{}`", place.pointer, place.plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: SecretPlace<'static> = SecretPlace { plugin: "hello", pointer: "/db/password" };

    #[test]
    fn what_is_sealed_is_opened_at_its_place_alone() {
        let key = SecretsKey::generate();
        let sealed = key.seal(&PLACE, b"\"hunter2\"").unwrap();
        assert_eq!(&key.open(&PLACE, &sealed).unwrap()[..], b"\"hunter2\"");
        assert!(!sealed.bytes.windows(7).any(|window| window == b"hunter2"));
        for (plugin, pointer) in [
            ("other", "/db/password"),
            ("hello", "/db/passwor"),
            ("hello/db", "/password"),
            ("", ""),
            ("hell", "o/db/password"),
        ] {
            let wrong = key.open(&SecretPlace { plugin, pointer }, &sealed);
            assert!(matches!(wrong, Err(NotOpened::Damaged { .. })), "{plugin} {pointer}");
        }
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike() {
        let key = SecretsKey::generate();
        assert_ne!(key.seal(&PLACE, b"x").unwrap().bytes, key.seal(&PLACE, b"x").unwrap().bytes);
    }

    /// Every bit counts, and so does the length.
    #[test]
    fn what_was_changed_is_refused() {
        let key = SecretsKey::generate();
        let sealed = key.seal(&PLACE, b"x").unwrap();
        for at in 0..sealed.bytes.len() * 8 {
            let mut bytes = sealed.bytes.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(key.open(&PLACE, &SealedSecret { bytes, ..sealed.clone() }).is_err(), "{at}");
        }
        for length in 0..sealed.bytes.len() {
            let bytes = sealed.bytes[..length].to_vec();
            assert!(key.open(&PLACE, &SealedSecret { bytes, ..sealed.clone() }).is_err(), "{length}");
        }
    }

    #[test]
    fn another_key_is_named_and_no_secret_told() {
        let (key, other) = (SecretsKey::generate(), SecretsKey::generate());
        let sealed = key.seal(&PLACE, b"hunter2").unwrap();
        let error = other.open(&PLACE, &sealed).unwrap_err().to_string();
        assert!(error.contains(key.id()) && error.contains(other.id()) && !error.contains(&*other.text()), "{error}");
        // A key that only calls itself so opens nothing.
        let renamed = SealedSecret { key_id: other.id().to_owned(), ..sealed };
        let error = other.open(&PLACE, &renamed).unwrap_err().to_string();
        assert_eq!(
            error,
            "the secret `/db/password` of `hello` is damaged, or was moved there from somewhere else: set that secret anew"
        );
    }
}
