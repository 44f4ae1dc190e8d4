//! Tokens and a journal in memory, for a server without a registry. What must not live here: anything that outlives it.

use camlock_policy::{
    BoxFuture,
    registry::{
        Actor, Archive, Event, EventId, EventPage, EventQuery, Happened, NewToken, NodeView, TokenView, Tokens,
        Unavailable,
    },
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio::sync::watch;

/// So many events are remembered.
const EVENTS: usize = 10_000;

/// Tokens and a journal that end with the process. A handle; cheap to clone.
#[derive(Clone, Debug)]
pub struct InMemory {
    shared: Arc<Mutex<MemoryRecord>>,
    fresh: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct MemoryRecord {
    tokens: Vec<TokenView>,
    events: VecDeque<Event>,
    numbered: u64,
}

impl Default for InMemory {
    fn default() -> Self {
        InMemory { shared: Arc::default(), fresh: watch::channel(0).0 }
    }
}

impl InMemory {
    fn kept(&self) -> MutexGuard<'_, MemoryRecord> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what happened.
    pub fn note(&self, happened: Happened) {
        let mut kept = self.kept();
        kept.numbered += 1;
        let number = kept.numbered;
        let Happened { plugin, generation, what, by, detail, at } = happened;
        let id = EventId { transaction: 0, number };
        kept.events.push_back(Event { id, at, node: None, plugin, generation, what: what.to_owned(), by, detail });
        if kept.events.len() > EVENTS {
            kept.events.pop_front();
        }
        drop(kept);
        self.fresh.send_replace(number);
    }

    fn note_token(&self, what: &'static str, name: &str, by: Actor) {
        let detail = serde_json::json!({ "token": name });
        self.note(Happened { plugin: None, generation: None, what, by, detail, at: SystemTime::now() });
    }
}

impl Tokens for InMemory {
    fn known(&self) -> Vec<TokenView> {
        self.kept().tokens.clone()
    }

    fn create(&self, token: NewToken, by: Actor) -> BoxFuture<Result<Option<TokenView>, Unavailable>> {
        let now = SystemTime::now();
        let mut kept = self.kept();
        let holds = |known: &TokenView| {
            known.name == token.name && known.revoked.is_none() && known.expires.is_none_or(|expires| now < expires)
        };
        if kept.tokens.iter().any(holds) {
            return Box::pin(async { Ok(None) });
        }
        let NewToken { name, role, hash, expires } = token;
        let id = kept.tokens.len() as u64 + 1;
        let made = TokenView { id, name, role, hash, created: now, expires, revoked: None };
        kept.tokens.push(made.clone());
        drop(kept);
        self.note_token("token-created", &made.name, by);
        Box::pin(async { Ok(Some(made)) })
    }

    fn revoke(&self, id: u64, by: Actor) -> BoxFuture<Result<bool, Unavailable>> {
        let mut kept = self.kept();
        let Some(token) = kept.tokens.iter_mut().find(|token| token.id == id) else {
            return Box::pin(async { Ok(false) });
        };
        if token.revoked.is_none() {
            token.revoked = Some(SystemTime::now());
            let name = token.name.clone();
            drop(kept);
            self.note_token("token-revoked", &name, by);
        }
        Box::pin(async { Ok(true) })
    }
}

impl Archive for InMemory {
    fn nodes(&self) -> BoxFuture<Result<Vec<NodeView>, Unavailable>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn events(&self, query: EventQuery) -> BoxFuture<Result<EventPage, Unavailable>> {
        let kept = self.kept();
        let EventQuery { after, before, plugin, limit } = query;
        let fits = |event: &&Event| plugin.is_none() || event.plugin == plugin;
        let mut found: Vec<Event> = match after {
            Some(after) => {
                kept.events.iter().filter(|event| event.id > after).filter(fits).take(limit + 1).cloned().collect()
            }
            None => {
                let older = kept.events.iter().rev().filter(|event| before.is_none_or(|before| event.id < before));
                older.filter(fits).take(limit + 1).cloned().collect()
            }
        };
        let more = found.len() > limit;
        found.truncate(limit);
        Box::pin(async move { Ok(EventPage { events: found, more }) })
    }

    fn fresh(&self) -> watch::Receiver<u64> {
        self.fresh.subscribe()
    }
}
