//! Those who wait for an outcome, and how they are answered.
//!
//! What must not live here: what the outcome is.

use crate::{Done, LivePlugin, Refused, registry::Actor};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Where an act is answered.
pub(crate) type Reply = oneshot::Sender<Result<Done, Refused>>;

/// Somebody asks for a new generation, and waits for its outcome.
pub(crate) struct Ask {
    /// Not before this look at the directory.
    pub(crate) look: u64,
    /// Also if too many generations are pinned.
    pub(crate) force: bool,
    /// Who asks, if that is somebody outside.
    pub(crate) by: Option<Actor>,
    pub(crate) replies: Vec<Reply>,
}

impl Ask {
    /// Both are answered by what comes next.
    pub(crate) fn and(mut self, other: Ask) -> Self {
        self.look = self.look.max(other.look);
        self.force |= other.force;
        self.by = self.by.or(other.by);
        self.replies.extend(other.replies);
        self
    }
}

/// Those who installed a plugin, and wait until it is known what comes of it.
pub(crate) struct Arrival {
    /// Not before this look at the directory.
    pub(crate) look: u64,
    pub(crate) replies: Vec<Reply>,
}

/// An answer that is given when everything that was decided is published and shown, so that whoever hears it and looks sees it.
pub(crate) struct PendingAnswer {
    pub(crate) plugin: String,
    pub(crate) reply: Reply,
    /// How long each stage took, or why it was not done.
    pub(crate) outcome: Result<Vec<(&'static str, Duration)>, Refused>,
    /// How the plugin was last seen, if it is not shown any more.
    pub(crate) gone: Option<Arc<LivePlugin>>,
}

impl PendingAnswer {
    /// The same outcome for several.
    pub(crate) fn to_all(
        plugin: &str,
        replies: impl IntoIterator<Item = Reply>,
        outcome: &Result<Vec<(&'static str, Duration)>, Refused>,
    ) -> Vec<PendingAnswer> {
        let answer = |reply| PendingAnswer { plugin: plugin.to_owned(), reply, outcome: outcome.clone(), gone: None };
        replies.into_iter().map(answer).collect()
    }
}
