//! CSV as it comes (RFC 4180): a machine that is given one byte after the other. Pure.

use crate::{
    limits,
    problem::{OrRefused, Refused},
};

/// A cell: nothing, or a text. What stands in no quotes is nothing if it is empty or `NULL`.
pub type Cell = Option<String>;

#[derive(Debug, Default)]
enum CsvState {
    /// A cell begins.
    #[default]
    Begins,
    Plain,
    Quoted,
    /// A quote within quotes: the end, or the first of two.
    Quote,
}

/// Reads records.
#[derive(Debug)]
pub struct CsvReader {
    state: CsvState,
    cell: Vec<u8>,
    record: Vec<Cell>,
    /// Bytes of the record so far.
    taken: usize,
    line: u64,
    /// The last byte was a carriage return: a line feed after it is no further end of a line.
    returned: bool,
}

impl Default for CsvReader {
    fn default() -> Self {
        CsvReader { state: CsvState::Begins, cell: Vec::new(), record: Vec::new(), taken: 0, line: 1, returned: false }
    }
}

impl CsvReader {
    /// The line that is read.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Takes a byte; a record, if that ends one. Lines without anything are none.
    pub fn push(&mut self, byte: u8) -> OrRefused<Option<Vec<Cell>>> {
        let after_return = std::mem::replace(&mut self.returned, false);
        if self.line == 1 && self.record.is_empty() && self.cell == b"\xef\xbb" && byte == 0xbf {
            // A mark of Unicode's, which some programs begin files with.
            self.cell.clear();
            self.state = CsvState::Begins;
            return Ok(None);
        }
        self.taken += 1;
        if self.taken > limits::ROW {
            return Err(self.wrong(&format!("a row has at most {} bytes", limits::ROW)));
        }
        let quoted = matches!(self.state, CsvState::Quoted);
        match (&self.state, byte) {
            (CsvState::Quoted, b'"') => self.state = CsvState::Quote,
            (CsvState::Quote, b'"') => {
                self.cell.push(b'"');
                self.state = CsvState::Quoted;
            }
            (CsvState::Quoted, _) => self.cell.push(byte),
            (CsvState::Begins, b'"') => self.state = CsvState::Quoted,
            (_, b',') => self.end_cell()?,
            (_, b'\r') => {
                self.returned = true;
                return self.end_record();
            }
            (CsvState::Begins, b'\n') if after_return => {
                self.taken = 0;
                return Ok(None);
            }
            (_, b'\n') => return self.end_record(),
            (CsvState::Quote, _) => {
                return Err(self.wrong("after what is in quotes comes a comma or the end of the line"));
            }
            _ => {
                self.state = CsvState::Plain;
                self.cell.push(byte);
            }
        }
        if quoted && byte == b'\n' {
            self.line += 1;
        }
        Ok(None)
    }

    /// There is no more.
    pub fn end(&mut self) -> OrRefused<Option<Vec<Cell>>> {
        match self.state {
            CsvState::Quoted => Err(self.wrong("a `\"` is not closed")),
            _ => self.end_record(),
        }
    }

    fn end_cell(&mut self) -> OrRefused<()> {
        let is_plain = !matches!(std::mem::take(&mut self.state), CsvState::Quote);
        let text = String::from_utf8(std::mem::take(&mut self.cell)).map_err(|_| self.wrong("it is not UTF-8"))?;
        let nothing = is_plain && (text.is_empty() || text == "NULL");
        self.record.push((!nothing).then_some(text));
        Ok(())
    }

    fn end_record(&mut self) -> OrRefused<Option<Vec<Cell>>> {
        let is_blank = self.record.is_empty() && self.cell.is_empty() && matches!(self.state, CsvState::Begins);
        self.taken = 0;
        if is_blank {
            self.line += 1;
            return Ok(None);
        }
        self.end_cell()?;
        self.line += 1;
        Ok(Some(std::mem::take(&mut self.record)))
    }

    fn wrong(&self, why: &str) -> Refused {
        Refused::unreadable(format!("line {} of the CSV: {why}", self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Vec<Vec<Cell>>, String> {
        let mut reader = CsvReader::default();
        let mut records = Vec::new();
        for byte in text.as_ref() {
            records.extend(reader.push(*byte).map_err(|refused| refused.message)?);
        }
        records.extend(reader.end().map_err(|refused| refused.message)?);
        Ok(records)
    }

    fn cells(texts: &[&str]) -> Vec<Cell> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn records_are_read() {
        assert_eq!(read("a,b\n1,2\n").unwrap(), [cells(&["a", "b"]), cells(&["1", "2"])]);
        assert_eq!(read("a,b\r\n1,2").unwrap(), [cells(&["a", "b"]), cells(&["1", "2"])]);
        assert_eq!(read("a\r\rb\r\n\nc").unwrap(), [cells(&["a"]), cells(&["b"]), cells(&["c"])]);
        let odd = read("\u{feff}\"a\",\"x\"\"y\"\n\"1\n2\",\"c,d\"\n").unwrap();
        assert_eq!(odd, [cells(&["a", "x\"y"]), cells(&["1\n2", "c,d"])]);
        assert_eq!(read(",\"\"\nNULL,\"NULL\"").unwrap()[0], [None, Some(String::new())]);
        assert_eq!(read(",\"\"\nNULL,\"NULL\"").unwrap()[1], [None, Some("NULL".to_owned())]);
        assert_eq!(read("a\"b,ä\n").unwrap(), [cells(&["a\"b", "ä"])]);
        assert_eq!(read("").unwrap(), Vec::<Vec<Cell>>::new());
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        assert_eq!(read("a\n\"b").unwrap_err(), "line 2 of the CSV: a `\"` is not closed");
        assert!(read("a\n\"b\"c").unwrap_err().starts_with("line 2 of the CSV: after what is in quotes"));
        assert_eq!(read(b"\"\n\"\na\xff\n").unwrap_err(), "line 3 of the CSV: it is not UTF-8");
        assert!(read("x".repeat(limits::ROW + 1)).unwrap_err().contains("at most 1048576 bytes"));
    }
}
