//! Rows that are sent, read as they come: CSV and NDJSON however many, JSON as a whole.

use super::{
    Format, Shape,
    csv::{Cell, CsvReader},
    shape::Values,
};
use crate::{
    limits,
    problem::{OrRefused, Refused},
    query::{Prefer, Query},
    schema::UserTable,
};
use axum::{body::Body, http::StatusCode};
use http_body_util::BodyExt;
use serde_json::{Map, Value as Json};
use std::{collections::VecDeque, mem};

/// A request's rows.
pub struct Sent<'a> {
    pub table: &'a UserTable,
    pub query: &'a Query,
    pub prefer: Prefer,
}

/// Rows that are sent.
pub struct IncomingRows<'a> {
    sent: Sent<'a>,
    body: Body,
    reader: Reader,
    /// Rows that were read, and not taken.
    read: VecDeque<Values>,
    /// Known with the first row.
    shape: Option<Shape>,
}

enum Reader {
    Json,
    Csv {
        reader: CsvReader,
        places: Vec<Option<usize>>,
    },
    Lines {
        line: Vec<u8>,
        number: u64,
    },
    /// All was read.
    Ended,
}

impl<'a> IncomingRows<'a> {
    pub fn new(sent: Sent<'a>, format: Format, body: Body) -> Self {
        let reader = match format {
            Format::Json | Format::Object => Reader::Json,
            Format::Csv => Reader::Csv { reader: CsvReader::default(), places: Vec::new() },
            Format::Ndjson => Reader::Lines { line: Vec::new(), number: 1 },
        };
        IncomingRows { sent, body, reader, read: VecDeque::new(), shape: None }
    }

    /// What the rows look like, once there is one.
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// The next row; none at the end.
    pub async fn next(&mut self) -> OrRefused<Option<Values>> {
        while self.read.is_empty() && !matches!(self.reader, Reader::Ended) {
            if let Reader::Json = self.reader {
                self.reader = Reader::Ended;
                self.document().await?;
                continue;
            }
            match self.body.frame().await {
                None => {
                    let reader = mem::replace(&mut self.reader, Reader::Ended);
                    self.end(reader)?;
                }
                Some(Err(error)) => return Err(Refused::unreadable(format!("what is sent broke off: {error}"))),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.take(&bytes)?;
                    }
                }
            }
        }
        Ok(self.read.pop_front())
    }

    async fn document(&mut self) -> OrRefused<()> {
        let json = document(mem::take(&mut self.body)).await?;
        let rows = match json {
            Json::Array(rows) => rows,
            one => vec![one],
        };
        for row in rows {
            match row {
                Json::Object(object) => self.object(object)?,
                _ => return Err(Refused::unreadable("a row is a JSON object, and several are an array of them")),
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> OrRefused<()> {
        let mut reader = mem::replace(&mut self.reader, Reader::Ended);
        for byte in bytes {
            match &mut reader {
                Reader::Csv { reader, places } => {
                    if let Some(record) = reader.push(*byte)? {
                        let line = reader.line() - 1;
                        self.record(record, places, line)?;
                    }
                }
                Reader::Lines { line, number } => {
                    if *byte == b'\n' {
                        let text = mem::take(line);
                        self.line(&text, *number)?;
                        *number += 1;
                    } else {
                        line.push(*byte);
                    }
                    if line.len() > limits::ROW {
                        let words = format!("line {number}: a row has at most {} bytes", limits::ROW);
                        return Err(Refused::unreadable(words));
                    }
                }
                Reader::Json | Reader::Ended => {}
            }
        }
        self.reader = reader;
        Ok(())
    }

    fn end(&mut self, reader: Reader) -> OrRefused<()> {
        match reader {
            Reader::Csv { mut reader, mut places } => match reader.end()? {
                Some(record) => self.record(record, &mut places, reader.line() - 1),
                None => Ok(()),
            },
            Reader::Lines { line, number } => self.line(&line, number),
            Reader::Json | Reader::Ended => Ok(()),
        }
    }

    fn object(&mut self, object: Map<String, Json>) -> OrRefused<()> {
        let Sent { table, query, prefer } = &self.sent;
        if self.shape.is_none() {
            self.shape = Some(Shape::of(table, query, *prefer, object.keys().cloned().collect())?);
        }
        if let Some(shape) = &self.shape {
            self.read.push_back(shape.object(object)?);
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], number: u64) -> OrRefused<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let object = serde_json::from_slice::<Map<String, Json>>(line)
            .map_err(|error| Refused::unreadable(format!("line {number}: it is no JSON object: {error}")))?;
        self.object(object).map_err(|refused| at_line(refused, number))
    }

    fn record(&mut self, record: Vec<Cell>, places: &mut Vec<Option<usize>>, line: u64) -> OrRefused<()> {
        let Some(shape) = &self.shape else {
            let names: Vec<_> = record.into_iter().map(Option::unwrap_or_default).collect();
            let Sent { table, query, prefer } = &self.sent;
            let shape = Shape::of(table, query, *prefer, names.clone())?;
            let place = |column: &String| names.iter().position(|name| name == column);
            *places = shape.columns.iter().map(place).chain([Some(names.len())]).collect();
            self.shape = Some(shape);
            return Ok(());
        };
        // The last place is how many cells there are.
        let Some((Some(count), places)) = places.split_last() else { return Ok(()) };
        if record.len() != *count {
            let words = format!("line {line} of the CSV: it has {} cells, and the first line {count}", record.len());
            return Err(Refused::unreadable(words));
        }
        self.read.push_back(shape.cells(places, &record).map_err(|refused| at_line(refused, line))?);
        Ok(())
    }
}

fn at_line(refused: Refused, line: u64) -> Refused {
    Refused { message: format!("line {line}: {}", refused.message), ..refused }
}

/// A document in JSON, whole.
pub async fn document(body: Body) -> OrRefused<Json> {
    let read = axum::body::to_bytes(body, limits::DOCUMENT).await;
    let bytes = read.map_err(|error| {
        let most = limits::DOCUMENT;
        let message = format!("the document did not come whole, or has more than {most} bytes: {error}");
        let refused = Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "PGRST102", message);
        refused.with_hint("many rows are sent as text/csv or application/x-ndjson, which are read as they come")
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Refused::unreadable(format!("it is no JSON: {error}")))
}
