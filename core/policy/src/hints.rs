//! What to do about the commonest failures of plugins that compile: a word for whoever meets them for the first time.
//!
//! Pure. What must not live here: failures of compilers, which are explained where builds are.

use crate::{Failure, Stage};

/// What a failure's reason contains, and what to do then.
const HINTS: &[(&str, &str)] = &[
    (
        "a global default trace dispatcher has already been set",
        "what a plugin traces goes to the server's log by itself: remove the subscriber's `init()`",
    ),
    (
        "attempted to set a logger after the logging system was already initialized",
        "what a plugin logs goes to the server's log by itself: remove the logger's `init()`",
    ),
    ("NotPresent", NO_VARIABLE),
    ("environment variable not found", NO_VARIABLE),
];

const NO_VARIABLE: &str = "`create` also runs while the plugin is verified, where no variable of the server's is set: have a default \
                           there, and read the variable in `start`";

impl Failure {
    /// The same, with what to do about it if it is one of the commonest.
    #[must_use]
    pub fn with_hint(mut self) -> Self {
        let before_it_serves = matches!(self.stage, Stage::Verify | Stage::Load);
        let hint = HINTS.iter().find(|(sign, _)| self.reason.contains(sign)).map(|(_, hint)| *hint);
        if let Some(hint) = hint.filter(|hint| before_it_serves && !self.reason.contains(hint)) {
            self.reason = format!("{}; {hint}", self.reason);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_failures_have_a_hint() {
        let hinted = |stage, reason: &str| Failure::new(stage, reason).with_hint().reason;
        for (reason, hint) in [
            (
                "`create` panicked: failed to set global default subscriber: SetGlobalDefaultError(\"a global default trace \
                 dispatcher has already been set\") (src/lib.rs:6)",
                "remove the subscriber's `init()`",
            ),
            (
                "`create` panicked: Unable to install global subscriber: SetLoggerError(()): attempted to set a logger after the \
                 logging system was already initialized (src/lib.rs:6)",
                "remove the logger's `init()`",
            ),
            (
                "`create` panicked: called `Result::unwrap()` on an `Err` value: NotPresent (src/lib.rs:5)",
                "read the variable in `start`",
            ),
            ("`create` failed: environment variable not found", "read the variable in `start`"),
        ] {
            let told = hinted(Stage::Verify, reason);
            assert!(told.starts_with(&format!("{reason}; ")) && told.ends_with(hint), "{told}");
            assert_eq!(hinted(Stage::Verify, &told), told, "it is told once");
        }
        assert_eq!(hinted(Stage::Verify, "`create` failed: no such table"), "`create` failed: no such table");
        assert_eq!(hinted(Stage::Health, "NotPresent"), "NotPresent");
    }
}
