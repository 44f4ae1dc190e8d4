//! The control socket: the host's own paths for whoever may open a file on this machine, whatever the threads that serve do.
//!
//! What must not live here: what is answered, and plugins.

use axum::Router;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::task::{JoinHandle, JoinSet};
use tower_service::Service as _;

/// Marks requests that came over the socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local;

/// So many connections at once.
const CONNECTIONS: usize = 64;

/// A socket that is answered. Dropping this ends it, and removes its file.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    /// To know the file again.
    file: Option<(u64, u64)>,
    accepting: JoinHandle<()>,
}

/// Makes a socket at this path: its file is for this user alone, and who can open it may do everything. One that nobody answers any
/// more is replaced.
pub fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        let told = format!("another server answers at {} already", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, told));
    }
    // Under another name first: nobody ever sees it open to others, or without one who answers.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{}", std::process::id()));
    let fresh = path.with_file_name(name);
    let _ = fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh)?;
    let placed = fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).and_then(|()| fs::rename(&fresh, path));
    placed.inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    Ok(listener)
}

/// Answers requests that come over a socket, whose file is at this path. It runs on the runtime that this is called on.
pub fn serve_socket(path: &Path, listener: UnixListener, router: Router) -> io::Result<ControlSocket> {
    let file = fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    Ok(ControlSocket { path: path.to_owned(), file, accepting: tokio::spawn(accept(listener, router)) })
}

impl ControlSocket {
    /// Ends it, and leaves the file to whoever answers there too.
    pub fn leave(mut self) {
        self.file = None;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        // It may be another server's by now.
        let still = fs::symlink_metadata(&self.path).is_ok_and(|found| Some((found.dev(), found.ino())) == self.file);
        if still {
            let _ = fs::remove_file(&self.path);
        }
    }
}

async fn accept(listener: tokio::net::UnixListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, router.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection to the control socket could be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: tokio::net::UnixStream, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(Local);
        router.clone().call(request)
    });
    if let Err(error) = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the control socket broke");
    }
}
