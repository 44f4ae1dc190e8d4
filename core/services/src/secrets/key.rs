//! The key of a fleet's secrets.

use super::seal::{SecretPlace, open, seal};
use camlock_policy::{Digest, NotOpened, SealedSecret};
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{Generate, Key},
};
use data_encoding::BASE64;
use std::fmt;
use zeroize::Zeroizing;

/// So long a key is.
const LENGTH: usize = 32;
/// What its id is made of beside the key: so it is nobody else's hash of the same bytes.
const ID_OF: &[u8] = b"camlock secrets key\0";

/// The key. It is wiped from memory when it is dropped, and never shown. Two with one id are the same.
#[derive(Clone)]
pub struct SecretsKey {
    id: String,
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl PartialEq for SecretsKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for SecretsKey {}

impl fmt::Debug for SecretsKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SecretsKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A text is no key. What it says is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not {LENGTH} bytes in base64, as `head -c {LENGTH} /dev/urandom | base64` makes them")]
pub struct NotAKey;

impl SecretsKey {
    /// A new one.
    pub fn generate() -> Self {
        let bytes = Zeroizing::new(Key::<XChaCha20Poly1305>::generate().into());
        SecretsKey::of(bytes)
    }

    /// One that somebody wrote down: 32 bytes in base64, with white space around it.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim().as_bytes()).map_err(|_| NotAKey)?);
        let bytes = <[u8; LENGTH]>::try_from(&bytes[..]).map_err(|_| NotAKey)?;
        Ok(SecretsKey::of(Zeroizing::new(bytes)))
    }

    fn of(bytes: Zeroizing<[u8; LENGTH]>) -> Self {
        let named = Zeroizing::new([ID_OF, &bytes[..]].concat());
        SecretsKey { id: Digest::of(&named).hex()[..16].to_owned(), bytes }
    }

    /// As it is written down.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(&self.bytes[..]))
    }

    /// By what it is known: 16 hexadecimal digits that tell nothing of it.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.bytes
    }

    /// Seals a secret for its place.
    pub fn seal(&self, place: &SecretPlace<'_>, secret: &[u8]) -> Result<SealedSecret, NotOpened> {
        seal(self, place, secret)
    }

    /// Opens what was sealed for this place with this key.
    pub fn open(&self, place: &SecretPlace<'_>, sealed: &SealedSecret) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        open(self, place, sealed)
    }

    /// What is put on record of a fleet's key, so that a node knows whether it has the same one.
    pub fn check(&self) -> Result<KeyCheck, NotOpened> {
        Ok(KeyCheck(self.seal(&CHECKED, CHECK)?))
    }

    /// Whether it is the key that this was made with; if not, which one is.
    pub fn passes(&self, check: &KeyCheck) -> Result<(), NotOpened> {
        let opened = self.open(&CHECKED, &check.0)?;
        if opened[..] == *CHECK { Ok(()) } else { Err(NotOpened::Damaged { place: "the check of the key".to_owned() }) }
    }
}

/// A place that no plugin has: their names are not empty.
const CHECKED: SecretPlace<'static> = SecretPlace { plugin: "", pointer: "" };
const CHECK: &[u8] = b"camlock";

/// Proof of which key a fleet has, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCheck(pub SealedSecret);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_down_and_read() {
        let key = SecretsKey::generate();
        let read = SecretsKey::parse(&format!(" {}\n", *key.text())).unwrap();
        assert_eq!((read.id(), read.bytes()), (key.id(), key.bytes()));
        assert_ne!(SecretsKey::generate().id(), key.id());
        for text in ["", "AAAA", "no base64 at all", &"A".repeat(44), &key.text()[1..]] {
            assert_eq!(SecretsKey::parse(text).unwrap_err(), NotAKey, "{text}");
        }
    }

    /// Who puts the same key on two nodes must find the same id.
    #[test]
    fn an_id_follows_from_the_key() {
        let key = SecretsKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        assert_eq!(key.id().len(), 16);
        assert_eq!(key.id(), SecretsKey::parse(&key.text()).unwrap().id());
        assert_eq!(format!("{key:?}"), format!("SecretsKey {{ id: {:?}, .. }}", key.id()));
    }

    #[test]
    fn a_node_with_another_key_is_told_which_one_is_missing() {
        let (key, other) = (SecretsKey::generate(), SecretsKey::generate());
        let check = key.check().unwrap();
        assert_eq!(key.passes(&check), Ok(()));
        let wrong = other.passes(&check).unwrap_err();
        assert_eq!(wrong, NotOpened::OtherKey { needed: key.id().to_owned(), has: Some(other.id().to_owned()) });
        // The id alone is no proof.
        let forged = KeyCheck(SealedSecret { key_id: other.id().to_owned(), ..check.0 });
        assert!(matches!(other.passes(&forged), Err(NotOpened::Damaged { .. })));
    }
}
