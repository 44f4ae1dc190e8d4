//! Encrypted connections: a certificate and its key, which are read again when their files change. What must not live here: where the
//! files are named.

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    net::TcpStream,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where the certificate and its key are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those that vouch for it after it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why connections cannot be encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsTrouble(String);

/// What connections are encrypted with, as the files were when they were last good.
pub(crate) struct TlsCertificate {
    files: TlsFiles,
    version: ArcSwap<FileVersions>,
    config: ArcSwap<ServerConfig>,
}

/// By what a file is known to have changed: when, how long it is, and which one it is.
type FileVersions = [Option<(SystemTime, u64, u64)>; 2];

impl TlsFiles {
    /// Checks that the files are good, and says what is wrong with them if not.
    pub fn check(&self) -> Result<(), TlsTrouble> {
        self.read().map(drop)
    }

    pub(crate) fn load(self) -> Result<TlsCertificate, TlsTrouble> {
        // Looked at before they are read: what is written meanwhile is a change.
        let version = self.versions();
        let config = self.read()?;
        Ok(TlsCertificate {
            version: ArcSwap::from_pointee(version),
            config: ArcSwap::from_pointee(config),
            files: self,
        })
    }

    fn read(&self) -> Result<ServerConfig, TlsTrouble> {
        let certificate = self.certificate.display();
        let certificates = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable("certificate", &self.certificate, &error))?;
        if certificates.is_empty() {
            return Err(TlsTrouble(format!("{certificate} has no certificate in it: PEM is expected")));
        }
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unreadable("private key", &self.key, &error))?;
        let builder =
            ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| TlsTrouble(format!("TLS cannot be used: {error}")))?;
        let mut config = builder.with_no_client_auth().with_single_cert(certificates, key).map_err(|error| {
            TlsTrouble(match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("the key in {} is not that of the certificate in {certificate}", self.key.display())
                }
                error => format!("the certificate in {certificate} cannot be used: {error}"),
            })
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn versions(&self) -> FileVersions {
        use std::os::unix::fs::MetadataExt;
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len(), file.ino()))
        })
    }
}

fn unreadable(what: &str, path: &Path, error: &pem::Error) -> TlsTrouble {
    TlsTrouble(match error {
        pem::Error::Io(error) => format!("{} cannot be read: {error}", path.display()),
        pem::Error::NoItemsFound => format!("{} has no {what} in it: PEM is expected", path.display()),
        error => format!("{} is no good PEM file: {error:?}", path.display()),
    })
}

impl TlsCertificate {
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }

    /// Reads the files again whenever they change, for as long as this is polled. With files that are no good, for they are half
    /// written perhaps, the certificate from before is used on.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let this = self.clone();
            let _ = spawn_blocking(move || this.look()).await;
        }
    }

    fn look(&self) {
        let version = self.files.versions();
        if version == **self.version.load() {
            return;
        }
        self.version.store(Arc::new(version));
        match self.files.read() {
            Ok(config) => {
                self.config.store(Arc::new(config));
                tracing::info!(certificate = %self.files.certificate.display(), "the certificate was read again");
            }
            Err(trouble) => tracing::error!("the certificate from before is used on: {trouble}"),
        }
    }
}

impl fmt::Debug for TlsCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("TlsCertificate").field(&self.files).finish()
    }
}
