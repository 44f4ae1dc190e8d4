//! How orders and replies are written. Pure.
//!
//! Each is its length in four bytes (the lowest first), a letter, and what belongs to it. The SDK has the other half; both are
//! tested with the same bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use camlock_policy::{AskError, AskErrorCode};

/// A value of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlParameter {
    /// Nothing.
    Null,
    /// Yes or no. In SQLite 1 or 0.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// Words.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// JSON, as text.
    Json(String),
    /// Microseconds since 1970. In SQLite a whole number.
    Timestamp(i64),
}

/// What a plugin wants.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlOrder {
    /// A statement, with its parameters.
    Statement(String, Vec<SqlParameter>),
    /// A transaction.
    Begin,
    /// Its end.
    Commit,
    /// Its end, with nothing done.
    Rollback,
    /// A task, as JSON, that is enqueued within it.
    Enqueue(Bytes),
    /// An event, which is emitted if the transaction is committed.
    Emit(EmitOrder),
}

/// An event that is to be emitted with a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct EmitOrder {
    /// How many events led to it.
    pub depth: u32,
    /// The trace that it belongs to.
    pub trace_id: [u8; 16],
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
}

/// An order may have so many bytes.
pub const MOST_ORDER: usize = 64 << 20;

fn garbled() -> AskError {
    AskError::new(AskErrorCode::Invalid, "the database was asked in a way that makes no sense")
}

/// Takes an order from what has come so far, if the whole of it has.
pub fn take_order(pending: &mut BytesMut) -> Result<Option<SqlOrder>, AskError> {
    let Some(length) = pending.first_chunk().map(|length| u32::from_le_bytes(*length) as usize) else {
        return Ok(None);
    };
    if length > MOST_ORDER {
        let words = format!("a statement with its parameters has {length} bytes; {MOST_ORDER} are allowed");
        return Err(AskError::new(AskErrorCode::Limit, words));
    }
    if pending.len() < 4 + length {
        return Ok(None);
    }
    pending.advance(4);
    let mut order = pending.split_to(length).freeze();
    read_order(&mut order).filter(|_| order.is_empty()).map(Some).ok_or_else(garbled)
}

fn read_order(order: &mut Bytes) -> Option<SqlOrder> {
    match order.try_get_u8().ok()? {
        b'Q' => {
            let sql = text(order)?;
            let count = order.try_get_u16_le().ok()?;
            let values: Option<Vec<_>> = (0..count).map(|_| value(order)).collect();
            Some(SqlOrder::Statement(sql, values?))
        }
        b'B' => Some(SqlOrder::Begin),
        b'C' => Some(SqlOrder::Commit),
        b'R' => Some(SqlOrder::Rollback),
        b'T' => Some(SqlOrder::Enqueue(order.split_to(order.len()))),
        b'E' => {
            let depth = order.try_get_u32_le().ok()?;
            let trace_id = order.try_get_u128_le().ok()?.to_le_bytes();
            Some(SqlOrder::Emit(EmitOrder { depth, trace_id, topic: text(order)?, payload: bytes(order)? }))
        }
        _ => None,
    }
}

fn bytes(from: &mut Bytes) -> Option<Bytes> {
    let length = from.try_get_u32_le().ok()? as usize;
    (length <= from.len()).then(|| from.split_to(length))
}

fn text(from: &mut Bytes) -> Option<String> {
    String::from_utf8(bytes(from)?.into()).ok()
}

fn value(from: &mut Bytes) -> Option<SqlParameter> {
    Some(match from.try_get_u8().ok()? {
        0 => SqlParameter::Null,
        1 => SqlParameter::Bool(false),
        2 => SqlParameter::Bool(true),
        3 => SqlParameter::Integer(from.try_get_i64_le().ok()?),
        4 => SqlParameter::Real(from.try_get_f64_le().ok()?),
        5 => SqlParameter::Text(text(from)?),
        6 => SqlParameter::Bytes(bytes(from)?.into()),
        7 => SqlParameter::Json(text(from)?),
        8 => SqlParameter::Timestamp(from.try_get_i64_le().ok()?),
        _ => return None,
    })
}

/// One value within a row, without a copy of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum SqlCell<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Json(&'a [u8]),
    Timestamp(i64),
}

pub(super) fn put_cell(into: &mut BytesMut, cell: SqlCell<'_>) {
    let mut put_long = |kind: u8, bytes: &[u8]| {
        into.put_u8(kind);
        into.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        into.put_slice(bytes);
    };
    match cell {
        SqlCell::Text(bytes) => put_long(5, bytes),
        SqlCell::Bytes(bytes) => put_long(6, bytes),
        SqlCell::Json(bytes) => put_long(7, bytes),
        SqlCell::Null => into.put_u8(0),
        SqlCell::Bool(yes) => into.put_u8(if yes { 2 } else { 1 }),
        SqlCell::Integer(number) => {
            into.put_u8(3);
            into.put_i64_le(number);
        }
        SqlCell::Real(number) => {
            into.put_u8(4);
            into.put_f64_le(number);
        }
        SqlCell::Timestamp(micros) => {
            into.put_u8(8);
            into.put_i64_le(micros);
        }
    }
}

/// Begins a reply of this kind; [`end`] writes its length.
pub(super) fn begin(kind: u8) -> BytesMut {
    let mut reply = BytesMut::with_capacity(256);
    reply.put_u32_le(0);
    reply.put_u8(kind);
    reply
}

pub(super) fn end(mut reply: BytesMut) -> Bytes {
    let length = u32::try_from(reply.len().saturating_sub(4)).unwrap_or(u32::MAX);
    if let Some(place) = reply.first_chunk_mut() {
        *place = length.to_le_bytes();
    }
    reply.freeze()
}

/// The names of the columns: the first reply to a statement that has any.
pub(super) fn columns<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Bytes {
    let mut reply = begin(b'C');
    reply.put_u16_le(u16::try_from(names.len()).unwrap_or(u16::MAX));
    for name in names {
        reply.put_u32_le(u32::try_from(name.len()).unwrap_or(u32::MAX));
        reply.put_slice(name.as_bytes());
    }
    end(reply)
}

/// An order was obeyed; so many rows were changed.
pub(super) fn done(changed: u64) -> Bytes {
    let mut reply = begin(b'D');
    reply.put_u64_le(changed);
    end(reply)
}

/// It was not.
pub(super) fn error(error: &AskError) -> Bytes {
    let mut reply = begin(b'E');
    for part in [error.code.word(), &error.message] {
        reply.put_u32_le(u32::try_from(part.len()).unwrap_or(u32::MAX));
        reply.put_slice(part.as_bytes());
    }
    end(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the SDK writes it: see its own test.
    const STATEMENT: &[u8] = b"\x21\0\0\0Q\x08\0\0\0SELECT ?\x04\0\0\x02\x03\x01\0\0\0\0\0\0\0\x05\x02\0\0\0hi";

    #[test]
    fn orders_are_read_as_they_come() {
        let order = SqlOrder::Statement(
            "SELECT ?".to_owned(),
            vec![
                SqlParameter::Null,
                SqlParameter::Bool(true),
                SqlParameter::Integer(1),
                SqlParameter::Text("hi".to_owned()),
            ],
        );
        let statement = STATEMENT;
        let mut pending = BytesMut::new();
        for byte in &statement[..statement.len() - 1] {
            pending.put_u8(*byte);
            assert_eq!(take_order(&mut pending), Ok(None));
        }
        pending.extend_from_slice(&statement[statement.len() - 1..]);
        pending.extend_from_slice(b"\x01\0\0\0B");
        assert_eq!(take_order(&mut pending), Ok(Some(order)));
        assert_eq!(take_order(&mut pending), Ok(Some(SqlOrder::Begin)));
        assert_eq!(take_order(&mut pending), Ok(None));
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for garbled in [&b"\0\0\0\0"[..], b"\x01\0\0\0Z", b"\x02\0\0\0BB", b"\x05\0\0\0Q\xff\xff\0\0"] {
            let error = take_order(&mut BytesMut::from(garbled)).unwrap_err();
            assert_eq!(error.code, AskErrorCode::Invalid);
        }
        let error = take_order(&mut BytesMut::from(&b"\xff\xff\xff\xff"[..])).unwrap_err();
        assert_eq!(error.code, AskErrorCode::Limit);
    }
}
