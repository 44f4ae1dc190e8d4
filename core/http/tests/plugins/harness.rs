//! A server with one plugin, and a client.

use bytes::Bytes;
use camlock_http::{Dispatch, Front, FrontOptions};
use camlock_isolate::{FencePart, Runners, Subject};
use camlock_loader::{Artifact, Loader, LoaderOptions, Staging, Verdict, Verifier, VerifierLimits, on_thread_park};
use camlock_policy::{
    Ending, GenerationStart, Granted, Grants, Instance, Isolation, Loaded, ProcessLimits, Publish, RequestLimits,
    Watch,
    routes::{MOUNTS, Serving},
};
use camlock_testing::Fixtures;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    cell::Cell,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpStream, runtime::Runtime, sync::watch};

/// A runtime as a server would make it.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_park(on_thread_park)
        .build()
        .expect("a runtime")
}

/// Runs a test's body.
pub fn run<F: Future>(body: F) -> F::Output {
    // Before the clock runs: from nothing, this takes minutes.
    Fixtures::quick();
    runtime().block_on(async {
        tokio::time::timeout(Duration::from_secs(600), body).await.expect("the test ends within ten minutes")
    })
}

/// Whether plugins are given processes of their own: the same trials, of the other mode.
pub fn isolated() -> bool {
    std::env::var_os("CAMLOCK_TEST_ISOLATED").is_some()
}

/// A generation that no other plugin of this program has.
pub fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where a test keeps what it stages, verifies and loads.
pub struct Host {
    dir: tempfile::TempDir,
    pub staging: Staging,
    pub verifier: Verifier,
    pub loader: Loader,
    /// What the last plugin that was loaded may: what it asks for, until a test decides otherwise.
    pub granted: Mutex<Granted>,
    /// What plugins ask for, in the place of what their manifests say.
    pub asks: Mutex<Option<Vec<String>>>,
    /// The bounds of processes of plugins.
    pub bounds: ProcessLimits,
    /// Changes where and how plugins are given processes of their own: to be as on another machine.
    pub alter: Cell<fn(Runners) -> Runners>,
}

impl Host {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let staging = Staging::at(dir.path().join("artifacts")).expect("a staging directory");
        let verifier = Verifier::new(dir.path().join("verdicts"), VerifierLimits::default()).expect("a verifier");
        let handle = tokio::runtime::Handle::try_current().ok();
        let loader = Loader::new(dir.path().join("run"), LoaderOptions::default(), handle).expect("a loader");
        Host {
            dir,
            staging,
            verifier,
            loader,
            granted: Mutex::default(),
            asks: Mutex::default(),
            bounds: ProcessLimits::default(),
            alter: Cell::new(|runners| runners),
        }
    }

    /// Where everything is that it keeps.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the private copies are that are mapped.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run").canonicalize().expect("the loader made it")
    }

    /// The private copies that are left.
    pub fn copies(&self) -> Vec<PathBuf> {
        let within =
            |dir: PathBuf| fs::read_dir(dir).expect("the loader made it").map(|entry| entry.expect("an entry").path());
        // Each loader has a directory of its own there.
        within(self.run_dir()).flat_map(within).filter(|path| path.is_file()).collect()
    }

    /// Stages, verifies and loads, as a server does.
    pub async fn load(&self, library: &Path) -> Loaded {
        self.load_with(library, "{}").await.expect("it can be loaded")
    }

    /// The same, with a configuration.
    pub async fn load_with(&self, library: &Path, config: &str) -> Result<Loaded, String> {
        let isolation = if isolated() { Isolation::Process } else { Isolation::None };
        self.load_so(&self.verified(library).await, config, isolation, self.alter.get()).await
    }

    /// Loads in this mode.
    pub async fn load_as(&self, library: &Path, isolation: Isolation) -> Result<Loaded, String> {
        self.load_so(&self.verified(library).await, "{}", isolation, self.alter.get()).await
    }

    /// Loads into a process of its own, on a machine that lacks this.
    pub async fn load_without(
        &self,
        library: &Path,
        absent: &[FencePart],
        require_all: bool,
    ) -> Result<Loaded, String> {
        let alter = |runners: Runners| runners.without(absent).requiring_all(require_all);
        self.load_so(&self.verified(library).await, "{}", Isolation::Process, alter).await
    }

    /// Loads into a process of its own what nobody has verified.
    pub async fn load_unverified(&self, library: &Path) -> Result<Loaded, String> {
        let artifact = self.staging.stage(library).expect("it can be staged");
        self.load_so(&artifact, "{}", Isolation::Process, self.alter.get()).await
    }

    async fn verified(&self, library: &Path) -> Artifact {
        let artifact = self.staging.stage(library).expect("it can be staged");
        let verdict = self.verifier.verify(&artifact).await.expect("a verdict");
        assert!(matches!(verdict, Verdict::Good(_)), "{verdict:?}");
        artifact
    }

    async fn load_so(
        &self,
        artifact: &Artifact,
        config: &str,
        isolation: Isolation,
        alter: impl FnOnce(Runners) -> Runners,
    ) -> Result<Loaded, String> {
        let mut manifest = artifact.sections.manifest.clone();
        if let Some(asks) = &*self.asks.lock().unwrap() {
            manifest.camlock.permissions.clone_from(asks);
        }
        let granted = Granted::new(manifest.camlock.permissions.clone(), &Grants::Asked);
        *self.granted.lock().unwrap() = granted.clone();
        let limits = self.bounds;
        let start =
            GenerationStart { generation: next_generation(), config: config.into(), granted, isolation, limits };
        if isolation == Isolation::None {
            return self.loader.load(artifact, start).await.map_err(|error| error.to_string());
        }
        let subject = Subject { manifest, digest: artifact.digest, path: artifact.path.clone() };
        let runners = Runners::new(
            self.dir.path().join("runners"),
            LoaderOptions::default().create,
            self.loader.surroundings().clone(),
            tokio::runtime::Handle::current(),
        );
        let loaded = alter(runners.expect("a place for runners")).load(&subject, start).await;
        loaded.map_err(|failure| failure.reason)
    }

    /// Loads, starts and serves.
    pub async fn serve(&self, library: &Path) -> Served {
        self.serve_as(library, RequestLimits::default(), two_threads()).await
    }

    /// The same, with these bounds.
    pub async fn serve_with(&self, library: &Path, limits: RequestLimits) -> Served {
        self.serve_as(library, limits, two_threads()).await
    }

    /// The same, by a front with these options.
    pub async fn serve_as(&self, library: &Path, limits: RequestLimits, options: FrontOptions) -> Served {
        serve_so(self.load(library).await, limits, options).await
    }

    /// Starts and serves what was loaded.
    pub async fn serve_loaded(&self, loaded: Loaded) -> Served {
        serve_so(loaded, RequestLimits::default(), two_threads()).await
    }
}

fn two_threads() -> FrontOptions {
    FrontOptions { threads: 2, ..FrontOptions::default() }
}

async fn serve_so(loaded: Loaded, limits: RequestLimits, options: FrontOptions) -> Served {
    loaded.instance.start().await.expect("it starts");
    let mount = format!("{MOUNTS}{}", loaded.instance.description().manifest.name);
    let dispatch = Dispatch::default();
    let (farewell, told) = watch::channel(false);
    let serving = Serving::of(&loaded, 1, limits, told).expect("it is alive");
    dispatch.publish(vec![serving.routed(Vec::new())]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let options = FrontOptions { on_thread_park: Some(on_thread_park), ..options };
    let front = Front::start(listener, dispatch.clone(), options).expect("a front");
    let Loaded { instance, leases, ending } = loaded;
    Served { address: front.address(), mount, instance, leases, ending, dispatch, farewell, front }
}

/// A plugin that is served.
pub struct Served {
    pub address: SocketAddr,
    pub mount: String,
    pub instance: Arc<dyn Instance>,
    pub leases: Watch,
    pub ending: watch::Receiver<Ending>,
    pub dispatch: Dispatch,
    pub farewell: watch::Sender<bool>,
    front: Front,
}

pub type Answer = Response<Bytes>;

impl Served {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.address, self.mount)
    }

    /// One request over a connection of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Response::from_parts(parts, body)
    }

    /// One request, the body still to come.
    pub async fn open<B>(&self, mut request: Request<B>) -> Response<hyper::body::Incoming>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        let path = format!("{}{}", self.mount, request.uri());
        *request.uri_mut() = path.parse().expect("a path");
        request.headers_mut().entry("host").or_insert_with(|| "plugins.test".parse().expect("a value"));
        sender.send_request(request).await.expect("a response")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Full::default()).expect("a request")).await
    }

    /// The body of a GET that succeeds, as text.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(answer.status().is_success(), "{path}: {} {body}", answer.status());
        body
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::post(path).header("content-type", content_type).body(Full::new(body.into()));
        self.send(request.expect("a request")).await
    }

    /// An HTTP/2 connection.
    pub async fn http2(&self) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("a handshake");
        tokio::spawn(connection);
        sender
    }

    /// Stops accepting, shuts the plugin down and lets go of it: what became of its library.
    pub async fn unload(self) -> Ending {
        let Served { instance, mut ending, front, dispatch, .. } = self;
        dispatch.publish(Vec::new());
        front.stop_accepting().await;
        let _ = instance.shutdown().await;
        drop(instance);
        let ended = ending.wait_for(|ending| *ending != Ending::Alive);
        let ended = tokio::time::timeout(Duration::from_secs(300), ended).await;
        match ended {
            Ok(ended) => ended.expect("the keeper tells").clone(),
            Err(_) => panic!("nothing became of it: {}", self.leases.describe_holders()),
        }
    }

    /// Unloads and expects the library to be gone.
    pub async fn unload_wholly(self) {
        let ending = self.unload().await;
        assert!(matches!(ending, Ending::Unmapped { .. }), "{ending:?}");
    }
}
