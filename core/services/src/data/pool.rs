//! Connections that are lent out: few, so many for one plugin, and closed when nobody used them for a while.
//!
//! What must not live here: how one is opened, and what it is used for.

use super::{IDLE, IdleTime, ServiceShares, WAITING, shares::ShareTurn, too_many, unavailable};
use camlock_policy::AskError;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How long it is waited for a connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Connections of one kind. Cheap to clone.
pub(crate) struct Pool<C>(Arc<SharedPool<C>>, ServiceShares);

struct SharedPool<C> {
    runtime: Handle,
    most: usize,
    in_use: Arc<Semaphore>,
    /// Of each plugin: so that one alone cannot have them all.
    shares: Mutex<HashMap<Arc<str>, Share>>,
    resting: Mutex<Resting<C>>,
}

#[derive(Clone)]
struct Share {
    waiting: Arc<Semaphore>,
    using: Arc<Semaphore>,
}

/// Connections that nobody uses for now, those first that have rested longest.
struct Resting<C> {
    connections: Vec<(Instant, C)>,
    /// Whether somebody closes those that rest for long.
    looked_after: bool,
}

/// The right to use one connection.
pub(crate) struct PoolTurn {
    /// At the plugin's expense; settled before the next one may go on.
    share: ShareTurn,
    _permits: [OwnedSemaphorePermit; 3],
}

/// A connection in use. It goes back when it is dropped, unless it is [`spoiled`](LentConnection::spoil).
pub(crate) struct LentConnection<C: Send + 'static> {
    connection: Option<C>,
    shared: Weak<SharedPool<C>>,
    clean: bool,
    turn: PoolTurn,
}

impl<C> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Pool(self.0.clone(), self.1.clone())
    }
}

impl<C: Send + 'static> Pool<C> {
    /// At most so many, which are looked after on that runtime.
    pub(crate) fn new(most: usize, runtime: Handle) -> Self {
        let most = most.max(1);
        let shared = SharedPool {
            runtime,
            most,
            in_use: Arc::new(Semaphore::new(most)),
            shares: Mutex::default(),
            resting: Mutex::new(Resting { connections: Vec::new(), looked_after: false }),
        };
        Pool(Arc::new(shared), ServiceShares::default())
    }

    /// The same, for which plugins have these shares of time.
    pub(crate) fn with_shares(self, shares: ServiceShares) -> Self {
        Pool(self.0, shares)
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Waits until the plugin may use one.
    pub(crate) async fn turn(&self, plugin: &Arc<str>) -> Result<PoolTurn, AskError> {
        let share = self.share(plugin);
        let waiting = share.waiting.try_acquire_owned().map_err(|_| too_many())?;
        let spending = self.1.turn(plugin).await?;
        let turn = async { (share.using.acquire_owned().await, self.0.in_use.clone().acquire_owned().await) };
        match timeout(PATIENCE, turn).await.map_err(|_| unavailable("it has too much to do"))? {
            (Ok(using), Ok(in_use)) => Ok(PoolTurn { share: spending.begun(), _permits: [waiting, using, in_use] }),
            _ => Err(unavailable("it is ending")),
        }
    }

    fn share(&self, plugin: &Arc<str>) -> Share {
        let most = (self.0.most - 1).max(1);
        let new = || Share { waiting: Arc::new(Semaphore::new(WAITING)), using: Arc::new(Semaphore::new(most)) };
        self.0.shares.lock().entry(plugin.clone()).or_insert_with(new).clone()
    }

    /// One that rests and will do. If there is none, so many of the others are closed that one more may be opened.
    pub(crate) fn rested(&self, will_do: impl Fn(&C) -> bool) -> Option<C> {
        let in_use = self.0.most - self.0.in_use.available_permits();
        let mut resting = self.0.resting.lock();
        if let Some(place) = resting.connections.iter().rposition(|(_, connection)| will_do(connection)) {
            return Some(resting.connections.remove(place).1);
        }
        let too_many = (resting.connections.len() + in_use).saturating_sub(self.0.most);
        let too_many = too_many.min(resting.connections.len());
        let closed: Vec<_> = resting.connections.drain(..too_many).collect();
        drop(resting);
        self.close(closed);
        None
    }

    /// What rests and is not to be used again is closed.
    pub(crate) fn forget(&self, which: impl Fn(&C) -> bool) {
        let closed: Vec<_> = self.0.resting.lock().connections.extract_if(.., |(_, one)| which(one)).collect();
        self.close(closed);
    }

    /// Closing may take a moment, of a file.
    fn close(&self, connections: Vec<(Instant, C)>) {
        if !connections.is_empty() {
            self.0.runtime.spawn_blocking(move || drop(connections));
        }
    }

    /// Lends a connection out.
    pub(crate) fn lend(&self, turn: PoolTurn, connection: C) -> LentConnection<C> {
        LentConnection { connection: Some(connection), shared: Arc::downgrade(&self.0), clean: true, turn }
    }
}

impl<C: Send + 'static> SharedPool<C> {
    /// Keeps a connection for whoever comes next, for a while.
    fn rest(self: &Arc<Self>, connection: C) {
        let mut resting = self.resting.lock();
        resting.connections.push((Instant::now(), connection));
        if std::mem::replace(&mut resting.looked_after, true) {
            return;
        }
        let (shared, runtime) = (Arc::downgrade(self), self.runtime.clone());
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(IDLE / 4).await;
                let Some(shared) = shared.upgrade() else { return };
                let mut resting = shared.resting.lock();
                let old: Vec<_> = resting.connections.extract_if(.., |(since, _)| since.elapsed() >= IDLE).collect();
                resting.looked_after = !resting.connections.is_empty();
                let over = !resting.looked_after;
                drop(resting);
                runtime.spawn_blocking(move || drop(old));
                if over {
                    return;
                }
            }
        });
    }
}

impl<C: Send + 'static> LentConnection<C> {
    /// The connection.
    pub(crate) fn get(&mut self) -> Result<&mut C, AskError> {
        self.connection.as_mut().ok_or_else(|| unavailable("it is closed"))
    }

    /// The same, only to look at.
    pub(crate) fn peek(&self) -> Result<&C, AskError> {
        self.connection.as_ref().ok_or_else(|| unavailable("it is closed"))
    }

    /// Where whoever has it notes in which time there is nothing to do.
    pub(crate) fn idle(&self) -> IdleTime {
        self.turn.share.idle()
    }

    /// From now on something is open that would be in the next one's way: it does not go back, until it is
    /// [`restored`](LentConnection::restore).
    pub(crate) fn spoil(&mut self) {
        self.clean = false;
    }

    /// Nothing is open any more.
    pub(crate) fn restore(&mut self) {
        self.clean = true;
    }
}

impl<C: Send + 'static> Drop for LentConnection<C> {
    fn drop(&mut self) {
        if let Some((connection, shared)) = self.connection.take().filter(|_| self.clean).zip(self.shared.upgrade()) {
            shared.rest(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str) -> Arc<str> {
        name.into()
    }

    #[tokio::test]
    async fn one_plugin_never_has_them_all() {
        let pool = Pool::<u32>::new(2, Handle::current());
        let first = pool.turn(&plugin("flood")).await.unwrap();
        let second = timeout(Duration::from_millis(50), pool.turn(&plugin("flood"))).await;
        assert!(second.is_err(), "its share is used");
        let other = pool.turn(&plugin("other")).await.unwrap();
        drop(first);
        assert!(timeout(Duration::from_millis(50), pool.turn(&plugin("flood"))).await.unwrap().is_ok());
        drop(other);
    }

    #[tokio::test]
    async fn what_rests_makes_room() {
        let pool = Pool::<u32>::new(2, Handle::current());
        for number in [1, 2] {
            let turn = pool.turn(&plugin("one")).await.unwrap();
            drop(pool.lend(turn, number));
        }
        let turn = pool.turn(&plugin("one")).await.unwrap();
        assert_eq!(pool.rested(|number| *number == 1), Some(1));
        assert_eq!(pool.rested(|number| *number == 3), None);
        assert_eq!(pool.rested(|number| *number == 2), Some(2), "there was room for one more");
        drop((pool.lend(turn, 1), pool.turn(&plugin("one")).await));
        let (turn, _other) = (pool.turn(&plugin("one")).await.unwrap(), pool.turn(&plugin("other")).await.unwrap());
        assert_eq!(pool.rested(|number| *number == 3), None);
        assert_eq!(pool.rested(|_| true), None, "it was closed to make room");
        let mut lent = pool.lend(turn, 3);
        lent.spoil();
        drop(lent);
        assert_eq!(pool.rested(|_| true), None, "what is spoiled does not come back");
    }
}
