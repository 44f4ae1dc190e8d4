//! A registry in memory, which serves a whole fleet. It follows the same rules as those in databases.

use camlock_policy::registry::{
    Actor, Agreed, Claim, Decision, Exchange, Happened, Newcomer, NodeId, NotDecided, Proposal, Proposed, Reading,
    Record, Registry, RegistryChange, Rollout, RolloutId, RolloutState, Served, Snapshot, Unavailable,
};
use camlock_policy::{BoxFuture, Digest, Failure, Fingerprint, Kept};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a rollout waits for a node that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Told of what changed.
type Listener = Arc<dyn Fn(RegistryChange) + Send + Sync>;

#[derive(Default)]
struct State {
    records: BTreeMap<String, Record>,
    rollouts: BTreeMap<RolloutId, (Rollout, Instant)>,
    seen: BTreeMap<(NodeId, String), Fingerprint>,
    nodes: BTreeSet<NodeId>,
    listeners: Vec<Listener>,
    built: BTreeMap<(String, Fingerprint), Digest>,
    bytes: BTreeMap<Digest, PathBuf>,
    revision: u64,
    registered: u64,
    notes: Vec<Happened>,
    /// Why it cannot be used, for tests.
    broken: Option<String>,
    /// How long it takes from a decision until that is answered, for tests.
    slow: Duration,
}

/// A registry in memory, as one node sees it. Clones for other nodes see the same.
#[derive(Clone)]
pub struct MemoryRegistry {
    node: NodeId,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for MemoryRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryRegistry").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Default for MemoryRegistry {
    fn default() -> Self {
        let memory = MemoryRegistry { node: "this".to_owned(), state: Arc::default() };
        memory.state().nodes.insert("this".to_owned());
        memory
    }
}

impl MemoryRegistry {
    /// The same registry for another node of a fleet.
    pub fn node(&self, id: &str) -> Self {
        self.state().nodes.insert(id.to_owned());
        MemoryRegistry { node: id.to_owned(), state: self.state.clone() }
    }

    /// A node is no longer waited for.
    pub fn gone(&self, id: &str) {
        self.state().nodes.remove(id);
    }

    /// Tells of every change from now on.
    pub fn listen(&self, listener: impl Fn(RegistryChange) + Send + Sync + 'static) {
        self.state().listeners.push(Arc::new(listener));
    }

    /// From now on it cannot be used, or can again.
    pub fn break_down(&self, why: Option<&str>) {
        self.state().broken = why.map(str::to_owned);
        self.tell(RegistryChange::Everything);
    }

    /// From now on decisions are answered so much later than everybody hears of them.
    pub fn slow_down(&self, slow: Duration) {
        self.state().slow = slow;
    }

    /// A record as it is now.
    pub fn record(&self, name: &str) -> Option<Record> {
        self.state().records.get(name).cloned()
    }

    /// Deletes a record, as an operator may in a database.
    pub fn delete(&self, name: &str) {
        self.state().records.remove(name);
        self.tell_of(name);
    }

    /// What was noted since the last time.
    pub fn noted(&self) -> Vec<Happened> {
        std::mem::take(&mut self.state().notes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: RegistryChange) {
        let listeners = self.state().listeners.clone();
        for listener in listeners {
            listener(change.clone());
        }
    }

    fn tell_of(&self, name: &str) {
        self.tell(RegistryChange::Plugins([name.to_owned()].into()));
    }

    /// Runs one act on the state, unless it is broken.
    fn with<T>(&self, act: impl FnOnce(&mut State, &NodeId) -> T) -> Result<T, Unavailable> {
        let mut state = self.state();
        match &state.broken {
            Some(why) => Err(Unavailable(why.clone())),
            None => Ok(act(&mut state, &self.node)),
        }
    }
}

impl State {
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Record)) -> Option<Record> {
        self.revision += 1;
        let revision = self.revision;
        let record = self.records.get_mut(name)?;
        change(record);
        record.revision = revision;
        Some(record.clone())
    }

    fn agree(&mut self, plugin: &str, agreed: &Agreed) -> Option<Record> {
        self.change(plugin, |record| record.agreed = Some(agreed.clone()))
    }

    /// Ends a rollout if its answers say so.
    fn conclude(&mut self, id: RolloutId, overdue: bool) -> RolloutState {
        let Some((rollout, _)) = self.rollouts.get_mut(&id) else {
            return RolloutState::Failed("there is no such rollout".to_owned());
        };
        if rollout.state != RolloutState::Open {
            return rollout.state.clone();
        }
        let refusal = rollout.answers.iter().find_map(|(node, answer)| Some((node, answer.as_ref().err()?)));
        if let Some((node, why)) = refusal {
            rollout.state = RolloutState::Failed(format!("{node}: {why}"));
        } else if overdue || rollout.nodes.iter().all(|node| rollout.answers.contains_key(node)) {
            rollout.state = RolloutState::Committed;
            let (plugin, agreed) = (rollout.plugin.clone(), rollout.agreed.clone());
            self.agree(&plugin, &agreed);
            return RolloutState::Committed;
        }
        rollout.state.clone()
    }
}

fn ready<T: Send + 'static>(outcome: T) -> BoxFuture<T> {
    Box::pin(std::future::ready(outcome))
}

impl Registry for MemoryRegistry {
    fn this_node(&self) -> NodeId {
        self.node.clone()
    }

    fn read(&self, reading: Reading) -> BoxFuture<Result<Snapshot, Unavailable>> {
        ready(self.with(|state, node| {
            let wanted = |name: &String| reading.names.as_ref().is_none_or(|names| names.contains(name));
            let now = Instant::now();
            let left = |deadline: Instant| u64::try_from((deadline - now).as_millis()).ok().filter(|left| *left > 0);
            let rollouts = state
                .rollouts
                .values()
                .filter(|(rollout, _)| rollout.state == RolloutState::Open || reading.rollouts.contains(&rollout.id));
            Snapshot {
                records: state.records.values().filter(|record| wanted(&record.name)).cloned().collect(),
                rollouts: rollouts
                    .map(|(rollout, deadline)| Rollout { left_ms: left(*deadline), ..rollout.clone() })
                    .collect(),
                seen: state
                    .seen
                    .iter()
                    .filter(|((whose, _), _)| whose == node)
                    .map(|((_, name), fingerprint)| (name.clone(), fingerprint.clone()))
                    .collect(),
                stale: None,
            }
        }))
    }

    fn register(&self, newcomers: Vec<Newcomer>) -> BoxFuture<Result<Vec<Record>, Unavailable>> {
        let records = self.with(|state, _| {
            let mut records = Vec::new();
            for newcomer in &newcomers {
                if state.records.get(&newcomer.name).is_none_or(|record| record.removed) {
                    state.revision += 1;
                    state.registered += 1;
                    let record = Record::of(newcomer, state.revision, state.registered);
                    state.records.insert(newcomer.name.clone(), record);
                }
                records.extend(state.records.get(&newcomer.name).cloned());
            }
            records
        });
        self.tell(RegistryChange::Plugins(newcomers.into_iter().map(|newcomer| newcomer.name).collect()));
        ready(records)
    }

    fn decide(
        &self,
        name: &str,
        decision: Decision,
        _: Actor,
        revision: Option<u64>,
    ) -> BoxFuture<Result<Record, NotDecided>> {
        let decided = self.with(|state, _| {
            let Some(before) = state.records.get(name) else { return Err(NotDecided::Unknown(name.to_owned())) };
            if revision.is_some_and(|revision| revision != before.revision) {
                return Err(NotDecided::Outdated(before.revision));
            }
            let mut after = before.clone();
            after.take(&decision);
            if after == *before {
                return Ok(after);
            }
            let changed = state.change(name, |record| *record = after);
            changed.ok_or_else(|| NotDecided::Unknown(name.to_owned()))
        });
        let decided = decided.map_err(NotDecided::from).and_then(|decided| decided);
        if decided.is_ok() {
            self.tell_of(name);
        }
        let slow = self.state().slow;
        if slow.is_zero() {
            return ready(decided);
        }
        Box::pin(async move {
            tokio::time::sleep(slow).await;
            decided
        })
    }

    fn propose(&self, proposal: Proposal) -> BoxFuture<Result<Proposed, Unavailable>> {
        let Proposal { plugin, agreed, seen, .. } = proposal;
        let proposed = self.with(|state, node| {
            let Some(record) = state.records.get(&plugin) else { return Proposed::Unknown };
            if let Some(seen) = seen {
                state.seen.insert((node.clone(), plugin.clone()), seen);
            }
            if record.agreed.as_ref().is_some_and(|there| there.digest == agreed.digest) {
                return Proposed::Agreed(Box::new(record.clone()));
            }
            let open = state.rollouts.values_mut().map(|(rollout, _)| rollout);
            let open = open.filter(|rollout| rollout.plugin == plugin && rollout.state == RolloutState::Open).last();
            if let Some(open) = open {
                if open.agreed.digest == agreed.digest {
                    open.answers.insert(node.clone(), Ok(()));
                    let id = open.id;
                    state.conclude(id, false);
                    return Proposed::Asking(Box::new(state.rollouts[&id].0.clone()));
                }
                if open.proposer != *node {
                    return Proposed::Asking(Box::new(open.clone()));
                }
                open.state = RolloutState::Failed("a newer version was proposed".to_owned());
            }
            let nodes: BTreeSet<_> = state.nodes.iter().cloned().chain([node.clone()]).collect();
            if nodes.len() == 1 {
                return state
                    .agree(&plugin, &agreed)
                    .map_or(Proposed::Unknown, |record| Proposed::Agreed(record.into()));
            }
            let id = state.rollouts.keys().last().copied().unwrap_or(0) + 1;
            let rollout = Rollout {
                id,
                plugin: plugin.clone(),
                agreed,
                proposer: node.clone(),
                nodes,
                answers: [(node.clone(), Ok(()))].into(),
                state: RolloutState::Open,
                left_ms: None,
            };
            state.rollouts.insert(id, (rollout.clone(), Instant::now() + PATIENCE));
            Proposed::Asking(Box::new(rollout))
        });
        self.tell_of(&plugin);
        self.tell(RegistryChange::Rollouts);
        ready(proposed)
    }

    fn answer(&self, id: RolloutId, answer: Result<(), String>) -> BoxFuture<Result<RolloutState, Unavailable>> {
        let state = self.with(|state, node| {
            if let Some((rollout, _)) = state.rollouts.get_mut(&id) {
                rollout.answers.insert(node.clone(), answer);
            }
            state.conclude(id, false)
        });
        self.tell(RegistryChange::Everything);
        self.tell(RegistryChange::Rollouts);
        ready(state)
    }

    fn conclude(&self, id: RolloutId) -> BoxFuture<Result<RolloutState, Unavailable>> {
        let now = Instant::now();
        let state = self.with(|state, _| {
            let overdue = state.rollouts.get(&id).is_some_and(|(_, deadline)| *deadline <= now);
            state.conclude(id, overdue)
        });
        self.tell(RegistryChange::Everything);
        self.tell(RegistryChange::Rollouts);
        ready(state)
    }

    fn report(&self, served: Vec<Served>) -> BoxFuture<Result<(), Unavailable>> {
        ready(self.with(|state, node| {
            for served in served {
                if let Some(seen) = served.seen {
                    state.seen.insert((node.clone(), served.plugin), seen);
                }
            }
        }))
    }

    fn note(&self, happened: Happened) {
        self.state().notes.push(happened);
    }
}

impl Exchange for MemoryRegistry {
    fn claim(&self, plugin: &str, fingerprint: &Fingerprint) -> BoxFuture<Result<Claim, Unavailable>> {
        ready(self.with(|state, _| {
            let built = state.built.get(&(plugin.to_owned(), fingerprint.clone()));
            match built.filter(|digest| state.bytes.contains_key(*digest)) {
                Some(digest) => Claim::Built(*digest),
                None => Claim::Build(Box::new(())),
            }
        }))
    }

    fn offer(&self, kept: &Kept, path: Option<PathBuf>) -> BoxFuture<Result<Digest, Unavailable>> {
        ready(self.with(|state, _| {
            let key = (kept.name.clone(), kept.fingerprint.clone());
            let first = state.built.get(&key).copied().filter(|first| state.bytes.contains_key(first));
            let digest = first.unwrap_or(kept.digest);
            state.built.insert(key, digest);
            if let Some(path) = path {
                state.bytes.entry(kept.digest).or_insert(path);
            }
            digest
        }))
    }

    fn fetch(&self, digest: Digest) -> BoxFuture<Result<Option<PathBuf>, Failure>> {
        let found = self.with(|state, _| state.bytes.get(&digest).cloned());
        ready(found.map_err(|why| Failure::transient(camlock_policy::Stage::Build, why.to_string())))
    }
}
