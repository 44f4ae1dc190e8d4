//! A world of fakes: entries with a script for each fingerprint, and a log of what was done to them.

mod keeping;

pub(super) use crate::script::Script;
use crate::sealer::FakeSealer;
use camlock_policy::{
    Act, Answer, Aside, BoxFuture, BuildPriority, Built, Call, Candidate, ConfigSchema, Description, Digest, Done,
    Ending, Entry, Failure, Fault, FaultKind, Fingerprint, GenerationStart, Granted, Instance, Isolation, Kept, Kind,
    Lease, Limits, LivePlugin, Loaded, Loading, Manager, Manifest, MigrationFile, Overview, PluginWork, Ports,
    Progress, Publish, Refused, Saved, Scan, Settings, Shelf, Sources, Stage, TablesNotReady, TablesReady, Use,
    manifest::{Camlock, Handover},
    routes::{Routed, Target},
    supervise,
};
use camlock_testing::MemoryRegistry;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::sync::{Semaphore, watch};

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    scripts: BTreeMap<Fingerprint, Script>,
    kept: Vec<Kept>,
    log: Vec<String>,
    trouble: Option<String>,
    routes: BTreeMap<String, Target>,
    /// What the published table has of each plugin.
    claims: BTreeMap<String, Vec<String>>,
    pinned: Vec<watch::Sender<Ending>>,
    /// The next piece of work blocks its thread, for ever.
    blocks: bool,
    blocked: Vec<BoxFuture<()>>,
    /// What the last generation of each fingerprint may.
    granted: BTreeMap<String, Granted>,
    /// Where each generation was to run.
    isolations: Vec<(u64, Isolation)>,
    /// With which each generation can be ended.
    lives: BTreeMap<u64, watch::Sender<Option<String>>>,
    /// What plugins keep cannot be removed.
    stuck: bool,
    /// What the next looks at tables come to; without, they are as they are needed.
    tables: VecDeque<Result<TablesReady, TablesNotReady>>,
    /// What it comes to that something is taken away from tables.
    contracts: VecDeque<Result<Vec<String>, Failure>>,
    sealer: Arc<FakeSealer>,
}

#[derive(Clone)]
pub(super) struct World(Arc<Mutex<State>>, watch::Sender<u64>, Arc<(Mutex<bool>, Condvar)>);

impl World {
    pub(super) fn new() -> Self {
        World(Arc::default(), watch::channel(0).0, Arc::default())
    }

    /// Where each generation was to run, in the order in which they were loaded.
    pub(super) fn isolations(&self) -> Vec<(u64, Isolation)> {
        self.state().isolations.clone()
    }

    /// Ends the process of a generation.
    pub(super) fn kill(&self, generation: u64) {
        self.state().lives[&generation].send_replace(Some("it was ended by a test".to_owned()));
    }

    /// Whether requests for a plugin wait.
    pub(super) fn holds(&self, plugin: &str) -> bool {
        matches!(self.state().routes.get(plugin), Some(Target::Held(_)))
    }

    /// Whether what was last loaded of this fingerprint may do that.
    pub(super) fn may(&self, fingerprint: &str, permission: &str) -> bool {
        self.state().granted.get(fingerprint).is_some_and(|granted| granted.has(permission))
    }

    /// What seals secrets.
    pub(super) fn fake_sealer(&self) -> Arc<FakeSealer> {
        self.state().sealer.clone()
    }

    /// What plugins keep cannot be removed from now on.
    pub(super) fn stick(&self) {
        self.state().stuck = true;
    }

    /// From now on looks at the directory do not come to an end, or do again.
    pub(super) fn hold_looks(&self, hold: bool) {
        *self.2.0.lock().unwrap() = hold;
        self.2.1.notify_all();
    }

    /// What was pinned leaves.
    pub(super) fn unpin(&self) {
        for ending in std::mem::take(&mut self.state().pinned) {
            ending.send_replace(Ending::Unmapped { forgotten: 0, left_behind: None });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, line: String) {
        self.state().log.push(line);
        self.1.send_modify(|count| *count += 1);
    }

    /// Puts an entry there, or changes it.
    pub(super) fn put(&self, name: &str, fingerprint: &str, script: Script) {
        let fingerprint = Fingerprint(format!("{name}:{fingerprint}"));
        let claims = script.claims.iter().map(|claim| (*claim).to_owned()).collect();
        let entry = Entry {
            name: name.to_owned(),
            path: name.into(),
            kind: Kind::Crate,
            fingerprint: fingerprint.clone(),
            claims,
            problem: None,
        };
        let mut state = self.state();
        state.entries.insert(name.to_owned(), entry);
        state.scripts.insert(fingerprint, script);
    }

    /// What becomes of bytes that others made.
    pub(super) fn know(&self, name: &str, fingerprint: &str, script: Script) {
        self.state().scripts.insert(Fingerprint(format!("{name}:{fingerprint}")), script);
    }

    /// Makes its manifest unreadable.
    pub(super) fn break_manifest(&self, name: &str) {
        if let Some(entry) = self.state().entries.get_mut(name) {
            entry.fingerprint = Fingerprint("broken".to_owned());
            entry.problem = Some(Failure::new(Stage::Manifest, "it is broken"));
        }
    }

    pub(super) fn remove(&self, name: &str) {
        self.state().entries.remove(name);
    }

    pub(super) fn trouble(&self, trouble: Option<&str>) {
        self.state().trouble = trouble.map(str::to_owned);
    }

    /// Changes the script of a fingerprint that may be running.
    pub(super) fn rewrite(&self, name: &str, fingerprint: &str, change: impl FnOnce(&mut Script)) {
        if let Some(script) = self.state().scripts.get_mut(&Fingerprint(format!("{name}:{fingerprint}"))) {
            change(script);
        }
    }

    fn script(&self, fingerprint: &Fingerprint) -> Script {
        self.state().scripts.get(fingerprint).cloned().unwrap_or_default()
    }

    /// What was logged since the last time.
    pub(super) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// Waits for a line of the log.
    pub(super) async fn logged(&self, line: &str) {
        let mut changes = self.1.subscribe();
        let waiting = async {
            while !self.state().log.iter().any(|logged| logged == line) {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(3600), waiting)
            .await
            .unwrap_or_else(|_| panic!("`{line}` was never logged: {:?}", self.state().log));
    }

    /// What the published table has of a plugin's claims.
    pub(super) fn claims(&self, name: &str) -> Vec<String> {
        self.state().claims.get(name).cloned().unwrap_or_default()
    }

    /// What requests for a plugin lead to.
    pub(super) fn leads_to(&self, name: &str) -> String {
        match self.state().routes.get(name) {
            None => "nothing".to_owned(),
            Some(Target::Serving(serving)) => format!("generation {}", serving.generation),
            Some(Target::Held(_)) => "held".to_owned(),
            Some(Target::Unavailable { state, .. }) => state.word().to_owned(),
        }
    }

    /// A request that takes its time: a lease on what serves.
    pub(super) fn request(&self, name: &str) -> Lease {
        match self.state().routes.get(name) {
            Some(Target::Serving(serving)) => serving.lease.share(Use::Request),
            _ => panic!("{name} does not serve"),
        }
    }

    pub(super) fn farewell(&self, name: &str) -> watch::Receiver<bool> {
        match self.state().routes.get(name) {
            Some(Target::Serving(serving)) => serving.farewell.clone(),
            _ => panic!("{name} does not serve"),
        }
    }

    fn aside(&self) -> Aside {
        let world = self.clone();
        Arc::new(move |work| {
            let mut state = world.state();
            if std::mem::take(&mut state.blocks) {
                state.blocked.push(work);
            } else {
                tokio::spawn(work);
            }
        })
    }

    pub(super) fn start(&self) -> Server {
        self.start_with(Settings { limits: limits(), ..Settings::default() })
    }

    pub(super) fn start_with(&self, settings: Settings) -> Server {
        self.start_on(&MemoryRegistry::default(), settings)
    }

    /// Starts on a registry that others may use too.
    pub(super) fn start_on(&self, registry: &MemoryRegistry, settings: Settings) -> Server {
        let ports = Ports {
            sources: Arc::new(self.clone()),
            shelf: Arc::new(self.clone()),
            loading: Arc::new(self.clone()),
            publish: Arc::new(self.clone()),
            registry: Arc::new(registry.clone()),
            exchange: Arc::new(registry.clone()),
            built_in: Vec::new(),
            work: PluginWork {
                aside: self.aside(),
                verifying: Arc::new(Semaphore::new(4)),
                loading: Arc::new(Semaphore::new(4)),
            },
            install: Some(Arc::new(self.clone())),
            keepings: Arc::new(self.clone()),
        };
        let manager = supervise(ports, settings);
        registry.listen(manager.registry_listener());
        Server { manager, world: self.clone() }
    }
}

pub(super) fn limits() -> Limits {
    Limits { panics: 3, ..Limits::default() }
}

/// A running supervisor in a world.
pub(super) struct Server {
    pub(super) manager: Manager,
    world: World,
}

impl Server {
    /// Has it look, and waits until the plugin is as told.
    pub(super) async fn until(&self, name: &str, what: impl Fn(&LivePlugin) -> bool) -> Arc<LivePlugin> {
        self.manager.look();
        let find =
            |overview: &Overview| overview.plugins.iter().find(|plugin| plugin.name == name && what(plugin)).cloned();
        let mut overview = self.manager.watch();
        let waiting = overview.wait_for(|overview| find(overview).is_some());
        let found = tokio::time::timeout(Duration::from_secs(7200), waiting).await;
        match found {
            Ok(Ok(overview)) => find(&overview).unwrap(),
            _ => panic!("{name} never came to it: {:#?}\n{:#?}", self.manager.plugin(name), self.world.taken()),
        }
    }

    /// Waits until a generation of it serves.
    pub(super) async fn serves(&self, name: &str, generation: u64) -> Arc<LivePlugin> {
        self.until(name, |plugin| plugin.serving.as_ref().is_some_and(|serving| serving.generation == generation)).await
    }

    pub(super) async fn reload(&self, name: &str) -> Result<Done, Refused> {
        self.manager.act(name, Act::Reload { force: false }).await
    }
}

impl Sources for World {
    fn scan(&self) -> Scan {
        drop(self.2.1.wait_while(self.2.0.lock().unwrap(), |held| *held).unwrap());
        let state = self.state();
        Scan { entries: state.entries.values().cloned().collect(), trouble: state.trouble.clone(), ..Scan::default() }
    }

    fn build(&self, entry: &Entry, _: BuildPriority, _: Progress) -> BoxFuture<Result<Built, Failure>> {
        struct Cancelled(World, Option<Fingerprint>);
        impl Drop for Cancelled {
            fn drop(&mut self) {
                if let Some(fingerprint) = self.1.take() {
                    self.0.log(format!("cancelled {fingerprint}"));
                }
            }
        }
        let (world, fingerprint) = (self.clone(), entry.fingerprint.clone());
        Box::pin(async move {
            world.log(format!("build {fingerprint}"));
            let mut cancelled = Cancelled(world.clone(), Some(fingerprint.clone()));
            let script = world.script(&fingerprint);
            tokio::time::sleep(script.build).await;
            assert!(!script.build_panics, "on purpose");
            cancelled.1 = None;
            let candidate = fingerprint.0.clone().into();
            match (script.build_fails, script.build_teaches) {
                (Some(failure), _) => Err(failure),
                (None, None) => Ok(Built { candidate, fingerprint }),
                (None, Some(taught)) => {
                    let name = fingerprint.0.split(':').next().unwrap_or_default();
                    let fingerprint = Fingerprint(format!("{name}:{taught}"));
                    if let Some(entry) = world.state().entries.get_mut(name) {
                        entry.fingerprint = fingerprint.clone();
                    }
                    Ok(Built { candidate, fingerprint })
                }
            }
        })
    }

    fn remove(&self, entry: &Entry) -> Result<std::path::PathBuf, Failure> {
        self.log(format!("move {}", entry.name));
        World::remove(self, &entry.name);
        Ok(format!("removed/{}", entry.name).into())
    }

    fn outside(&self) -> BTreeSet<std::path::PathBuf> {
        BTreeSet::new()
    }
}

/// Puts the entry there whose name is the path's, after a while.
impl Shelf for World {
    fn find(&self, name: &str, fingerprint: &Fingerprint) -> Option<Digest> {
        let state = self.state();
        state.kept.iter().find(|kept| kept.name == name && kept.fingerprint == *fingerprint).map(|kept| kept.digest)
    }

    fn record(&self, kept: &Kept) -> Result<(), Failure> {
        self.state().kept.insert(0, kept.clone());
        Ok(())
    }

    fn history(&self, name: &str) -> Vec<Kept> {
        self.state().kept.iter().filter(|kept| kept.name == name).cloned().collect()
    }

    fn sweep(&self, _: &dyn Fn(&str) -> usize, _: &BTreeSet<Digest>) {}
}

struct Artifact {
    world: World,
    fingerprint: Fingerprint,
    manifest: Manifest,
    migrations: Vec<MigrationFile>,
}

impl Loading for World {
    fn prepare(&self, candidate: &Path) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>> {
        let (world, fingerprint) = (self.clone(), Fingerprint(candidate.display().to_string()));
        Box::pin(async move {
            let script = world.script(&fingerprint);
            world.log(format!("verify {fingerprint}"));
            tokio::time::sleep(script.verify).await;
            let (name, _) = fingerprint.0.split_once(':').unwrap_or_default();
            let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            let version = if script.version.is_empty() { "1.0.0" } else { script.version };
            let needs = script.needs.iter().map(|(name, range)| ((*name).to_owned(), (*range).to_owned()));
            let camlock = Camlock {
                routes: strings(script.claims),
                dependencies: needs.collect(),
                permissions: strings(script.permissions),
                handover: script.quiesce.then_some(Handover::Quiesce),
                ..Camlock::default()
            };
            let manifest = Manifest {
                name: name.to_owned(),
                version: version.to_owned(),
                description: String::new(),
                authors: Vec::new(),
                license: String::new(),
                keywords: Vec::new(),
                repository: String::new(),
                documentation: String::new(),
                camlock,
            };
            let files: Vec<(&str, &[u8])> = script.migrations.iter().map(|name| (*name, &b"SELECT 1"[..])).collect();
            let migrations = camlock_policy::migrations::read(&files).expect("migrations");
            Ok(Arc::new(Artifact { world, fingerprint, manifest, migrations }) as Arc<dyn Candidate>)
        })
    }

    fn recall(&self, digest: Digest) -> BoxFuture<Result<Arc<dyn Candidate>, Failure>> {
        let fingerprint =
            self.state().scripts.keys().find(|fingerprint| Digest::of(fingerprint.0.as_bytes()) == digest).cloned();
        self.prepare(Path::new(&fingerprint.map(|fingerprint| fingerprint.0).unwrap_or_default()))
    }
}

impl Candidate for Artifact {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn digest(&self) -> Option<Digest> {
        let other = self.world.script(&self.fingerprint).bytes_of;
        let bytes = other.map(|other| format!("{}:{other}", self.manifest.name));
        Some(Digest::of(bytes.as_ref().unwrap_or(&self.fingerprint.0).as_bytes()))
    }

    fn migrations(&self) -> &[MigrationFile] {
        &self.migrations
    }

    fn schema(&self) -> Option<Arc<dyn ConfigSchema>> {
        let text = self.world.script(&self.fingerprint).schema?;
        Some(Arc::new(camlock_config::Schema::read(text).expect("a schema")))
    }

    fn stays(&self) -> Option<&str> {
        None
    }

    fn load(&self, start: GenerationStart) -> BoxFuture<Result<Loaded, Failure>> {
        let GenerationStart { generation, config, granted, isolation, .. } = start;
        self.world.state().isolations.push((generation, isolation));
        let (world, fingerprint, manifest) = (self.world.clone(), self.fingerprint.clone(), self.manifest.clone());
        Box::pin(async move {
            let script = world.script(&fingerprint);
            let with = if *config == *"{}" { String::new() } else { format!(" with {config}") };
            world.log(format!("load {fingerprint} as {generation}{with}"));
            world.state().granted.insert(fingerprint.0.clone(), granted);
            tokio::time::sleep(script.load).await;
            assert!(!script.load_panics, "on purpose");
            if script.load_fails {
                return Err(Failure::new(Stage::Load, format!("`create` failed: it does not want to{with}")));
            }
            let (ending, ended) = watch::channel(Ending::Alive);
            let (end_world, end_mark) = (world.clone(), fingerprint.clone());
            let lease = Lease::first(move || {
                if end_world.script(&end_mark).lingers {
                    end_world.state().pinned.push(ending);
                } else if end_world.script(&end_mark).pins {
                    ending.send_replace(Ending::Pinned { reason: "a thread of it still runs".to_owned() });
                    // It is never unmapped.
                    end_world.state().pinned.push(ending);
                } else {
                    end_world.log(format!("gone {end_mark} {generation}"));
                    ending.send_replace(Ending::Unmapped { forgotten: 0, left_behind: None });
                }
            });
            let leases = lease.watch();
            let description = Description { manifest, openapi: None };
            let (dies, died) = watch::channel(None);
            world.state().lives.insert(generation, dies);
            let instance = Fake { world, fingerprint, generation, description, isolation, died, lease };
            Ok(Loaded { instance: Arc::new(instance), leases, ending: ended })
        })
    }
}

struct Fake {
    world: World,
    fingerprint: Fingerprint,
    generation: u64,
    description: Description,
    isolation: Isolation,
    died: watch::Receiver<Option<String>>,
    lease: Lease,
}

impl Fake {
    fn outcome(&self, what: &str, fails: bool) -> BoxFuture<Result<(), Fault>> {
        self.world.log(format!("{what} {} {}", self.fingerprint, self.generation));
        let outcome = if fails { Err(Fault::new(FaultKind::Error, "it does not want to")) } else { Ok(()) };
        Box::pin(async move { outcome })
    }
}

impl Instance for Fake {
    fn description(&self) -> &Description {
        &self.description
    }
    fn call(&self, _: Call) -> BoxFuture<Result<Answer, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::Error, "nobody calls")) })
    }
    fn isolation(&self) -> Isolation {
        self.isolation
    }
    fn died(&self) -> BoxFuture<String> {
        let mut died = self.died.clone();
        Box::pin(async move {
            let why = died.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
            why.expect("a life is kept until it is ended")
        })
    }
    fn deliver(&self, _: Call) -> BoxFuture<Result<Answer, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::Error, "nothing is delivered")) })
    }
    fn start(&self) -> BoxFuture<Result<(), Fault>> {
        let script = self.world.script(&self.fingerprint);
        if script.start_hangs {
            let lease = self.lease.share(Use::Job);
            return Box::pin(async move {
                let _lease = lease;
                std::future::pending().await
            });
        }
        self.outcome("start", script.start_fails)
    }
    fn health(&self) -> BoxFuture<Result<(), Fault>> {
        let Script { unwell, health_hangs, .. } = self.world.script(&self.fingerprint);
        if health_hangs {
            self.world.log(format!("health of {} {} hangs", self.fingerprint, self.generation));
            self.world.state().blocks = true;
        }
        Box::pin(async move { if unwell { Err(Fault::new(FaultKind::Error, "not well")) } else { Ok(()) } })
    }
    fn save(&self) -> BoxFuture<Result<Option<Vec<u8>>, Fault>> {
        let saved = self.world.script(&self.fingerprint).saves.map(|text| text.as_bytes().to_vec());
        Box::pin(async move { Ok(saved) })
    }
    fn restore(&self, saved: Saved) -> BoxFuture<Result<(), Fault>> {
        let state = String::from_utf8_lossy(&saved.state).into_owned();
        self.outcome(&format!("restore {state} of {} into", saved.version), false)
    }
    fn configure(&self, config: Arc<str>) -> BoxFuture<Result<bool, Fault>> {
        let Script { configures, refuses_config, .. } = self.world.script(&self.fingerprint);
        self.world.log(format!("configure {} {} with {config}", self.fingerprint, self.generation));
        let refused = refuses_config.map(|why| Fault::new(FaultKind::Error, why));
        Box::pin(async move { refused.map_or(Ok(configures), Err) })
    }
    fn panics(&self) -> u64 {
        self.world.script(&self.fingerprint).panics
    }
    fn shutdown(&self) -> BoxFuture<Result<(), Fault>> {
        self.outcome("shutdown", false)
    }
}

impl Publish for World {
    fn publish(&self, plugins: Vec<Routed<Target>>) {
        self.state().claims = plugins.iter().map(|routed| (routed.name.clone(), routed.claims.clone())).collect();
        let routes = plugins.into_iter().map(|routed| (routed.name, routed.target)).collect();
        let before = std::mem::replace(&mut self.state().routes, routes);
        drop(before);
        self.1.send_modify(|count| *count += 1);
    }
}

/// The time, for kept artifacts that tests put there.
pub(super) fn kept(name: &str, fingerprint: &str) -> Kept {
    let fingerprint = Fingerprint(format!("{name}:{fingerprint}"));
    let digest = Digest::of(fingerprint.0.as_bytes());
    Kept { name: name.to_owned(), version: "1.0.0".to_owned(), fingerprint, digest, at: SystemTime::UNIX_EPOCH }
}

impl World {
    /// An artifact that was kept by an earlier process.
    pub(super) fn keep(&self, name: &str, fingerprint: &str) {
        let kept = kept(name, fingerprint);
        self.state().kept.push(kept);
    }

    /// The same bytes, for another fingerprint.
    pub(super) fn keep_as(&self, name: &str, fingerprint: &str, bytes: &str) {
        let fingerprint = Fingerprint(format!("{name}:{fingerprint}"));
        let kept = Kept { fingerprint, ..kept(name, bytes) };
        self.state().kept.push(kept);
    }
}
