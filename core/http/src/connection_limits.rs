//! How many connections there may be, in all and from one address. What must not live here: what is done with those beyond.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Counts connections, upgraded ones too. A handle; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits(Arc<ConnectionCounts>);

#[derive(Debug)]
struct ConnectionCounts {
    most: usize,
    most_per_address: usize,
    all: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    counts: Arc<ConnectionCounts>,
    network: IpAddr,
}

impl ConnectionLimits {
    pub(crate) fn new(most: usize, most_per_address: usize) -> Self {
        ConnectionLimits(Arc::new(ConnectionCounts {
            most,
            most_per_address,
            all: AtomicUsize::new(0),
            by_address: Mutex::default(),
        }))
    }

    /// There are as many connections as there may be.
    pub(crate) fn is_full(&self) -> bool {
        self.0.all.load(Ordering::Relaxed) >= self.0.most
    }

    /// Counts a connection, unless its address has as many as it may have.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<ConnectionPermit> {
        let network = network(address);
        let mut by_address = self.0.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(network).or_default();
        if *count >= self.0.most_per_address {
            return None;
        }
        *count += 1;
        self.0.all.fetch_add(1, Ordering::Relaxed);
        Some(ConnectionPermit { counts: self.0.clone(), network })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut by_address = self.counts.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.network);
            }
        }
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever has one IPv6 address has the 2⁶⁴ of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let limits = ConnectionLimits::new(3, 2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = limits.admit(address("2001:db8::1")).expect("room");
        let second = limits.admit(address("2001:db8::2")).expect("room");
        assert!(limits.admit(address("2001:db8::3")).is_none(), "the same network");
        assert!(!limits.is_full());
        let third = limits.admit(address("192.0.2.1")).expect("another address");
        assert!(limits.is_full());
        drop(first);
        assert!(!limits.is_full());
        let fourth = limits.admit(address("2001:db8::3")).expect("room again");
        drop((second, third, fourth));
        assert!(limits.0.by_address.lock().unwrap().is_empty());
        // An IPv4 address is the same one in either spelling.
        let _four = [limits.admit(address("192.0.2.7")), limits.admit(address("::ffff:192.0.2.7"))];
        assert!(limits.admit(address("192.0.2.7")).is_none());
    }
}
