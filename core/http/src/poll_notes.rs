//! What the poll of a connection or of a stream came across, left on the thread for whoever polls it: hyper stands in between, and
//! hands nothing through. What must not live here: what follows from it.

use std::cell::Cell;

thread_local! {
    static NOTES: Cell<PollNotes> = const { Cell::new(PollNotes { answered_by: 0, awaits_plugin: false }) };
}

/// What was noted since the last time that somebody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PollNotes {
    /// The key of the generation that gave an answer, or 0.
    pub(crate) answered_by: u64,
    /// A body was asked for its next frame, and has none yet: it is not the client that is waited for.
    pub(crate) awaits_plugin: bool,
}

/// A generation has answered.
pub(crate) fn note_answer(generation: u64) {
    // On a thread that ends there is nobody to look.
    let _ = NOTES.try_with(|notes| notes.set(PollNotes { answered_by: generation, ..notes.get() }));
}

/// A plugin's body has no frame yet.
pub(crate) fn note_awaits_plugin() {
    let _ = NOTES.try_with(|notes| notes.set(PollNotes { awaits_plugin: true, ..notes.get() }));
}

/// What was noted, which is forgotten by that.
pub(crate) fn take_notes() -> PollNotes {
    NOTES.try_with(Cell::take).unwrap_or_default()
}
