//! Whose code a thread runs at this instant, for a handler that must say so while the process ends.
//!
//! What must not live here: what is done about it. Calls out of the host are told, for the next process too; a plugin's own threads are
//! known as its own for as long as they live, and are not taken for what runs at the moment.

use crate::{footprint::crossing, suspects::running::is_inside};
use camlock_policy::GenerationKey;
use std::cell::Cell;

thread_local! {
    /// Without a destructor and of the program itself: a signal handler may read it.
    static INSIDE: Cell<GenerationKey> = const { Cell::new(GenerationKey::NONE) };
}

/// As long as this exists, its thread is inside a plugin.
pub(crate) struct Inside(GenerationKey);

impl Inside {
    /// To be called whenever a thread of the host enters a plugin.
    #[inline]
    pub(crate) fn enter(generation: GenerationKey) -> Self {
        crossing();
        is_inside(generation);
        Inside(INSIDE.replace(generation))
    }

    /// To be called when a thread begins that is a plugin's own.
    pub(crate) fn for_good(generation: GenerationKey) {
        INSIDE.set(generation);
    }

    /// The generation that this thread is inside of, or none.
    pub(crate) fn here() -> GenerationKey {
        INSIDE.get()
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        INSIDE.set(self.0);
        is_inside(self.0);
    }
}
