//! How orders and replies are written: the other half of the host's. Pure.

use super::SqlValue;
use crate::{HostError, HostErrorCode};
use bytes::{Buf, BufMut, Bytes, BytesMut};

pub(super) fn invalid(words: impl Into<String>) -> HostError {
    HostError::new(HostErrorCode::Invalid, words)
}

fn garbled() -> HostError {
    HostError::new(HostErrorCode::Unavailable, "the host's answer makes no sense")
}

/// An order that is a word: `B`, `C` or `R`.
pub(super) fn command(kind: u8) -> Bytes {
    Bytes::copy_from_slice(&[1, 0, 0, 0, kind])
}

/// A task, as JSON.
pub(super) fn task(written: &[u8]) -> Bytes {
    let mut order = BytesMut::with_capacity(written.len() + 5);
    order.put_u32_le(u32::try_from(written.len() + 1).unwrap_or(u32::MAX));
    order.put_u8(b'T');
    order.put_slice(written);
    order.freeze()
}

/// A statement with its parameters.
pub(super) fn statement(sql: &str, values: &[SqlValue]) -> Result<Bytes, HostError> {
    let mut order = BytesMut::with_capacity(64 + sql.len());
    order.put_u32_le(0);
    order.put_u8(b'Q');
    put_long(&mut order, sql.as_bytes());
    order.put_u16_le(u16::try_from(values.len()).map_err(|_| invalid("a statement has too many parameters"))?);
    for value in values {
        put_value(&mut order, value);
    }
    let length = u32::try_from(order.len() - 4).map_err(|_| invalid("a statement with its parameters is too long"))?;
    if let Some(place) = order.first_chunk_mut() {
        *place = length.to_le_bytes();
    }
    Ok(order.freeze())
}

/// An event, which is emitted with the transaction.
pub(super) fn emission(depth: u32, trace_id: [u8; 16], topic: &str, payload: &[u8]) -> Result<Bytes, HostError> {
    let mut order = BytesMut::with_capacity(64 + topic.len() + payload.len());
    order.put_u32_le(0);
    order.put_u8(b'E');
    order.put_u32_le(depth);
    order.put_slice(&trace_id);
    put_long(&mut order, topic.as_bytes());
    put_long(&mut order, payload);
    let length = u32::try_from(order.len() - 4).map_err(|_| invalid("an event is too long"))?;
    if let Some(place) = order.first_chunk_mut() {
        *place = length.to_le_bytes();
    }
    Ok(order.freeze())
}

/// A length that does not fit is refused with the whole order.
fn put_long(order: &mut BytesMut, bytes: &[u8]) {
    order.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    order.put_slice(bytes);
}

fn put_value(order: &mut BytesMut, value: &SqlValue) {
    let mut put = |kind: u8, bytes: &[u8]| {
        order.put_u8(kind);
        put_long(order, bytes);
    };
    match value {
        SqlValue::Text(text) => put(5, text.as_bytes()),
        SqlValue::Bytes(bytes) => put(6, bytes),
        SqlValue::Json(text) => put(7, text.as_bytes()),
        SqlValue::Null => order.put_u8(0),
        SqlValue::Bool(yes) => order.put_u8(if *yes { 2 } else { 1 }),
        SqlValue::Integer(number) => {
            order.put_u8(3);
            order.put_i64_le(*number);
        }
        SqlValue::Real(number) => {
            order.put_u8(4);
            order.put_f64_le(*number);
        }
        SqlValue::Timestamp(micros) => {
            order.put_u8(8);
            order.put_i64_le(*micros);
        }
    }
}

/// What the host says.
#[derive(Debug, PartialEq)]
pub(super) enum DatabaseReply {
    /// The names of the columns of the rows that follow.
    Columns(Vec<String>),
    /// Rows, one after the other: values of as many columns.
    Rows(Bytes),
    /// The order was obeyed; so many rows were changed.
    Done(u64),
    /// It was not.
    Error(HostError),
}

/// Takes a reply from what has come so far, if the whole of it has.
pub(super) fn take_reply(pending: &mut BytesMut) -> Result<Option<DatabaseReply>, HostError> {
    let Some(length) = pending.first_chunk().map(|length| u32::from_le_bytes(*length) as usize) else {
        return Ok(None);
    };
    if pending.len() < 4 + length {
        return Ok(None);
    }
    pending.advance(4);
    let mut reply = pending.split_to(length).freeze();
    read_reply(&mut reply).map(Some).ok_or_else(garbled)
}

fn read_reply(reply: &mut Bytes) -> Option<DatabaseReply> {
    Some(match reply.try_get_u8().ok()? {
        b'C' => {
            let count = reply.try_get_u16_le().ok()?;
            let names: Option<Vec<_>> = (0..count).map(|_| text(reply)).collect();
            DatabaseReply::Columns(names?)
        }
        b'R' => DatabaseReply::Rows(std::mem::take(reply)),
        b'D' => DatabaseReply::Done(reply.try_get_u64_le().ok()?),
        b'E' => {
            let (word, message) = (text(reply)?, text(reply)?);
            DatabaseReply::Error(HostError::new(HostErrorCode::of_word(&word), message))
        }
        _ => return None,
    })
}

fn long(from: &mut Bytes) -> Option<Bytes> {
    let length = from.try_get_u32_le().ok()? as usize;
    (length <= from.len()).then(|| from.split_to(length))
}

fn text(from: &mut Bytes) -> Option<String> {
    String::from_utf8(long(from)?.into()).ok()
}

/// Takes the values of one row.
pub(super) fn take_row(from: &mut Bytes, columns: usize) -> Result<Vec<SqlValue>, HostError> {
    let mut values = Vec::with_capacity(columns);
    for _ in 0..columns {
        values.push(take_value(from).ok_or_else(garbled)?);
    }
    Ok(values)
}

fn take_value(from: &mut Bytes) -> Option<SqlValue> {
    Some(match from.try_get_u8().ok()? {
        0 => SqlValue::Null,
        1 => SqlValue::Bool(false),
        2 => SqlValue::Bool(true),
        3 => SqlValue::Integer(from.try_get_i64_le().ok()?),
        4 => SqlValue::Real(from.try_get_f64_le().ok()?),
        5 => SqlValue::Text(text(from)?),
        6 => SqlValue::Bytes(long(from)?.into()),
        7 => SqlValue::Json(text(from)?),
        8 => SqlValue::Timestamp(from.try_get_i64_le().ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the host reads it: see its own test.
    #[test]
    fn orders_are_written_as_the_host_reads_them() {
        let values = [SqlValue::Null, true.into(), 1.into(), "hi".into()];
        let written = statement("SELECT ?", &values).unwrap();
        let expected = b"\x21\0\0\0Q\x08\0\0\0SELECT ?\x04\0\0\x02\x03\x01\0\0\0\0\0\0\0\x05\x02\0\0\0hi";
        assert_eq!(&written[..], expected);
        assert_eq!(&command(b'B')[..], b"\x01\0\0\0B");
    }

    #[test]
    fn replies_are_read_as_they_come() {
        let mut pending = BytesMut::new();
        let sent = b"\x08\0\0\0C\x01\0\x01\0\0\0n\x0a\0\0\0R\x03\x07\0\0\0\0\0\0\0\x09\0\0\0D\x02\0\0\0\0\0\0\0";
        let mut read = Vec::new();
        for byte in sent {
            pending.put_u8(*byte);
            read.extend(take_reply(&mut pending).unwrap());
        }
        let row = Bytes::from_static(b"\x03\x07\0\0\0\0\0\0\0");
        assert_eq!(
            read,
            [DatabaseReply::Columns(vec!["n".to_owned()]), DatabaseReply::Rows(row.clone()), DatabaseReply::Done(2)]
        );
        assert_eq!(take_row(&mut row.clone(), 1).unwrap(), [SqlValue::Integer(7)]);
        assert!(take_row(&mut row.slice(..4), 1).is_err());
        let error = b"\x17\0\0\0E\x08\0\0\0conflict\x06\0\0\0no way";
        let told = take_reply(&mut BytesMut::from(&error[..])).unwrap();
        assert_eq!(told, Some(DatabaseReply::Error(HostError::new(HostErrorCode::Conflict, "no way"))));
    }
}
