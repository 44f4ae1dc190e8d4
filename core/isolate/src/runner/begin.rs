//! From an empty process to an instance that serves, and to its end.

use super::{
    life::{Life, ServeInstance},
    records,
    services::AskServer,
    teller::ReportSender,
    threads,
};
use crate::{
    control::{
        PACKET,
        packets::PacketJoiner,
        take_packet,
        words::{self, Beginning, Report, RunnerOrder},
    },
    link::{End, Link},
    sandbox::{self, Openings},
    sys,
};
use camlock_loader::{Loader, LoaderOptions, Staging, Surroundings};
use camlock_policy::{Ending, GenerationStart, Loaded};
use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{runtime::Runtime, sync::watch};
use tracing::Level;

/// How long the instance may take to be gone once the server has let go of it.
const LEAVING: Duration = Duration::from_millis(900);
/// How often what is counted is looked at.
const COUNTING: Duration = Duration::from_millis(250);

/// The sockets, which came as standard input and output.
struct Sockets {
    requests: UnixStream,
    control: OwnedFd,
}

impl Sockets {
    /// Takes them, and puts something harmless into their places: what a plugin prints goes to the standard error.
    fn take() -> io::Result<Self> {
        let requests = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
        let nothing = std::fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        Ok(Sockets { requests: UnixStream::from(requests), control })
    }
}

/// The server's orders.
struct OrderSocket {
    socket: OwnedFd,
    joiner: PacketJoiner,
    packet: Box<[u8; PACKET + 1]>,
}

impl OrderSocket {
    /// The next one; none when the server is gone.
    fn next(&mut self) -> Result<Option<(RunnerOrder, Vec<u8>)>, String> {
        loop {
            let packet = take_packet(&self.socket, &mut self.packet).map_err(|error| error.to_string())?;
            if packet.is_empty() {
                return Ok(None);
            }
            if let Some(message) = self.joiner.take(packet)? {
                return words::read(message).map(Some);
            }
        }
    }
}

pub(super) fn run() -> Result<(), String> {
    let in_words = |error: io::Error| error.to_string();
    let server = std::env::args().nth(1).and_then(|server| server.parse().ok());
    sys::end_with(server.ok_or("this is started by a server, and by nobody else")?);
    let Sockets { requests, control } = Sockets::take().map_err(in_words)?;
    let teller = ReportSender::new(control.try_clone().map_err(in_words)?);
    let mut orders =
        OrderSocket { socket: control, joiner: PacketJoiner::default(), packet: Box::new([0; PACKET + 1]) };
    let Some((RunnerOrder::Begin(beginning), _)) = orders.next()? else {
        return Err("the first word was not how to begin".to_owned());
    };
    let failed = |reason: String, transient| teller.tell(&Report::Failed { reason, transient }, &[]);
    // The bytes are read, and a copy for mapping is made, before anything is closed to this process; no code of the plugin runs.
    let artifact =
        Staging::at(&beginning.artifacts).and_then(|staging| staging.recall(beginning.digest, &beginning.place));
    let artifact = match artifact {
        Ok(artifact) => artifact,
        Err(error) => {
            failed(error.to_string(), true);
            return Ok(());
        }
    };
    // Before there is another thread, and before anything of the plugin's is mapped: its constructors run then.
    let mut openings = openings(&beginning, &artifact.path).brokered(&beginning.absent);
    let spaces = sandbox::enter(&openings, &beginning.hidden, &beginning.absent);
    openings.write.extend(spaces.own_dirs.iter().cloned());
    let mut fences = sandbox::close(&openings, beginning.bounds, &spaces, &beginning.absent);
    if beginning.require_all && !fences.lacking.is_empty() {
        failed(format!("it would not be held as `isolation.require` asks: {}", fences.lacking.join("; ")), false);
        return Ok(());
    }
    let told = Report::Held { process: spaces.process, lacking: fences.lacking.clone() };
    match fences.refusals.take() {
        Some(refusals) => teller.tell_with(&told, refusals.as_fd()),
        None => teller.tell(&told, &[]),
    }
    records::forward(teller.clone());
    let runtime = threads::start("camlock-serve").map_err(in_words)?;
    let life = Life::new(teller.clone(), runtime.handle().clone());
    let link = Link::begin(requests, End::Runner, Arc::new(ServeInstance::new(life.clone())), runtime.handle());
    let link = link.map_err(in_words)?;
    let loader = loader(&beginning, &link, &runtime).map_err(in_words)?;
    let loader = Arc::new(loader);
    // Nothing is granted: whatever it asks is looked up at the server, which knows.
    let begun = GenerationStart::from((beginning.generation, beginning.config.as_str()));
    let (loading, teller_of_loaded, plugin) = (loader.clone(), teller.clone(), beginning.plugin.clone());
    let (loaded_to, loaded) = watch::channel(None);
    let its_life = life.clone();
    for lacking in &fences.lacking {
        tracing::warn!("it is not wholly held: {lacking}");
    }
    runtime.spawn(async move {
        match loading.load(&artifact, begun).await {
            Ok(Loaded { instance, ending, leases: _ }) => {
                let document = instance.description().openapi.clone();
                its_life.begin(instance);
                its_life.tell_counts();
                loaded_to.send_replace(Some(ending));
                let told = Report::Ready { document: document.is_some() };
                teller_of_loaded.tell(&told, document.unwrap_or_default().as_bytes());
            }
            Err(error) => {
                let (reason, transient) = (error.to_string(), error.is_transient());
                teller_of_loaded.tell(&Report::Failed { reason, transient }, &[]);
            }
        }
    });
    let counting = life.clone();
    let count = move || loop {
        thread::sleep(COUNTING);
        counting.tell_counts();
    };
    let _ = thread::Builder::new().name("camlock-counts".to_owned()).spawn(count);
    obey(&mut orders, &life, &loader, &plugin)?;
    life.end();
    leave(&loaded, &teller);
    Ok(())
}

/// Does what the server says until it lets go.
fn obey(orders: &mut OrderSocket, life: &Arc<Life>, loader: &Loader, plugin: &str) -> Result<(), String> {
    loop {
        match orders.next()? {
            Some((RunnerOrder::Call { id, call }, tail)) => life.call(id, call, tail),
            Some((RunnerOrder::Forget { id }, _)) => life.forget(id),
            Some((RunnerOrder::Level(level), _)) => loader.set_level(plugin, Some(level_of(level))),
            Some((RunnerOrder::Close, _)) => return Ok(()),
            Some((RunnerOrder::Begin(_), _)) => return Err("it was told to begin twice".to_owned()),
            None => sys::exit_now(0),
        }
    }
}

/// Waits until the library is gone, and tells.
fn leave(loaded: &watch::Receiver<Option<watch::Receiver<Ending>>>, teller: &ReportSender) {
    let Some(mut ending) = loaded.borrow().clone() else { return };
    let deadline = std::time::Instant::now() + LEAVING;
    while std::time::Instant::now() < deadline {
        let now = ending.borrow_and_update().clone();
        match now {
            Ending::Unmapped { forgotten, left_behind } => {
                return teller.tell(&Report::Left { forgotten, left_behind }, &[]);
            }
            // What would stay in the server's process goes with this one.
            Ending::Pinned { .. } => return,
            Ending::Alive => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// What is left open: what was granted, its own directories, its artifact.
fn openings(beginning: &Beginning, artifact: &Path) -> Openings {
    let mut openings = beginning.openings.clone();
    openings.read.push(artifact.to_owned());
    openings.map.push(beginning.place.clone());
    openings.write.push(beginning.place.clone());
    openings.write.extend(beginning.dirs.as_ref().map(|dirs| dirs.join(&beginning.plugin)));
    openings
}

fn loader(beginning: &Beginning, link: &Link, runtime: &Runtime) -> io::Result<Loader> {
    let options = LoaderOptions { create: beginning.create };
    let loader = Loader::new(&beginning.place, options, Some(runtime.handle().clone()))?;
    let variables = beginning.variables.clone();
    let around = Surroundings {
        dirs: beginning.dirs.clone(),
        variables: Some(Arc::new(move |_: &str| variables.clone())),
        services: Some(Arc::new(AskServer(link.clone()))),
    };
    let loader = loader.with_surroundings(around);
    loader.set_level(&beginning.plugin, Some(level_of(beginning.level)));
    Ok(loader)
}

fn level_of(number: u8) -> Level {
    match number {
        0 | 1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    }
}
