//! What an event that is being handled hands on to those that its handler emits: its trace, and how many led to it. What must not
//! live here: handling and emitting.

use std::cell::Cell;

/// What goes on from one event to the next.
#[derive(Clone, Copy)]
pub(super) struct Lineage {
    pub(super) trace_id: [u8; 16],
    pub(super) depth: u32,
}

thread_local! {
    /// That of the event that this thread is handling.
    static HANDLED: Cell<Option<Lineage>> = const { Cell::new(None) };
}

/// Does something on behalf of an event.
pub(super) fn within<T>(event: Lineage, act: impl FnOnce() -> T) -> T {
    struct RestoreLineage(Option<Lineage>);
    impl Drop for RestoreLineage {
        fn drop(&mut self) {
            HANDLED.set(self.0);
        }
    }
    let _restore = RestoreLineage(HANDLED.replace(Some(event)));
    act()
}

/// That of an event which is emitted now.
pub(super) fn next() -> Lineage {
    match HANDLED.get() {
        Some(Lineage { trace_id, depth }) => Lineage { trace_id, depth: depth.saturating_add(1) },
        None => Lineage { trace_id: crate::host::current_trace(), depth: 0 },
    }
}
