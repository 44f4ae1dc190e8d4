//! TLS to PostgreSQL: what `sslmode` and `sslrootcert` in its URL mean.
//!
//! Both mean what they mean for libpq. It differs in two things, on the safe side: a file that is named in `sslrootcert` has to be
//! there, whatever the mode; and a certificate is valid for its alternative names alone, never for its common name. What must not
//! live here: the rest of the URL, and in which order what is tried.

mod certificates;

use crate::causes::in_words;
use certificates::{Anchors, CertificateVerifier};
use rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
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
    Config,
    config::{Host, SslMode},
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
    pub(crate) fn ways(&self, config: &Config) -> &'static [SslMode] {
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

    /// What makes connections secure as this says.
    pub(crate) fn client(&self) -> Result<RustlsConnector, String> {
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

/// rustls, as the driver wants it.
#[derive(Clone)]
pub(crate) struct RustlsConnector(Arc<ClientConfig>);

pub(crate) struct ToHost {
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
pub(crate) struct TlsConnection<S>(Box<tokio_rustls::client::TlsStream<S>>);

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
