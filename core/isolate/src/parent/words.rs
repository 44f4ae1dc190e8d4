//! What a server and its parent say to each other. Pure.

use serde::{Deserialize, Serialize};

/// The longest word. What is to be remembered must fit.
pub(super) const LONGEST: usize = 60 * 1024;

/// What the server tells its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerWord {
    /// Here is a socket for whoever comes after me, under this name.
    Keep { key: String },
    /// I answer requests.
    Serving,
    /// For whoever comes after me: these plugins serve.
    Remember { plugins: Vec<String> },
    /// I end as I should, with the exit code that I end with.
    Bye,
}

/// What the parent tells the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ParentWord {
    /// Here is a socket that was kept under this name.
    Have { key: String },
    /// That was all; begin.
    Begin(Begin),
    /// Another one answers in your place: end what you began, and leave the sockets alone.
    GiveWay,
    /// The one that was to take your place could not: go on.
    NotReplaced { why: String },
}

/// How a server begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begin {
    /// It takes the place of another one.
    pub(super) again: bool,
    /// The plugins that served before.
    pub(super) served: Vec<String>,
    /// How the one before ended, if it died.
    pub(super) died: Option<String>,
    /// Nobody ended it from outside.
    #[serde(default)]
    pub(super) by_itself: bool,
}

pub(super) fn encode(word: &impl Serialize) -> Vec<u8> {
    // These types have no maps with keys that JSON has not, and no values that fail.
    serde_json::to_vec(word).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cross_as_they_are() {
        for word in [
            ServerWord::Keep { key: "listen 127.0.0.1:0".to_owned() },
            ServerWord::Serving,
            ServerWord::Remember { plugins: vec!["hello".to_owned()] },
            ServerWord::Bye,
        ] {
            assert_eq!(serde_json::from_slice::<ServerWord>(&encode(&word)).unwrap(), word);
        }
        let begin = Begin {
            again: true,
            served: vec!["hello".to_owned()],
            died: Some("it aborted".to_owned()),
            by_itself: true,
        };
        for word in [ParentWord::Begin(begin), ParentWord::GiveWay, ParentWord::Have { key: "page".to_owned() }] {
            assert_eq!(serde_json::from_slice::<ParentWord>(&encode(&word)).unwrap(), word);
        }
    }
}
