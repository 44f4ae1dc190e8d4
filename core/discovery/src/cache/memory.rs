//! Nothing is kept but by the service itself.

use camlock_policy::{BoxFuture, DiscoveryRecord, DiscoveryRecords, registry::Unavailable};

/// Keeps nothing: what is in memory is there until the program ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryRecords;

impl DiscoveryRecords for MemoryRecords {
    fn load(&self, _: String, _: u64) -> BoxFuture<Result<Option<DiscoveryRecord>, Unavailable>> {
        Box::pin(async { Ok(None) })
    }

    fn save(&self, record: DiscoveryRecord) -> BoxFuture<Result<u64, Unavailable>> {
        Box::pin(async move { Ok(record.revision + 1) })
    }

    fn clear(&self, _: String) -> BoxFuture<Result<(), Unavailable>> {
        Box::pin(async { Ok(()) })
    }
}
