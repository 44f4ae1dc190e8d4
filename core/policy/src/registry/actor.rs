//! Who brings something about: the one place where that is read and written as a word of the journal.
//!
//! What must not live here: what an actor may do (the admin API decides that by roles).

use std::fmt;

/// Who brought something about, for the journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// Whoever shows a token of this name.
    Token(String),
    /// The operator of this machine: the control socket, or the server's own admin token.
    Admin,
    /// A change in the registry's tables, made with SQL, and what servers do to follow them. Written `registry`.
    Sql,
    /// An entry of the plugins directory changed.
    Filesystem,
    /// The server itself, where nobody asked for it.
    Server,
    /// The supervision of health and panics.
    Health,
    /// The program that Camlock is embedded in.
    Program,
}

/// Every actor that is not a token, with its word.
const WORDS: [(&str, Actor); 6] = [
    ("admin", Actor::Admin),
    ("registry", Actor::Sql),
    ("filesystem", Actor::Filesystem),
    ("server", Actor::Server),
    ("health", Actor::Health),
    ("program", Actor::Program),
];

impl Actor {
    /// The journal's word. A token is written as its name.
    pub fn as_str(&self) -> &str {
        match self {
            Actor::Token(name) => name,
            Actor::Admin => "admin",
            Actor::Sql => "registry",
            Actor::Filesystem => "filesystem",
            Actor::Server => "server",
            Actor::Health => "health",
            Actor::Program => "program",
        }
    }

    /// Whether a token may be called so: no other actor is written like this.
    pub fn is_free_for_a_token(name: &str) -> bool {
        matches!(Actor::from(name), Actor::Token(_))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<&str> for Actor {
    /// Reads the journal's word; whatever is no other actor's is a token's name.
    fn from(word: &str) -> Self {
        let known = WORDS.into_iter().find(|(known, _)| *known == word);
        known.map_or_else(|| Actor::Token(word.to_owned()), |(_, actor)| actor)
    }
}

impl From<String> for Actor {
    fn from(word: String) -> Self {
        Actor::from(word.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for (word, actor) in WORDS {
            assert_eq!((actor.as_str(), Actor::from(word)), (word, actor.clone()));
            assert!(!Actor::is_free_for_a_token(word), "{word}");
        }
        let token = Actor::Token("ci".to_owned());
        assert_eq!((token.to_string().as_str(), Actor::from("ci")), ("ci", token));
        assert!(Actor::is_free_for_a_token("ci"));
    }
}
