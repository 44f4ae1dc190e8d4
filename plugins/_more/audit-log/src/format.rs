//! Entries as they are written out: JSON, and CSV. Pure.

use crate::chain::Entry;
use serde_json::{Value, json};

/// The head of CSV.
pub(crate) const CSV_HEAD: &str = "number,topic,at,position,depth,trace,payload,hash\r\n";

/// An entry as JSON. What is no JSON itself is text; what is no text, a list of bytes.
pub(crate) fn as_json(entry: &Entry) -> Value {
    let payload =
        serde_json::from_slice(&entry.payload).unwrap_or_else(|_| match std::str::from_utf8(&entry.payload) {
            Ok(text) => json!(text),
            Err(_) => json!(entry.payload),
        });
    json!({
        "number": entry.number, "topic": entry.topic, "at": entry.at, "position": entry.position, "depth": entry.depth,
        "trace": entry.trace, "payload": payload, "hash": entry.hash,
    })
}

/// An entry as a line of CSV.
pub(crate) fn as_csv(entry: &Entry) -> String {
    let payload = String::from_utf8_lossy(&entry.payload);
    let fields = [
        entry.number.to_string(),
        field(&entry.topic),
        entry.at.to_string(),
        entry.position.to_string(),
        entry.depth.to_string(),
        entry.trace.clone(),
        field(&payload),
        entry.hash.clone(),
    ];
    fields.join(",") + "\r\n"
}

fn field(text: &str) -> String {
    // What a spreadsheet would take for a formula is text.
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(payload: &[u8]) -> Entry {
        Entry {
            number: 7,
            topic: "session.created".to_owned(),
            at: 1000,
            position: 3,
            depth: 0,
            trace: "00".to_owned(),
            payload: payload.to_vec(),
            hash: "ff".to_owned(),
        }
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(as_csv(&entry(b"{\"a\":1}")), "7,session.created,1000,3,0,00,\"{\"\"a\"\":1}\",ff\r\n");
        assert_eq!(as_csv(&entry(b"=1+1")), "7,session.created,1000,3,0,00,'=1+1,ff\r\n");
        assert_eq!(CSV_HEAD.trim_end().split(',').count(), 8);
    }

    #[test]
    fn payloads_are_json_text_or_bytes() {
        assert_eq!(as_json(&entry(b"{\"a\":1}"))["payload"], json!({ "a": 1 }));
        assert_eq!(as_json(&entry(b"hello"))["payload"], json!("hello"));
        assert_eq!(as_json(&entry(&[0xff]))["payload"], json!([255]));
    }
}
