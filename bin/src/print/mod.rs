//! What commands print: tables, colours where they are wanted, how far something is. What must not live here: what is asked.

mod advice;
mod blocking;
mod paint;
mod plugin;
mod progress;
mod quote;
mod table;
mod time;

pub(crate) use advice::advice;
pub(crate) use blocking::blocking;
pub(crate) use paint::{Paint, Tone};
pub(crate) use plugin::{list, milliseconds, progress, show};
pub(crate) use progress::{Bar, style, wait_for};
pub(crate) use quote::{plain, quoted_path, short};
pub(crate) use table::Table;
pub(crate) use time::ago;

use std::{
    fmt::Display,
    io::{self, Write},
    process,
};

/// Prints a line to stdout. Nobody may be there to read it any more (`camlock list | head`): then there is nothing left to do.
pub(crate) fn line(text: impl Display) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            process::exit(0);
        }
        beside(format_args!("camlock: what was asked for cannot be written: {error}"));
        process::exit(1);
    }
}

/// Prints a line to stderr, which nobody may read.
pub(crate) fn beside(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a JSON document.
pub(crate) fn json(value: &serde_json::Value) {
    line(quote::plain_json(&format!("{value:#}")));
}

/// `1 plugin`, `2 plugins`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
