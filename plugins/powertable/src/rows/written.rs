//! Rows as they are written. Pure.

use super::Format;
use crate::{sql::Columns, value};
use camlock_plugin::database::SqlValue;

/// Writes rows in a format, one after the other.
#[derive(Debug)]
pub struct RowWriter {
    format: Format,
    columns: Columns,
    rows: u64,
}

impl RowWriter {
    pub fn new(format: Format, columns: Columns) -> Self {
        RowWriter { format, columns, rows: 0 }
    }

    /// How many rows were written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What stands before all rows.
    pub fn begin(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => out.push(b'['),
            Format::Csv => {
                for (at, (name, _)) in self.columns.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    value::cell(name, out);
                }
                out.push(b'\n');
            }
            Format::Object | Format::Ndjson => {}
        }
    }

    pub fn row(&mut self, values: &[SqlValue], out: &mut Vec<u8>) {
        match self.format {
            Format::Csv => self.csv(values, out),
            Format::Json | Format::Object | Format::Ndjson => {
                if self.format == Format::Json && self.rows > 0 {
                    out.extend_from_slice(b",\n");
                }
                self.object(values, out);
            }
        }
        if matches!(self.format, Format::Csv | Format::Ndjson) {
            out.push(b'\n');
        }
        self.rows += 1;
    }

    /// What stands after all rows.
    pub fn end(&self, out: &mut Vec<u8>) {
        if self.format == Format::Json {
            out.push(b']');
        }
    }

    fn object(&self, values: &[SqlValue], out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, ((name, kind), value)) in self.columns.iter().zip(values).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            value::string(name, out);
            out.push(b':');
            value::write_json(*kind, value, out);
        }
        out.push(b'}');
    }

    fn csv(&self, values: &[SqlValue], out: &mut Vec<u8>) {
        if let [SqlValue::Null] = values {
            // A line without anything would be none.
            out.extend_from_slice(b"NULL");
        }
        for (at, ((_, kind), value)) in self.columns.iter().zip(values).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            value::write_csv(*kind, value, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Type;

    fn written(format: Format) -> String {
        let columns = vec![("id".to_owned(), Type::Integer), ("a \"b\"".to_owned(), Type::Text)];
        let mut writer = RowWriter::new(format, columns);
        let mut out = Vec::new();
        writer.begin(&mut out);
        writer.row(&[1.into(), "x,y".into()], &mut out);
        writer.row(&[2.into(), SqlValue::Null], &mut out);
        writer.end(&mut out);
        assert_eq!(writer.rows(), 2);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_are_written_in_each_format() {
        let (one, two) = (r#"{"id":1,"a \"b\"":"x,y"}"#, r#"{"id":2,"a \"b\"":null}"#);
        assert_eq!(written(Format::Json), format!("[{one},\n{two}]"));
        assert_eq!(written(Format::Ndjson), format!("{one}\n{two}\n"));
        assert_eq!(written(Format::Csv), "id,\"a \"\"b\"\"\"\n1,\"x,y\"\n2,\n");
    }
}
