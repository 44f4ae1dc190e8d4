//! PostgreSQL under TLS: what each `sslmode` accepts, with certificates that are made here.

use crate::world::*;
use camlock_store::{Store, StoreOptions, TroubleKind};
use camlock_testing::{Postgres, trial};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{fs, path::PathBuf, time::Instant};

const BOTH: &str = "host all all 127.0.0.1/32 trust";
const SECURED: &str = "hostssl all all 127.0.0.1/32 trust";
const PLAIN: &str = "hostnossl all all 127.0.0.1/32 trust";

/// A server under TLS, and two authorities, of which the first signed its certificate.
struct SecuredServer {
    postgres: Postgres,
    database: String,
    certificate: String,
    key: String,
    directory: tempfile::TempDir,
}

impl SecuredServer {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            fs::write(directory.path().join(name), issuer.pem()).unwrap();
            issuer
        };
        let (ours, _theirs) = (authority("ours"), authority("theirs"));
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ours).unwrap().pem();
        let postgres = Postgres::start();
        let database = postgres.database().rsplit('/').next().unwrap().to_owned();
        let key = key.serialize_pem();
        postgres.secure(&certificate, &key, BOTH);
        SecuredServer { postgres, database, certificate, key, directory }
    }

    fn let_in(&self, users: &str) {
        self.postgres.secure(&self.certificate, &self.key, users);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        self.postgres.url(&self.database).replace("127.0.0.1", host) + "?" + parameters
    }

    /// What comes of these parameters: `tls`, `plain`, or why nothing did.
    async fn outcome(&self, host: &str, parameters: &str) -> String {
        let node = tempfile::tempdir().unwrap();
        let url = self.url(host, parameters);
        // What was changed over there is heeded a moment later.
        let store = match Store::open(&url, StoreOptions::new(node.path())).await {
            Ok(store) => store,
            Err(trouble) => {
                assert_eq!(trouble.kind, TroubleKind::Settings, "{trouble}");
                return trouble.sentence;
            }
        };
        if let Some(trouble) = store.trouble() {
            return trouble.sentence;
        }
        let how = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE application_name = 'camlock' AND state IS NOT NULL";
        let how = self.postgres.sql(&self.postgres.local_url(&self.database), how);
        store.end().await;
        let began = Instant::now();
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'camlock'";
        while self.postgres.sql(&self.postgres.local_url(&self.database), left) != "0" {
            assert!(began.elapsed() < PATIENCE, "connections are closed");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        match how.as_str() {
            "t" => "tls".to_owned(),
            "f" => "plain".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until this comes of these parameters: the server heeds what was changed a moment later.
    async fn until(&self, parameters: &str, wanted: &str) {
        let began = Instant::now();
        loop {
            let outcome = self.outcome("127.0.0.1", parameters).await;
            if outcome.contains(wanted) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{parameters}: {outcome}, not {wanted}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[trial(with = crate::on_postgres)]
async fn what_each_mode_accepts() {
    let server = SecuredServer::new();
    let (ours, theirs) = (server.file("ours").display().to_string(), server.file("theirs").display().to_string());
    server.until("sslmode=require", "tls").await;
    // Where both are to be had.
    for (host, parameters, wanted) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), "plain"),
        ("127.0.0.1", "sslmode=allow".to_owned(), "plain"),
        ("127.0.0.1", "connect_timeout=5".to_owned(), "tls"),
        ("127.0.0.1", "sslmode=prefer".to_owned(), "tls"),
        ("127.0.0.1", "sslmode=require".to_owned(), "tls"),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ours}"), "tls"),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={}", ours.replace('/', "%2F")), "tls"),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={ours}"), "tls"),
    ] {
        assert_eq!(server.outcome(host, &parameters).await, wanted, "{parameters}");
    }
    // What is not to be trusted.
    for (host, parameters, wanted) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={ours}"), "not valid for name"),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={theirs}"), "UnknownIssuer"),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={theirs}"), "UnknownIssuer"),
        // With certificates to trust `require` looks at them, too.
        ("127.0.0.1", format!("sslmode=require&sslrootcert={theirs}"), "UnknownIssuer"),
        (
            "127.0.0.1",
            "sslmode=verify-full&sslrootcert=/nowhere".to_owned(),
            "/nowhere (`sslrootcert`) cannot be read: no",
        ),
    ] {
        let outcome = server.outcome(host, &parameters).await;
        assert!(outcome.contains(wanted), "{parameters}: {outcome}");
    }
}

#[trial(with = crate::on_postgres)]
async fn what_the_server_lets_in() {
    let server = SecuredServer::new();
    server.let_in(SECURED);
    server.until("sslmode=disable", "does not let this user in (no pg_hba.conf entry").await;
    for mode in ["allow", "prefer", "require"] {
        assert_eq!(server.outcome("127.0.0.1", &format!("sslmode={mode}")).await, "tls", "{mode}");
    }
    server.let_in(PLAIN);
    server.until("sslmode=require", "does not let this user in (no pg_hba.conf entry").await;
    for mode in ["disable", "allow", "prefer"] {
        assert_eq!(server.outcome("127.0.0.1", &format!("sslmode={mode}")).await, "plain", "{mode}");
    }
}

/// A certificate that signed itself is trusted where it is named itself, and changes are heard of under TLS too.
#[trial(with = crate::on_postgres)]
async fn a_certificate_that_signed_itself() {
    let server = SecuredServer::new();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let itself = params.self_signed(&key).unwrap().pem();
    fs::write(server.file("itself"), &itself).unwrap();
    server.postgres.secure(&itself, &key.serialize_pem(), SECURED);
    let parameters = format!("sslmode=verify-full&sslrootcert={}", server.file("itself").display());
    server.until(&parameters, "tls").await;
    let ours = format!("sslmode=verify-full&sslrootcert={}", server.file("ours").display());
    server.until(&ours, "cannot be reached with TLS").await;

    let world = World { url: server.url("127.0.0.1", &parameters), ..World::new(Kind::Postgres) };
    let node = world.open("one").await;
    node.register(&["alpha"]).await;
    node.quiet().await;
    let url = server.postgres.local_url(&server.database);
    server.postgres.sql(&url, "UPDATE camlock.plugins SET enabled = false");
    node.until_told("alpha").await;
    assert!(!node.record("alpha").await.unwrap().enabled);
}
