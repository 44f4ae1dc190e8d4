//! Whether a server's certificate is accepted: by whom it was signed, and for which name.
//!
//! What must not live here: which of these a mode asks for.

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::sync::Arc;

/// Certificates that are trusted.
#[derive(Debug)]
pub(super) struct Anchors {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Anchors {
    pub(super) fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        if store.add_parsable_certificates(certificates.iter().cloned()).0 == 0 {
            return Err("none of the certificates in `sslrootcert` can be used".to_owned());
        }
        Ok(Anchors { store, certificates })
    }
}

/// Looks at a server's certificate as the mode says.
#[derive(Debug)]
pub(super) struct CertificateVerifier {
    /// Who has to have signed it; none: anybody.
    pub(super) anchors: Option<Anchors>,
    /// Whether it has to be for the name that was connected to.
    pub(super) name: bool,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(anchors) = &self.anchors {
            let parsed = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            let signed =
                verify_server_cert_signed_by_trust_anchor(&parsed, &anchors.store, intermediates, now, algorithms);
            // One that signed itself is an authority by its own word, which webpki does not take for a server; as OpenSSL does
            // it is trusted if it is itself one of those that are. Its dates were looked at before.
            let itself = || anchors.certificates.iter().any(|trusted| trusted == certificate);
            match signed {
                Err(Error::InvalidCertificate(CertificateError::Other(_))) if itself() => {}
                signed => signed?,
            }
            if self.name {
                verify_server_name(&parsed, name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
