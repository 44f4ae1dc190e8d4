//! Encrypted connections, with certificates made here.

use crate::{
    fake::Fake,
    server::{PATIENCE, Server},
};
use bytes::Bytes;
use camlock_http::{Dispatch, FrontOptions, TlsFiles};
use camlock_policy::Publish;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider, pki_types::CertificateDer};
use std::{
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Makes a certificate, and puts it and its key where the server looks.
fn make(files: &TlsFiles) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["plugins.test".to_owned()]).expect("a certificate");
    fs::write(&files.key, signing_key.serialize_pem()).expect("written");
    fs::write(&files.certificate, cert.pem()).expect("written");
    cert.der().clone()
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles { certificate: dir.join("certificate.pem"), key: dir.join("key.pem") }
}

async fn start(files: &TlsFiles, head: Duration) -> Server {
    let options = FrontOptions { threads: 2, tls: Some(files.clone()), head, ..FrontOptions::default() };
    let server = Server::start_with(Dispatch::default(), options).await;
    server.dispatch.publish(vec![Fake::saying("hello", 1, "hello").routed(&[])]);
    server
}

/// A connection of a client that trusts this certificate alone, and speaks these protocols.
async fn connect(
    server: &Server,
    trusted: &CertificateDer<'static>,
    alpn: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.address).await?;
    let name = "plugins.test".try_into().expect("a name");
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("a handshake")
}

#[tokio::test]
async fn both_protocols_are_spoken_and_the_better_one_is_chosen() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = files(dir.path());
    let trusted = make(&files);
    let server = start(&files, Duration::from_secs(60)).await;
    let request =
        || Request::get("https://plugins.test/api/v1/p/hello/").body(Full::<Bytes>::default()).expect("a request");

    let stream = connect(&server, &trusted, &["h2", "http/1.1"]).await.expect("it is trusted");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let answer = sender.send_request(request()).await.expect("an answer");
    assert_eq!(answer.into_body().collect().await.expect("whole").to_bytes(), "hello");

    for alpn in [&["http/1.1"][..], &[]] {
        let stream = connect(&server, &trusted, alpn).await.expect("it is trusted");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        let mut request = request();
        *request.uri_mut() = "/api/v1/p/hello/".parse().expect("a path");
        request.headers_mut().insert("host", "plugins.test".parse().expect("a value"));
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.into_body().collect().await.expect("whole").to_bytes(), "hello");
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = files(dir.path());
    let old = make(&files);
    let server = start(&files, Duration::from_secs(60)).await;
    connect(&server, &old, &[]).await.expect("it is trusted");
    // Half written, the old one goes on.
    fs::write(&files.certificate, "-----BEGIN CERTIFICATE-----\nhalf").expect("written");
    sleep(Duration::from_millis(1_500)).await;
    connect(&server, &old, &[]).await.expect("it goes on");
    let new = make(&files);
    let began = Instant::now();
    while connect(&server, &new, &[]).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "the new one is never used");
        sleep(Duration::from_millis(50)).await;
    }
    connect(&server, &old, &[]).await.expect_err("the old one is not used any more");
}

#[tokio::test]
async fn who_does_not_speak_it_is_let_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = files(dir.path());
    make(&files);
    let server = start(&files, Duration::from_millis(400)).await;
    // Nothing at all, in time.
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed");
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let good = files(dir.path());
    make(&good);
    assert_eq!(good.check(), Ok(()));
    fs::create_dir(dir.path().join("other")).expect("a directory");
    let other = files(&dir.path().join("other"));
    make(&other);
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "").expect("written");
    let missing = dir.path().join("missing.pem");
    let said = |certificate: &Path, key: &Path| {
        let files = TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        files.check().expect_err("it is not good").to_string().replace(&format!("{}/", dir.path().display()), "")
    };
    for (certificate, key, expected) in [
        (&missing, &good.key, "missing.pem cannot be read: No such file or directory (os error 2)"),
        (&good.certificate, &missing, "missing.pem cannot be read: No such file or directory (os error 2)"),
        (&empty, &good.key, "empty.pem has no certificate in it: PEM is expected"),
        (&good.certificate, &empty, "empty.pem has no private key in it: PEM is expected"),
        (&good.certificate, &other.key, "the key in other/key.pem is not that of the certificate in certificate.pem"),
    ] {
        assert_eq!(said(certificate, key), expected);
    }
}
