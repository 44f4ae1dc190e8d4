//! A plugin's failure on its way through a frame.

use super::{
    BadFrame, LARGEST_WORDS, bad,
    cursor::{Cursor, cut},
};
use bytes::{BufMut, Bytes, BytesMut};
use camlock_policy::{Fault, FaultKind};

const KINDS: [FaultKind; 5] =
    [FaultKind::Error, FaultKind::Panic, FaultKind::Contract, FaultKind::TimedOut, FaultKind::Ended];
/// More functions of a backtrace, and more bytes of a name, help nobody.
const FUNCTIONS: usize = 64;
const NAME: usize = 500;

pub(super) fn encode(fault: &Fault, into: &mut BytesMut) {
    let number = KINDS.iter().position(|kind| *kind == fault.kind).unwrap_or(0);
    into.put_u8(number as u8);
    for (text, longest) in [(&fault.message, LARGEST_WORDS), (&fault.location, 4096)] {
        let text = cut(text, longest);
        into.put_u32_le(text.len() as u32);
        into.put_slice(text.as_bytes());
    }
    let functions = &fault.backtrace[..fault.backtrace.len().min(FUNCTIONS)];
    into.put_u16_le(functions.len() as u16);
    for name in functions {
        let name = cut(name, NAME);
        into.put_u16_le(name.len() as u16);
        into.put_slice(name.as_bytes());
    }
}

pub(super) fn decode(payload: Bytes) -> Result<Fault, BadFrame> {
    let mut cursor = Cursor::new(payload);
    let number = cursor.byte()?;
    let Some(kind) = KINDS.get(usize::from(number)) else { return bad(format!("there is no fault of kind {number}")) };
    let mut text = || {
        let length = cursor.number()?;
        cursor.text(length as usize)
    };
    let (message, location) = (text()?, text()?);
    let count = usize::from(cursor.short()?);
    if count > FUNCTIONS {
        return bad(format!("a backtrace of {count} functions is too long"));
    }
    let mut backtrace = Vec::with_capacity(count);
    for _ in 0..count {
        let length = cursor.short()?;
        backtrace.push(cursor.text(usize::from(length))?);
    }
    cursor.end()?;
    Ok(Fault { kind: *kind, message, location, backtrace })
}
