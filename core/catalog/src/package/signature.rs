//! Authors' keys and signatures, in minisign's format: anybody can check them with minisign itself.

use crate::{
    CatalogTrouble,
    trouble::{of_file, shown},
};
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox, SignatureBox};
use std::{fmt, fs, io::Cursor, path::Path};

/// Who made a package: the public half of an author's key, in base64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublisherKey(String);

impl fmt::Display for PublisherKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl PublisherKey {
    /// Reads one: base64, or what minisign writes into a `.pub` file.
    pub fn read(text: &str) -> Result<Self, CatalogTrouble> {
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let key = PublicKey::from_base64(line)
            .map_err(|_| CatalogTrouble::unfit(format!("`{}` is no public key of minisign", shown(line))))?;
        Ok(PublisherKey(key.to_base64()))
    }

    /// Checks a signature of these bytes.
    pub fn verify(&self, bytes: &[u8], signature: &str) -> Result<(), CatalogTrouble> {
        let key = PublicKey::from_base64(&self.0).map_err(|_| CatalogTrouble::unfit("the key is none"))?;
        let signature = SignatureBox::from_string(signature)
            .map_err(|_| CatalogTrouble::unfit("the signature is none that minisign writes"))?;
        minisign::verify(&key, &signature, Cursor::new(bytes), true, false, false).map_err(|error| {
            CatalogTrouble::denied(format!("the signature is not one of the key {} ({error})", self.0))
        })
    }
}

/// An author's key: what signs.
pub struct AuthorKey {
    secret: SecretKey,
    public: PublicKey,
}

impl fmt::Debug for AuthorKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AuthorKey").field("public", &self.public.to_base64()).finish_non_exhaustive()
    }
}

impl AuthorKey {
    /// Reads what minisign or `camlock package --new-key` wrote. `password` for one that is encrypted.
    pub fn read(path: &Path, password: Option<String>) -> Result<Self, CatalogTrouble> {
        let text = fs::read_to_string(path).map_err(of_file("read", path))?;
        let unfit = |error| CatalogTrouble::unfit(format!("{} holds no key that opens: {error}", path.display()));
        let encrypted = SecretKeyBox::from_string(&text).map_err(unfit)?;
        let secret = match password {
            Some(password) => encrypted.into_secret_key(Some(password)),
            None => encrypted.into_unencrypted_secret_key(),
        };
        let secret = secret.map_err(unfit)?;
        let public = PublicKey::from_secret_key(&secret).map_err(unfit)?;
        Ok(AuthorKey { secret, public })
    }

    /// Its public half.
    pub fn publisher(&self) -> PublisherKey {
        PublisherKey(self.public.to_base64())
    }

    /// Signs. Minisign's signatures have randomness in them: the same bytes give another signature each time, and each is good.
    pub(crate) fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, CatalogTrouble> {
        let signed = minisign::sign(
            Some(&self.public),
            &self.secret,
            Cursor::new(bytes),
            Some(comment),
            Some("camlock package"),
        );
        signed
            .map(SignatureBox::into_string)
            .map_err(|error| CatalogTrouble::unavailable(format!("it cannot be signed: {error}")))
    }
}

/// Makes a key at a path, which must be free, and its public half beside it, with `.pub` behind. Encrypted if there is a password.
pub fn generate(path: &Path, password: Option<String>) -> Result<AuthorKey, CatalogTrouble> {
    let failed = |error| CatalogTrouble::unavailable(format!("no key can be made: {error}"));
    let KeyPair { pk, sk } = match &password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password.clone())),
        None => KeyPair::generate_unencrypted_keypair(),
    }
    .map_err(failed)?;
    let text = sk.to_box(Some("camlock author's key")).map_err(failed)?.into_string();
    crate::keep::write_secret(path, text.as_bytes())?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    let public = pk.to_box().map_err(failed)?.into_string();
    fs::write(&beside, public).map_err(of_file("written", Path::new(&beside)))?;
    // In memory it is still sealed.
    AuthorKey::read(path, password)
}
