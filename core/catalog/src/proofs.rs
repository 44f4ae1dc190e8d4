//! What checks signatures of metadata: `ring`, which the server has for TLS already.
//!
//! `sigstore-tuf` decides what counts; it leaves the arithmetic to whom it is told.

use ring::{digest, signature};
use sigstore_crypto::{CryptoProvider, Error, HashContext, SigningScheme};
use sigstore_types::HashAlgorithm;
use std::error::Error as _;

/// Has signatures checked by this. To be called before anything is.
pub(crate) fn ready() {
    static PROOFS: Proofs = Proofs;
    // Whoever came first installed the same.
    let _ = sigstore_crypto::install_default_provider(&PROOFS);
}

/// An error with its causes, in one line.
pub(crate) fn sentence(error: &sigstore_tuf::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(more) = cause {
        told = format!("{told}: {more}");
        cause = more.source();
    }
    told.replace('\n', " ")
}

#[derive(Debug)]
struct Proofs;

struct Hashing(digest::Context);

impl HashContext for Hashing {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl CryptoProvider for Proofs {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
        let algorithm = match algorithm {
            HashAlgorithm::Sha2256 => &digest::SHA256,
            HashAlgorithm::Sha2384 => &digest::SHA384,
            HashAlgorithm::Sha2512 => &digest::SHA512,
            other => return Err(Error::UnsupportedAlgorithm(format!("{other:?}"))),
        };
        Ok(Box::new(Hashing(digest::Context::new(algorithm))))
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], sig: &[u8]) -> Result<(), Error> {
        let algorithm: &dyn signature::VerificationAlgorithm = match scheme {
            SigningScheme::Ed25519 => &signature::ED25519,
            SigningScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
            SigningScheme::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
            SigningScheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
            SigningScheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
            SigningScheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
            other => return Err(Error::UnsupportedAlgorithm(format!("{other:?}"))),
        };
        let key = signature::UnparsedPublicKey::new(algorithm, key);
        key.verify(data, sig).map_err(|_| Error::Verification("the signature does not fit".into()))
    }

    fn verify_prehashed(&self, scheme: SigningScheme, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), Error> {
        Err(Error::UnsupportedAlgorithm(format!("{scheme:?} over a digest")))
    }
}
