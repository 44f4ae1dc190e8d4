//! The port through which operators see and change the values that plugins keep. What must not live here: where they are kept.

use crate::{AskError, BoxFuture};
use bytes::Bytes;
use std::time::SystemTime;

/// A value's key, and what is known of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueEntry {
    /// The key.
    pub key: String,
    /// The revision at which it was put.
    pub revision: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When it expires.
    pub expires: Option<SystemTime>,
}

/// Which values are to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueQuery {
    /// What their keys begin with.
    pub prefix: String,
    /// Their keys come after this one.
    pub after: Option<String>,
    /// So many at most.
    pub most: usize,
}

/// What plugins keep, for operators.
pub trait KeptValues: Send + Sync {
    /// Entries in the order of their keys, and whether there are more.
    fn list(&self, plugin: &str, query: ValueQuery) -> BoxFuture<Result<(Vec<ValueEntry>, bool), AskError>>;
    /// A value and its revision.
    fn get(&self, plugin: &str, key: &str) -> BoxFuture<Result<Option<(Bytes, u64)>, AskError>>;
    /// Puts a value, or takes it away, if what is there has this revision (or in any case, without): the revision of that, 0
    /// where there was nothing to take away.
    fn set(
        &self,
        plugin: &str,
        key: &str,
        value: Option<Bytes>,
        revision: Option<u64>,
    ) -> BoxFuture<Result<u64, AskError>>;
}
