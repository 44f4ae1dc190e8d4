//! `camlock serve`: everything put together, from the settings to the end.
//!
//! Two runtimes beside those that serve: `control`, which never runs plugin code, has the supervisor; `work` runs what plugins
//! ask the host to run for them.

use crate::{
    Failed,
    announce::{Opening, Voice},
    config::{Config, Flags, Profile},
    data, logs,
    record::Record,
    reports::Reports,
    shop::Shop,
};
use camlock_core::{Manager, Nudge, Sources, supervise};
use camlock_loader::{abi_version, on_thread_park};
use camlock_server::{
    About, ControlOptions, Dispatch, Front, FrontOptions, Levels, Logs, Token, control_router, serve_socket,
};
use camlock_watch::Watcher;
use clap::Args;
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::timeout,
};

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    flags: Flags,
}

/// How long connections have to end by themselves before plugins are told to.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) fn run(options: &Options) -> Result<(), Failed> {
    run_with(&Config::read(&options.flags)?, &Voice::Server)
}

/// Runs a server with these settings, which tells in this voice what becomes of its plugins.
pub(crate) fn run_with(config: &Config, voice: &Voice) -> Result<(), Failed> {
    let (kept, levels) = (Logs::default(), Levels::new(config.levels.clone()));
    let reports = Reports::begin(config)?;
    logs::begin(config, kept.clone(), &levels, &reports)?;
    let no_runtime = |error: io::Error| format!("no runtime could be made: {error}");
    let control = Builder::new_multi_thread()
        .worker_threads(2)
        // Each reads and hashes whole libraries, and builds wait in one each: a few do as much as many.
        .max_blocking_threads(16)
        .thread_name("camlock-control")
        .enable_all()
        .build()
        .map_err(no_runtime)?;
    let work = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("camlock-work")
        .on_thread_park(on_thread_park)
        .enable_all()
        .build()
        .map_err(no_runtime)?;
    let outcome = control.block_on(serve(config, voice, (kept, levels, &reports), &control, &work));
    // What a plugin left running there is not waited for.
    work.shutdown_background();
    control.shutdown_background();
    if let Err(failed) = &outcome {
        reports.failed(&failed.reason);
    }
    reports.end();
    outcome
}

async fn serve(
    config: &Config,
    voice: &Voice,
    (logs, levels, reports): (Logs, Levels, &Reports),
    control: &Runtime,
    work: &Runtime,
) -> Result<(), Failed> {
    let mut signals = Signals::new().map_err(|error| format!("signals cannot be waited for: {error}"))?;
    let data = data::open(&config.data)?;
    let token = data::admin_token(&data)?;
    reports.never_tell(&token);
    let terminal = io::stdout().is_terminal();
    let profile = config.profile.unwrap_or(if terminal { Profile::Quick } else { Profile::Release });
    let shop = Shop::open(config, &data, profile, work.handle().clone(), voice.listener())?;
    let listener = TcpListener::bind(config.listen)
        .map_err(|error| format!("{} cannot be listened on: {error} (name another with --listen)", config.listen))?;
    let dispatch = Dispatch::default();
    let address = listener.local_addr().map_err(|error| format!("the address is not known: {error}"))?;
    let record = Record::open(config, &data, address).await?;
    let opening =
        Opening { address, data: data.clone(), plugins: config.plugins.clone(), settings: config.file.clone() };
    voice.open(&opening);
    if let Some(why) = shop.builder.cannot_build() {
        println!("{why}");
    }

    let about = About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: option_env!("CAMLOCK_REVISION").map(str::to_owned),
        rustc: option_env!("CAMLOCK_RUSTC").map(str::to_owned),
        abi: abi_version(),
        built_in: shop.built_in.iter().map(|built_in| built_in.manifest().name.clone()).collect(),
    };
    let loader = shop.loader.clone();
    levels.listen(move |plugin, level| loader.set_level(plugin, level));
    let (sources, builder) = (shop.builder.clone(), shop.builder.clone());
    let registry = (record.registry(), record.exchange.clone());
    let note = record.registry();
    let installer = shop.installer.clone();
    let ports = shop.ports(Arc::new(dispatch.clone()), registry, control.handle().clone());
    let manager = supervise(ports, config.settings.clone());
    record.follow(&manager);
    control.spawn(reports.follow(manager.watch()));
    let options = ControlOptions {
        tokens: record.store.tokens(),
        archive: record.store.archive(),
        note: Arc::new(move |happened| note.note(happened)),
        about,
        blocked: dispatch.blocked_list(),
        meters: dispatch.meters(),
        install: Some(Arc::new(installer)),
        logs,
        levels,
        reconnects: record.store.reconnects(),
        ..ControlOptions::new(Token::new(token))
    };
    let router = control_router(manager.clone(), options);
    // Answered whatever the threads that serve do. Without it there is still HTTP.
    let socket = serve_socket(&data.join("control.sock"), router.clone()).await;
    if let Err(error) = &socket {
        tracing::warn!(%error, "there is no control socket");
    }
    dispatch.fall_through_to(router);
    // From here on connections are answered; those that came before have waited.
    let front = FrontOptions { on_thread_park: Some(on_thread_park), ..FrontOptions::default() };
    let front = Front::start(listener, dispatch.clone(), front)
        .map_err(|error| format!("connections cannot be served: {error}"))?;
    let watching = control.spawn(watch(config.plugins.clone(), manager.clone(), sources));
    let announcing = control.spawn(voice.clone().announce(manager.clone(), opening));

    signals.next().await;
    tracing::info!("ending; a second signal ends it at once");
    let ended = tokio::select! {
        () = end(config, front, &manager) => Ok(()),
        () = signals.next() => Err(Failed::from("ended at once, by a second signal".to_owned())),
    };
    drop(socket);
    watching.abort();
    announcing.abort();
    // However it ends, no cargo outlives it.
    let _ = spawn_blocking(move || builder.end()).await;
    if ended.is_ok() {
        record.end().await;
    }
    ended
}

/// First no new connections, and those that can end do; then the plugins.
async fn end(config: &Config, front: Front, manager: &Manager) {
    let limits = &config.settings.limits;
    let deadline = Instant::now() + limits.drain + limits.farewell;
    let mut connections = std::pin::pin!(front.end(deadline));
    if timeout(GRACE, &mut connections).await.is_ok() {
        manager.end().await;
    } else {
        tokio::join!(connections, manager.end());
    }
}

/// Has the manager look whenever something may have changed, in the plugins directory or in what its entries are made of.
async fn watch(plugins: PathBuf, manager: Manager, sources: impl Sources + Clone + 'static) {
    let nudged = manager.clone();
    let nudge = move |nudge| {
        nudged.nudge(match nudge {
            camlock_watch::Nudge::Paths(paths) => Nudge::Paths(paths),
            camlock_watch::Nudge::Everything => Nudge::Everything,
        });
    };
    let watcher = match Watcher::start(camlock_watch::Options::new(plugins), nudge) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(%error, "the plugins directory is not watched: POST /api/v1/reload has it looked at");
            return;
        }
    };
    let mut overview = manager.watch();
    let mut watched = BTreeSet::new();
    while overview.changed().await.is_ok() {
        let sources = sources.clone();
        let outside = spawn_blocking(move || sources.outside()).await.unwrap_or_default();
        if outside != watched {
            watcher.also_watch(outside.clone());
            watched = outside;
        }
    }
}

/// The signals that ask the server to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        // Where files may not grow without bound, writing beyond it shall fail as on a full disk, and not end the server. What
        // it starts knows nothing of that: a handler is not inherited.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
