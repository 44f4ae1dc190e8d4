//! Rows in columns, with notes beneath them.

use super::{Paint, Tone, plain, short};
use std::fmt::Write as _;

/// A table. The last column is as wide as it likes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<TableRow>,
}

#[derive(Debug)]
enum TableRow {
    Cells(Vec<(String, Tone)>),
    Note(String),
}

impl Table {
    /// With these columns; without any there is no head.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Table { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. What is too long for a table is cut off.
    pub(crate) fn row<const N: usize>(&mut self, cells: [(&str, Tone); N]) {
        let cells = cells.into_iter().map(|(text, tone)| (short(text).replace('\n', " "), tone));
        self.rows.push(TableRow::Cells(cells.collect()));
    }

    /// Adds a line beneath the last row.
    pub(crate) fn note(&mut self, text: &str) {
        self.rows.push(TableRow::Note(plain(text)));
    }

    /// As text, without a newline at its end.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(|head| head.len()).collect();
        for row in &self.rows {
            let TableRow::Cells(cells) = row else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, (text, _)) in widths.iter_mut().zip(cells) {
                *width = (*width).max(text.chars().count());
            }
        }
        let mut text = String::new();
        if !self.head.is_empty() {
            let head: Vec<_> = self.head.iter().map(|head| ((*head).to_owned(), Tone::Quiet)).collect();
            add(&mut text, &head, &widths, paint);
        }
        for row in &self.rows {
            match row {
                TableRow::Cells(cells) => add(&mut text, cells, &widths, paint),
                TableRow::Note(note) => {
                    for line in note.lines() {
                        let _ = writeln!(text, "    {}", paint.text(Tone::Quiet, line));
                    }
                }
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn add(text: &mut String, cells: &[(String, Tone)], widths: &[usize], paint: Paint) {
    let mut line = String::new();
    for (index, (cell, tone)) in cells.iter().enumerate() {
        line.push_str(&paint.text(*tone, cell));
        if cells[index + 1..].iter().any(|(later, _)| !later.is_empty()) {
            let gap = widths[index].saturating_sub(cell.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', gap));
        }
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["kv-store", "serving"].map(|text| (text, Tone::Plain)));
        table.note("all is well\nreally");
        table.row(["ä", ""].map(|text| (text, Tone::Plain)));
        table.row(["x", "multi\nline"].map(|text| (text, Tone::Plain)));
        let text = table.text(Paint::off());
        assert_eq!(text, "NAME      STATE\nkv-store  serving\n    all is well\n    really\nä\nx         multi line");
    }
}
