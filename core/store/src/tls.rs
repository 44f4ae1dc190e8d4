//! TLS to PostgreSQL: what `sslmode` and `sslrootcert` in its URL mean, and connecting by it.
//!
//! Both mean what they mean for libpq. It differs in two things, on the safe side: a file that is named in `sslrootcert` has to be
//! there, whatever the mode; and a certificate is valid for its alternative names alone, never for its common name. What must not
//! live here: the rest of the URL.

use crate::{Trouble, TroubleKind, address::Address, causes::in_words};
use diesel_async::AsyncPgConnection;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use std::{
    env, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode},
    error::SqlState,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};

/// How a connection is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    mode: TlsMode,
    roots: TlsRoots,
}

/// `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// `sslrootcert`: whose certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TlsRoots {
    /// Those in `~/.postgresql/root.crt`, if it is there.
    Default,
    /// Those in this file.
    File(PathBuf),
    /// Those of the operating system.
    System,
}

const MODES: [(&str, TlsMode); 6] = [
    ("disable", TlsMode::Disable),
    ("allow", TlsMode::Allow),
    ("prefer", TlsMode::Prefer),
    ("require", TlsMode::Require),
    ("verify-ca", TlsMode::VerifyCa),
    ("verify-full", TlsMode::VerifyFull),
];

impl TlsSettings {
    /// What these two parameters of a URL say.
    pub(crate) fn parse(mode: Option<&str>, roots: Option<&str>) -> Result<Self, String> {
        let roots = match roots {
            None | Some("") => TlsRoots::Default,
            Some("system") => TlsRoots::System,
            Some(file) => TlsRoots::File(file.into()),
        };
        let mode = match mode {
            None if roots == TlsRoots::System => TlsMode::VerifyFull,
            None | Some("") => TlsMode::Prefer,
            Some(word) => match MODES.iter().find(|(known, _)| *known == word) {
                Some((_, mode)) => *mode,
                None => return Err(format!("`sslmode` is one of {}", MODES.map(|(word, _)| word).join(", "))),
            },
        };
        if roots == TlsRoots::System && mode != TlsMode::VerifyFull {
            // Anybody can have a certificate of some name that the system trusts.
            return Err("`sslrootcert=system` is of use with `sslmode=verify-full` alone".to_owned());
        }
        Ok(TlsSettings { mode, roots })
    }

    /// How to try to connect, one way after the other.
    fn ways(&self, config: &Config) -> &'static [SslMode] {
        if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) {
            return &[SslMode::Disable];
        }
        match self.mode {
            TlsMode::Disable => &[SslMode::Disable],
            TlsMode::Allow => &[SslMode::Disable, SslMode::Require],
            TlsMode::Prefer => &[SslMode::Prefer, SslMode::Disable],
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => &[SslMode::Require],
        }
    }

    /// The certificates that are trusted; none if none have to be. They are read for each connection, and so may be renewed.
    fn trusted(&self) -> Result<Option<Vec<CertificateDer<'static>>>, String> {
        let verify = matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
        let file = match &self.roots {
            TlsRoots::System => {
                let found = rustls_native_certs::load_native_certs();
                let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
                let none = format!("the system has no certificates of authorities{why}; name a file in `sslrootcert`");
                return if found.certs.is_empty() { Err(none) } else { Ok(Some(found.certs)) };
            }
            TlsRoots::File(file) => file.clone(),
            TlsRoots::Default => {
                let home = env::var_os("HOME").map(PathBuf::from);
                match home.map(|home| home.join(".postgresql/root.crt")).filter(|file| file.exists()) {
                    Some(file) => file,
                    None if verify => {
                        return Err(
                            "`sslmode=verify-ca` and `verify-full` need certificates to trust; name a file in \
                             `sslrootcert`, or use `sslrootcert=system`"
                                .to_owned(),
                        );
                    }
                    None => return Ok(None),
                }
            }
        };
        read_certificates(&file).map(Some)
    }

    fn client(&self) -> Result<RustlsConnector, String> {
        let provider = Arc::new(ring::default_provider());
        let trusted = self.trusted()?;
        let verifier = CertificateVerifier {
            anchors: trusted.map(Anchors::of).transpose()?,
            name: self.mode == TlsMode::VerifyFull,
            provider,
        };
        let config =
            ClientConfig::builder_with_provider(verifier.provider.clone()).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?.dangerous();
        let mut config = config.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(RustlsConnector(Arc::new(config)))
    }
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |why: String| format!("the certificates in {} (`sslrootcert`) cannot be read: {why}", file.display());
    let text = std::fs::read(file).map_err(|error| told(in_words(&error)))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| told(error.to_string()))?;
    if certificates.is_empty() {
        return Err(told("there are none in it, in PEM".to_owned()));
    }
    Ok(certificates)
}

/// Connects, one way after the other as far as the mode has another one.
pub(crate) async fn connect(
    address: &Address,
    config: &Config,
    settings: &TlsSettings,
) -> Result<AsyncPgConnection, Trouble> {
    let mut before: Option<tokio_postgres::Error> = None;
    for way in settings.ways(config) {
        let mut config = config.clone();
        config.ssl_mode(*way);
        let failed = match way {
            SslMode::Disable => match config.connect(NoTls).await {
                Ok((client, driver)) => {
                    return usable(address, AsyncPgConnection::try_from_client_and_connection(client, driver).await);
                }
                Err(failed) => failed,
            },
            _ => {
                let client = settings.client();
                let client = client.map_err(|why| {
                    Trouble::new(TroubleKind::Settings, format!("{address} cannot be reached: {why}"))
                })?;
                match config.connect(client).await {
                    Ok((client, driver)) => {
                        return usable(
                            address,
                            AsyncPgConnection::try_from_client_and_connection(client, driver).await,
                        );
                    }
                    Err(failed) => failed,
                }
            }
        };
        match &before {
            None if may_be_otherwise(&failed) => before = Some(failed),
            // Of two the first says more, unless the second got further.
            Some(first) if may_be_otherwise(&failed) => return Err(Trouble::of_connecting(address, first)),
            _ => return Err(Trouble::of_connecting(address, &failed)),
        }
    }
    let none = || Trouble::passing(format!("{address} cannot be reached"));
    Err(before.map_or_else(none, |failed| Trouble::of_connecting(address, &failed)))
}

fn usable(
    address: &Address,
    opened: diesel::ConnectionResult<AsyncPgConnection>,
) -> Result<AsyncPgConnection, Trouble> {
    opened.map_err(|error| Trouble::passing(format!("{address} cannot be used ({error})")))
}

/// Whether it may succeed with TLS where it failed without, or the other way round.
fn may_be_otherwise(failed: &tokio_postgres::Error) -> bool {
    match failed.as_db_error() {
        Some(refusal) => *refusal.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => is_of_tls(failed),
    }
}

/// Whether it is about TLS that nothing came of a connection.
pub(crate) fn is_of_tls(failed: &tokio_postgres::Error) -> bool {
    failed.to_string().contains("TLS handshake")
}

/// Certificates that are trusted.
#[derive(Debug)]
struct Anchors {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Anchors {
    fn of(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        if store.add_parsable_certificates(certificates.iter().cloned()).0 == 0 {
            return Err("none of the certificates in `sslrootcert` can be used".to_owned());
        }
        Ok(Anchors { store, certificates })
    }
}

/// Looks at a server's certificate as the mode says.
#[derive(Debug)]
struct CertificateVerifier {
    /// Who has to have signed it; none: anybody.
    anchors: Option<Anchors>,
    /// Whether it has to be for the name that was connected to.
    name: bool,
    provider: Arc<CryptoProvider>,
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

/// rustls, as the driver wants it.
#[derive(Clone)]
struct RustlsConnector(Arc<ClientConfig>);

struct ToHost {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for RustlsConnector {
    type Stream = TlsConnection<S>;
    type TlsConnect = ToHost;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<ToHost> {
        // A socket of this machine has no name, and no TLS.
        let host = if host.is_empty() { "localhost" } else { host };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(ToHost { config: self.0.clone(), name })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for ToHost {
    type Stream = TlsConnection<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsConnection<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = tokio_rustls::TlsConnector::from(self.config).connect(self.name, stream);
        Box::pin(async move { connecting.await.map(|stream| TlsConnection(Box::new(stream))) })
    }
}

/// A connection under TLS.
struct TlsConnection<S>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for TlsConnection<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsConnection<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, to)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsConnection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
