//! `camlock serve`: settings from the command line, a socket for the world, what is printed, and the end.
//!
//! What must not live here: how the parts are put together, which is `camlock-embed`'s.

use crate::{
    Failed,
    announce::{Opening, Voice},
    built_in,
    commands::doctor,
    config::{Config, Flags, Profile},
    logs,
    page_listener::PageListener,
    reports::Reports,
};
use camlock_embed::{Camlock, Dispatch, Levels, Logs, Manager, Objects, ParentLink, ParentOrder, on_thread_park};
use camlock_http::{Front, FrontOptions, connections_that_fit, raise_descriptor_limit};
use clap::Args;
use std::{
    env, fmt,
    io::{self, IsTerminal},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

#[derive(Args)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    flags: Flags,
    /// Run in this process alone: if it dies, nobody replaces it. For debuggers, and where something else starts it again
    #[arg(long)]
    no_parent: bool,
}

impl ServeOptions {
    /// Whether the server is to be the child of a parent.
    pub(crate) fn has_parent(&self) -> bool {
        !self.no_parent
    }
}

/// How long connections have to end by themselves before plugins are told to.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a server that leads to its parent by this link.
pub(crate) fn run(options: &ServeOptions, link: &ParentLink) -> Result<(), Failed> {
    run_with(&Config::read(&options.flags)?, &Voice::Server, link)
}

/// Runs one that has none.
pub(crate) fn run_alone(options: &ServeOptions) -> Result<(), Failed> {
    let link = ParentLink::alone().map_err(|error| format!("the sockets that were passed cannot be used: {error}"))?;
    run(options, &link)
}

/// Runs a server with these settings, which tells in this voice what becomes of its plugins.
pub(crate) fn run_with(config: &Config, voice: &Voice, link: &ParentLink) -> Result<(), Failed> {
    hide_environment();
    let (kept, levels) = (Logs::default(), Levels::new(config.levels.clone()));
    let reports = Reports::begin(config)?;
    logs::begin(config, kept.clone(), &levels, &reports)?;
    raise_descriptor_limit();
    // For signals and what is printed; Camlock and connections have runtimes of their own.
    let here = Builder::new_current_thread().enable_all().build();
    let here = here.map_err(|error| format!("no runtime could be made: {error}"))?;
    let outcome = here.block_on(serve(config, (voice, link), (kept, levels), &reports));
    if let Err(failed) = &outcome {
        reports.failed(&failed.reason);
    }
    reports.end();
    outcome
}

/// From here on other processes of the same user, a build script's among them, cannot read this one's environment and memory,
/// in which secrets are. Nor can debuggers, and no core is dumped: `CAMLOCK_DEBUGGABLE=1` is for those who need that.
pub(crate) fn hide_environment() {
    if env::var_os("CAMLOCK_DEBUGGABLE").is_none_or(|value| value != "1") {
        // Where it cannot be done, the environment can be read as everywhere.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
}

async fn serve(
    config: &Config,
    (voice, link): (&Voice, &ParentLink),
    (logs, levels): (Logs, Levels),
    reports: &Reports,
) -> Result<(), Failed> {
    let mut signals = Signals::new().map_err(|error| format!("signals cannot be waited for: {error}"))?;
    if let Some(tls) = &config.front.tls {
        tls.check().map_err(|trouble| Failed { code: 64, reason: format!("server.tls: {trouble}") })?;
    }
    let listener = link
        .listener("listen", &config.listen.to_string(), || TcpListener::bind(config.listen))
        .map_err(|error| format!("{} cannot be listened on: {error} (name another with --listen)", config.listen))?;
    let address = listener.local_addr().map_err(|error| format!("the address is not known: {error}"))?;
    let page = PageListener::open(config, link)?;
    let page_url = page.as_ref().map(|page| page.url.clone());
    if let Some(died) = link.died() {
        tracing::error!("the server before this one {died}; this one takes its place");
    }
    let told = camlock_embed::Options {
        levels,
        page: page_url.clone(),
        parent: link.clone(),
        ..options(config, voice, address, logs)?
    };
    if let Some(token) = &told.token {
        reports.never_tell(token);
    }
    for hidden in told.discovery.iter().flat_map(|told| [&told.token, &told.webhook_secret]).flatten() {
        reports.never_tell(hidden.text());
    }
    if let Some(key) = &told.secrets_key {
        reports.never_tell(&key.text());
    }
    let camlock = Camlock::start(told).await?;
    reports.never_tell(camlock.admin_token());
    let (dispatch, manager) = (camlock.dispatch().clone(), camlock.manager().clone());
    tokio::spawn(reports.follow(manager.watch()));
    let opening = Opening {
        address,
        scheme: if config.front.tls.is_some() { "https" } else { "http" },
        page: page_url,
        data: camlock.data().to_owned(),
        plugins: config.plugins.clone(),
        settings: config.file.clone(),
    };
    voice.open(&opening);
    if let Some(why) = camlock.cannot_build() {
        crate::screen::line(why);
    }
    // Who waits meanwhile is answered as before.
    let told_early = link.is_successor()
        && tokio::select! {
            () = camlock.serves_again(link) => false,
            () = signals.next() => true,
        };
    let front = front(config, listener, dispatch)?;
    let page = page.map(|page| page.serve(config, &camlock)).transpose()?.flatten();
    link.serving();
    let announcing = tokio::spawn(voice.clone().announce(manager.clone(), opening));

    let why = if told_early { WhyItEnds::Signal } else { why_it_ends(&mut signals, link).await };
    tracing::info!("{why}; a second signal ends it at once");
    let ended = tokio::select! {
        () = end(config, front, page, &manager) => match why {
            WhyItEnds::NoParent => Err(Failed::from(why.to_string())),
            WhyItEnds::Signal | WhyItEnds::Replaced => Ok(()),
        },
        () = signals.next() => Err(Failed::from("ended at once, by a second signal".to_owned())),
    };
    announcing.abort();
    if ended.is_ok() || why == WhyItEnds::NoParent {
        camlock.end().await;
    }
    ended
}

/// Why a server ends in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhyItEnds {
    Signal,
    Replaced,
    NoParent,
}

impl fmt::Display for WhyItEnds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            WhyItEnds::Signal => "ending",
            WhyItEnds::Replaced => "ending: the new server answers in the place of this one",
            WhyItEnds::NoParent => "ending: the parent of this process was killed, and nobody would replace it",
        })
    }
}

async fn why_it_ends(signals: &mut Signals, link: &ParentLink) -> WhyItEnds {
    loop {
        let order = tokio::select! {
            () = signals.next() => return WhyItEnds::Signal,
            order = link.order() => order,
        };
        match order {
            ParentOrder::GiveWay => return WhyItEnds::Replaced,
            ParentOrder::Gone => return WhyItEnds::NoParent,
            ParentOrder::NotReplaced(why) => {
                tracing::error!("the upgrade came to nothing, and this server goes on: {why}");
            }
        }
    }
}

/// From here on connections are answered; those that came before have waited.
fn front(config: &Config, listener: TcpListener, dispatch: Dispatch) -> Result<Front, String> {
    let fit = connections_that_fit();
    let connections = config.connections.most.unwrap_or(config.front.connections).min(fit);
    if let Some(most) = config.connections.most.filter(|most| *most > fit) {
        tracing::warn!(
            "`limits.connections` is {most}, and the limit of open descriptors has room for {fit}: there are {fit} at most \
             (raise the hard limit: `LimitNOFILE` of a unit, `ulimit -n`)"
        );
    }
    let options = FrontOptions {
        connections,
        connections_per_address: config.connections.most_per_address.unwrap_or(connections.div_ceil(2)),
        on_thread_park: Some(on_thread_park),
        ..config.front.clone()
    };
    Front::start(listener, dispatch, options).map_err(|error| format!("connections cannot be served: {error}"))
}

/// What the settings and the environment mean.
fn options(config: &Config, voice: &Voice, address: SocketAddr, logs: Logs) -> Result<camlock_embed::Options, Failed> {
    let terminal = io::stdout().is_terminal();
    let artifacts = config.artifacts.as_ref().map(|url| Objects::open(url, env::vars())).transpose();
    let artifacts = artifacts.map_err(|trouble| Failed { code: 64, reason: trouble.to_string() })?;
    Ok(camlock_embed::Options {
        builds: config.builds.clone(),
        profile: config.profile.unwrap_or(if terminal { Profile::Quick } else { Profile::Release }).into(),
        settings: config.settings.clone(),
        variables: config.variables.clone(),
        built_in: built_in::all(),
        token: env::var("CAMLOCK_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()),
        registry: config.registry.clone(),
        artifacts: artifacts.map(Arc::new),
        address: address.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: option_env!("CAMLOCK_REVISION").map(str::to_owned),
        rustc: option_env!("CAMLOCK_RUSTC").map(str::to_owned),
        logs,
        doctor: Some(doctor(config)),
        listener: voice.listener(),
        admin: config.admin.clone(),
        asks: config.services.asks,
        storage: config.services.storage,
        database: config.services.database,
        events: config.services.events.clone(),
        tasks: config.services.tasks,
        executions: config.services.executions,
        discovery: config.discovery.clone(),
        followed: config.followed.clone(),
        secrets_key: config.secrets_key.clone(),
        ..camlock_embed::Options::new(&config.plugins, &config.data)
    })
}

/// First no new connections, and those that can end do; then the plugins.
async fn end(config: &Config, front: Front, page: Option<Front>, manager: &Manager) {
    let limits = &config.settings.limits;
    let deadline = Instant::now() + limits.drain + limits.farewell;
    let page = async {
        if let Some(page) = page {
            page.end(deadline).await;
        }
    };
    let mut connections = std::pin::pin!(async { tokio::join!(front.end(deadline), page) });
    if timeout(GRACE, &mut connections).await.is_ok() {
        manager.end().await;
    } else {
        tokio::join!(connections, manager.end());
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
