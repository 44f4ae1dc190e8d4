//! How asks of the storage and their answers are written: numbers are little-endian, and what has no fixed size has its length
//! before it. The SDK has the other side. What must not live here: what is done.

use super::{KeptKey, StorageAct, StorageChange, StorageCondition, StorageOperation, invalid};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use camlock_policy::AskError;
use std::time::Duration;

/// Text of a URL without its percent signs.
pub(super) fn decoded(text: &str) -> Result<String, AskError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or_else(|| invalid("a bad percent sign"))?;
        bytes.push(byte);
        rest = &more[2..];
    }
    String::from_utf8(bytes).map_err(|_| invalid("a key is no UTF-8"))
}

/// A parameter of a query.
pub(super) fn parameter(query: &str, name: &str) -> Result<Option<String>, AskError> {
    let found = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
    found.map(|(_, value)| decoded(value)).transpose()
}

/// A parameter that is a number.
pub(super) fn number(query: &str, name: &str) -> Result<Option<u64>, AskError> {
    let text = parameter(query, name)?;
    text.map(|text| text.parse().map_err(|_| invalid(format!("`{name}` is no number")))).transpose()
}

/// `if=absent`, `if=7`.
pub(super) fn condition(query: &str) -> Result<StorageCondition, AskError> {
    match parameter(query, "if")?.as_deref() {
        None => Ok(StorageCondition::Always),
        Some("absent") => Ok(StorageCondition::Absent),
        Some(_) => Ok(number(query, "if")?.map_or(StorageCondition::Always, StorageCondition::Revision)),
    }
}

/// What a list's key was given as, then its value.
pub(super) fn write_key(key: &KeptKey, to: &mut BytesMut) {
    put_bytes(key.key.as_bytes(), to);
    to.put_u64_le(key.revision);
    to.put_u64_le(key.size);
    to.put_u64_le(key.expires.unwrap_or(0));
    to.put_u8(key.value.is_some().into());
    if let Some(value) = &key.value {
        put_bytes(value, to);
    }
}

pub(super) fn write_change(change: &StorageChange, to: &mut BytesMut) {
    put_bytes(change.key.as_bytes(), to);
    to.put_u64_le(change.revision);
    to.put_u8(change.deleted.into());
}

fn put_bytes(bytes: &[u8], to: &mut BytesMut) {
    to.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    to.put_slice(bytes);
}

/// A batch: for each operation its sort (put, delete, check), its condition (none, absent, a revision), that revision, the
/// milliseconds after which it expires (0: never), the key, and for a put the value.
pub(super) fn read_batch(mut from: Bytes) -> Result<Vec<StorageAct>, AskError> {
    let mut acts = Vec::new();
    while !from.is_empty() {
        let broken = |_| invalid("a batch breaks off");
        let (sort, condition) = (from.try_get_u8().map_err(broken)?, from.try_get_u8().map_err(broken)?);
        let (revision, expires) = (from.try_get_u64_le().map_err(broken)?, from.try_get_u64_le().map_err(broken)?);
        let key = take_bytes(&mut from)?;
        let key = String::from_utf8(key.to_vec()).map_err(|_| invalid("a key is no UTF-8"))?;
        let operation = match sort {
            0 => {
                let value = take_bytes(&mut from)?;
                StorageOperation::Put(value, (expires > 0).then(|| Duration::from_millis(expires)))
            }
            1 => StorageOperation::Delete,
            2 => StorageOperation::Check,
            _ => return Err(invalid(format!("{sort} is no operation"))),
        };
        let condition = match condition {
            0 => StorageCondition::Always,
            1 => StorageCondition::Absent,
            2 => StorageCondition::Revision(revision),
            _ => return Err(invalid(format!("{condition} is no condition"))),
        };
        acts.push(StorageAct { key, condition, operation });
    }
    Ok(acts)
}

fn take_bytes(from: &mut Bytes) -> Result<Bytes, AskError> {
    let broken = || invalid("a batch breaks off");
    let length = from.try_get_u32_le().map_err(|_| broken())?;
    let length = usize::try_from(length).map_err(|_| broken())?;
    if from.len() < length {
        return Err(broken());
    }
    Ok(from.split_to(length))
}
