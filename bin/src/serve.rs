//! `camlock serve`: the artifacts that lie in the plugins directory at the start, served until a signal.

use crate::{
    Failed,
    config::{Config, Flags},
    data, logs,
};
use camlock_core::{
    Ending, Loaded, Publish, RequestLimits,
    routes::{MOUNTS, Serving},
};
use camlock_loader::{Limits, Loader, LoaderOptions, Staging, Verdict, Verifier, on_thread_park};
use camlock_server::{Dispatch, Front, FrontOptions};
use clap::Args;
use std::{
    io,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout_at},
};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    flags: Flags,
}

/// How long requests in progress have when the server ends.
const DRAIN: Duration = Duration::from_secs(30);
/// How long a plugin's `start`, and its `shutdown`, may take.
const START: Duration = Duration::from_secs(10);

pub(crate) fn run(options: &Options) -> Result<(), Failed> {
    let config = Config::read(&options.flags)?;
    logs::begin(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(on_thread_park)
        .build()
        .map_err(|error| Failed::from(format!("no runtime could be made: {error}")))?;
    runtime.block_on(serve_until_signal(&config)).map_err(Failed::from)
}

async fn serve_until_signal(config: &Config) -> Result<(), String> {
    let data = data::open(&config.data)?;
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let staging = Staging::at(data.join("artifacts")).map_err(|error| error.to_string())?;
    let verifier = Verifier::new(data.join("verdicts"), Limits::default()).map_err(told("no verdicts can be kept"))?;
    let handle = tokio::runtime::Handle::current();
    let loader = Loader::new(data.join("run"), LoaderOptions::default(), Some(handle))
        .map_err(told("no plugins can be loaded"))?;
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("{} cannot be listened on: {error}", config.listen))?;
    let address = listener.local_addr().map_err(told("no address"))?;
    let plugins = std::path::absolute(&config.plugins).map_err(told("the plugins directory has no path"))?;
    let found = artifacts(&plugins)?;
    println!("listening on http://{address}, plugins from {}, data in {}", plugins.display(), data.display());
    if found.is_empty() {
        println!("there are no plugins yet: put NAME.so files into {} and start again", plugins.display());
    }

    // Requests are answered, and signals obeyed, while plugins are still being verified.
    let dispatch = Dispatch::default();
    let listener = listener.into_std().map_err(told("connections cannot be accepted"))?;
    let front = FrontOptions { on_thread_park: Some(on_thread_park), ..FrontOptions::default() };
    let front = Front::start(listener, dispatch.clone(), front).map_err(told("connections cannot be served"))?;
    let mut server = Server { staging, verifier, loader, dispatch, served: Vec::new() };
    let mut ended = pin!(wait_for_signal());
    for path in &found {
        tokio::select! {
            outcome = &mut ended => {
                outcome.map_err(told("signals cannot be waited for"))?;
                return server.end(front).await;
            }
            // A bad plugin never stops the others.
            added = server.add(path) => match added {
                Ok(line) => println!("{line:<36} http://{address}{}", server.mount_of_last()),
                Err(reason) => tracing::error!(path = %path.display(), "not served: {reason}"),
            },
        }
    }
    ended.await.map_err(told("signals cannot be waited for"))?;
    server.end(front).await
}

/// What is served, and what it takes to serve more.
struct Server {
    staging: Staging,
    verifier: Verifier,
    loader: Loader,
    dispatch: Dispatch,
    served: Vec<Served>,
}

struct Served {
    path: PathBuf,
    loaded: Loaded,
}

impl Served {
    fn name(&self) -> &str {
        &self.loaded.instance.description().manifest.name
    }
}

impl Server {
    /// Stages, verifies, loads, starts and serves one artifact; its name and version.
    async fn add(&mut self, path: &Path) -> Result<String, String> {
        let artifact = self.staging.stage(path).map_err(|error| error.to_string())?;
        let manifest = &artifact.sections.manifest;
        if let Some(other) = self.served.iter().find(|other| other.name() == manifest.name) {
            return Err(format!("{} is named `{}` too, and is served", other.path.display(), manifest.name));
        }
        match self.verifier.verify(&artifact).await.map_err(|error| error.to_string())? {
            Verdict::Bad(reason) => return Err(reason),
            Verdict::Good(report) => {
                if let Some(reason) = report.stays {
                    tracing::warn!(plugin = manifest.name, "it will not be unloadable: {reason}");
                }
            }
        }
        let generation = self.served.len() as u64 + 1;
        let loaded = self.loader.load(&artifact, generation).await.map_err(|error| error.to_string())?;
        match tokio::time::timeout(START, loaded.instance.start()).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => return Err(format!("`start` failed: {fault}")),
            Err(_) => return Err(format!("`start` did not come to an end within {} s", START.as_secs())),
        }
        self.served.push(Served { path: path.to_owned(), loaded });
        let served = self.served.iter().enumerate().filter_map(|(index, served)| {
            let farewell = tokio::sync::watch::channel(false).1;
            Serving::of(&served.loaded, index as u64 + 1, RequestLimits::default(), farewell)
        });
        self.dispatch.publish(served.map(|serving| serving.routed(Vec::new())).collect());
        Ok(format!("{} {}", manifest.name, manifest.version))
    }

    fn mount_of_last(&self) -> String {
        self.served.last().map_or_else(String::new, |served| format!("{MOUNTS}{}/", served.name()))
    }

    /// Takes all plugins off the table, lets their requests end, and lets go of them, the last one first.
    async fn end(self, front: Front) -> Result<(), String> {
        tracing::info!("ending");
        front.stop_accepting().await;
        self.dispatch.publish(Vec::new());
        let deadline = Instant::now() + DRAIN;
        for served in self.served.into_iter().rev() {
            unload(served.loaded, deadline).await;
        }
        front.end(Instant::now().into_std() + Duration::from_secs(1)).await;
        Ok(())
    }
}

async fn wait_for_signal() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
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

async fn unload(plugin: Loaded, deadline: Instant) {
    let Loaded { instance, leases, mut ending } = plugin;
    let name = instance.description().manifest.name.clone();
    if timeout_at(deadline, leases.drained()).await.is_err() {
        tracing::warn!(plugin = name, "it is shut down although {}", leases.told());
    }
    match timeout_at(Instant::now() + START, instance.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::warn!(plugin = name, "`shutdown` failed: {fault}"),
        Err(_) => tracing::warn!(plugin = name, "`shutdown` did not come to an end within {} s", START.as_secs()),
    }
    drop(instance);
    let patience = deadline.max(Instant::now() + Duration::from_secs(1));
    let ended = timeout_at(patience, ending.wait_for(|ending| *ending != Ending::Alive)).await;
    match ended.map(|ended| ended.map(|ending| ending.clone())) {
        Ok(Ok(Ending::Pinned { reason })) => tracing::warn!(plugin = name, "not unloaded: {reason}"),
        Ok(_) => tracing::info!(plugin = name, "unloaded"),
        Err(_) => tracing::warn!(plugin = name, "not unloaded: {}", leases.told()),
    }
}
