//! What all handlers of the host's own paths share. What must not live here: anything that answers.

use crate::{doctor::LastExamined, document::Merged, keys::Guesses, options::AdminOptions, tally::Tally};
use axum::extract::State;
use camlock_policy::Manager;
use std::sync::{Arc, Mutex};

/// What all handlers share.
pub(crate) struct Control {
    pub(crate) manager: Manager,
    pub(crate) options: AdminOptions,
    pub(crate) guesses: Guesses,
    pub(crate) tally: Mutex<Tally>,
    pub(crate) document: Merged,
    pub(crate) examined: LastExamined,
}

impl Control {
    pub(crate) fn new(manager: Manager, options: AdminOptions, document: Merged) -> Self {
        Control {
            manager,
            options,
            guesses: Guesses::default(),
            tally: Mutex::default(),
            document,
            examined: LastExamined::default(),
        }
    }
}

pub(crate) type ControlState = State<Arc<Control>>;
