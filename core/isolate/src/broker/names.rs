//! Names, looked up by the server for a plugin, and which addresses they were found to lead to.

use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::Duration,
};
use tokio::{sync::Semaphore, time::Instant};

/// So long an answer is good enough.
const FRESH: Duration = Duration::from_secs(5);
/// So long an address is known to be a name's.
const KNOWN: Duration = Duration::from_secs(3600);
/// More are forgotten, and have to be looked up anew.
const MOST: usize = 4096;
/// So many are looked up at once: each takes a thread of those that may block.
const AT_ONCE: usize = 4;
/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found for one plugin.
pub(super) struct FoundNames {
    found: Mutex<FoundInner>,
    looking: Semaphore,
}

#[derive(Default)]
struct FoundInner {
    /// When a name led to an address last.
    leading: BTreeMap<(IpAddr, String), Instant>,
    fresh: HashMap<String, (Instant, Vec<IpAddr>)>,
}

impl Default for FoundNames {
    fn default() -> Self {
        FoundNames { found: Mutex::default(), looking: Semaphore::new(AT_ONCE) }
    }
}

impl FoundNames {
    /// The names that are known to lead there.
    pub(super) fn of(&self, address: IpAddr) -> Vec<String> {
        let found = self.found.lock();
        let from = found.leading.range((address, String::new())..);
        let there = from.take_while(|((one, _), _)| *one == address);
        there.filter(|(_, at)| at.elapsed() < KNOWN).map(|((_, name), _)| name.clone()).collect()
    }

    /// Looks a name up, and remembers where it leads.
    pub(super) async fn look_up(&self, name: &str) -> Vec<IpAddr> {
        let fresh = |found: &FoundInner| found.fresh.get(name).filter(|(at, _)| at.elapsed() < FRESH).cloned();
        if let Some((_, addresses)) = fresh(&self.found.lock()) {
            return addresses;
        }
        let Ok(_one_of_few) = self.looking.acquire().await else { return Vec::new() };
        if let Some((_, addresses)) = fresh(&self.found.lock()) {
            return addresses;
        }
        let looked_up = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, 0))).await;
        let mut addresses: Vec<IpAddr> = match looked_up {
            Ok(Ok(found)) => found.map(|address| address.ip().to_canonical()).collect(),
            _ => Vec::new(),
        };
        addresses.dedup();
        let (mut found, now) = (self.found.lock(), Instant::now());
        if found.leading.len() > MOST || found.fresh.len() > MOST {
            *found = FoundInner::default();
        }
        for address in &addresses {
            found.leading.insert((*address, name.to_owned()), now);
        }
        found.fresh.insert(name.to_owned(), (now, addresses.clone()));
        addresses
    }
}
