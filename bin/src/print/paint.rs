//! Colours, where a terminal is and nobody objects (`NO_COLOR`).

use std::{
    env,
    io::{self, IsTerminal},
};

/// How a text is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    Careful,
    Quiet,
    Strong,
}

/// Paints texts, or leaves them as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For stdout.
    pub(crate) fn stdout() -> Self {
        Paint(io::stdout().is_terminal() && wanted())
    }

    /// For stderr.
    pub(crate) fn stderr() -> Self {
        Paint(io::stderr().is_terminal() && wanted())
    }

    /// Without colours, whatever tests are run in.
    #[cfg(test)]
    pub(crate) fn off() -> Self {
        Paint(false)
    }

    /// Whether there are colours.
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    /// A text in its tone.
    pub(crate) fn text(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Careful => "33",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|said| said.is_empty()) && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_a_text_is_a_text() {
        assert_eq!(Paint(false).text(Tone::Bad, "x"), "x");
        assert_eq!(Paint(true).text(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Paint(true).text(Tone::Plain, "x"), "x");
    }
}
