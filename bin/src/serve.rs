//! `camlock serve`: the artifacts that lie in the plugins directory at the start, served until a signal.

use camlock_core::{Ending, Loaded};
use camlock_loader::{Limits, Loader, LoaderOptions, Staging, Verdict, Verifier, on_thread_park};
use camlock_server::{Dispatch, MOUNTS, serve};
use clap::Args;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

#[derive(Args)]
pub(crate) struct Options {
    /// Where the plugins are
    #[arg(long, env = "CAMLOCK_PLUGINS", default_value = "plugins")]
    plugins: PathBuf,
    /// Where the server keeps what it needs
    #[arg(long, env = "CAMLOCK_DATA", default_value = ".camlock")]
    data: PathBuf,
    /// The address to listen on
    #[arg(long, env = "CAMLOCK_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// How long requests in progress have when the server ends.
const DRAIN: Duration = Duration::from_secs(30);

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let filter = EnvFilter::try_from_env("CAMLOCK_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(on_thread_park)
        .build()
        .map_err(|error| format!("no runtime could be made: {error}"))?;
    runtime.block_on(serve_until_signal(options))
}

async fn serve_until_signal(options: &Options) -> Result<(), String> {
    let data = private_directory(&options.data)?;
    let told = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let staging = Staging::at(data.join("artifacts")).map_err(|error| error.to_string())?;
    let verifier = Verifier::new(data.join("verdicts"), Limits::default()).map_err(told("no verdicts can be kept"))?;
    let handle = tokio::runtime::Handle::current();
    let loader = Loader::new(data.join("run"), LoaderOptions::default(), Some(handle))
        .map_err(told("no plugins can be loaded"))?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("{} cannot be listened on: {error}", options.listen))?;

    let plugins = std::path::absolute(&options.plugins).map_err(told("the plugins directory has no path"))?;
    let found = artifacts(&plugins)?;
    let mut loaded: Vec<Loaded> = Vec::new();
    for (index, path) in found.iter().enumerate() {
        let known = |name: &str| loaded.iter().any(|other| other.instance.description().manifest.name == name);
        match load(&staging, &verifier, &loader, path, index as u64 + 1).await {
            Ok(plugin) if known(&plugin.instance.description().manifest.name) => {
                tracing::error!(path = %path.display(), "not served: another artifact has the same name");
            }
            Ok(plugin) => loaded.push(plugin),
            // A bad plugin never stops the others.
            Err(reason) => tracing::error!(path = %path.display(), "not served: {reason}"),
        }
    }
    let address = listener.local_addr().map_err(told("no address"))?;
    println!("listening on http://{address}, plugins from {}, data in {}", plugins.display(), data.display());
    if found.is_empty() {
        println!("there are no plugins yet: put NAME.so files into {} and start again", plugins.display());
    }
    for plugin in &loaded {
        let manifest = &plugin.instance.description().manifest;
        println!("{:<24} {:<10} http://{address}{MOUNTS}{}/", manifest.name, manifest.version, manifest.name);
    }
    let dispatch = Dispatch::new(loaded.iter().map(|plugin| plugin.instance.clone()));
    let accepting = tokio::spawn(serve(listener, dispatch));
    wait_for_signal().await.map_err(told("signals cannot be waited for"))?;
    tracing::info!("ending");
    accepting.abort();
    let _ = accepting.await;
    for plugin in loaded {
        unload(plugin).await;
    }
    Ok(())
}

async fn wait_for_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Makes the data directory, for this user alone.
fn private_directory(path: &Path) -> Result<PathBuf, String> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| path.canonicalize()).map_err(|error| format!("{} cannot be used: {error}", path.display()))
}

/// The artifacts in a directory, by name. A directory that is not there has none.
fn artifacts(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(format!(
                "the plugins directory {} cannot be read: {error} (name another with --plugins)",
                dir.display()
            ));
        }
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(".so") && !name.starts_with(['.', '_'])
        })
        .collect();
    found.sort();
    Ok(found)
}

async fn load(
    staging: &Staging,
    verifier: &Verifier,
    loader: &Loader,
    path: &Path,
    generation: u64,
) -> Result<Loaded, String> {
    let artifact = staging.stage(path).map_err(|error| error.to_string())?;
    match verifier.verify(&artifact).await.map_err(|error| error.to_string())? {
        Verdict::Bad(reason) => return Err(reason),
        Verdict::Good(report) => {
            if let Some(reason) = report.stays {
                tracing::warn!(plugin = artifact.sections.manifest.name, "it will not be unloadable: {reason}");
            }
        }
    }
    let loaded = loader.load(&artifact, generation).await.map_err(|error| error.to_string())?;
    loaded.instance.start().await.map_err(|fault| format!("`start` failed: {fault}"))?;
    Ok(loaded)
}

async fn unload(plugin: Loaded) {
    let Loaded { instance, leases, mut ending } = plugin;
    let name = instance.description().manifest.name.clone();
    if let Err(fault) = instance.shutdown().await {
        tracing::warn!(plugin = name, "`shutdown` failed: {fault}");
    }
    drop(instance);
    let ended = tokio::time::timeout(DRAIN, ending.wait_for(|ending| *ending != Ending::Alive)).await;
    match ended {
        Ok(Ok(ending)) => tracing::info!(plugin = name, "{:?}", *ending),
        Ok(Err(_)) | Err(_) => tracing::warn!(plugin = name, "still in the process: {}", leases.told()),
    }
}
