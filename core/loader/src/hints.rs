//! What to do about the commonest failures of `create`, told behind what the plugin said. What must not live here: hints on builds.

/// What is found in a message, and the hint.
const HINTS: &[(&str, &str)] = &[
    (
        "environment variable not found",
        "a plugin's variables are set in camlock.toml, as `plugin.NAME.env.KEY = \"…\"`; the server's own are not there \
         where a build is verified",
    ),
    // What `unwrap` and `expect` print of it.
    (
        ": NotPresent",
        "if this is an environment variable: a plugin's are set in camlock.toml, as `plugin.NAME.env.KEY = \"…\"`; the \
         server's own are not there where a build is verified",
    ),
    (
        "a global default trace dispatcher has already been set",
        "the server has the subscriber already: leave `tracing_subscriber…init()` to the program, records of `tracing` \
         arrive by themselves",
    ),
    (
        "attempted to set a logger after the logging system was already initialized",
        "the server has the subscriber already: leave the logger to the program",
    ),
    ("Cannot start a runtime from within a runtime", "the plugin runs in a tokio runtime already: use `.await`"),
];

/// A hint in parentheses, or nothing.
pub(crate) fn hint_on(message: &str) -> String {
    let found = HINTS.iter().find(|(part, _)| message.contains(part));
    found.map(|(_, hint)| format!(" ({hint})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_failures_have_a_hint_and_others_none() {
        let unwrapped = std::env::var("NOBODY_HAS_THIS").map_err(|error| format!("on an `Err` value: {error:?}"));
        let missing = std::env::var("NOBODY_HAS_THIS").map_err(|error| error.to_string());
        for message in [unwrapped, missing].map(Result::unwrap_err) {
            assert!(hint_on(&message).contains("plugin.NAME.env.KEY"), "{message}");
        }
        let second = "Unable to install global subscriber: SetGlobalDefaultError(\"a global default trace dispatcher \
                      has already been set\")";
        assert!(hint_on(second).contains("records of `tracing` arrive by themselves"));
        assert_eq!(hint_on("no such table: todos"), "");
    }
}
