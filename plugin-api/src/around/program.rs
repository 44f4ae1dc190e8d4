//! In a program: other plugins may be linked in beside this one, each may be opened again and again, and the globals of std
//! and tracing are the program's. So what a library knows once and for all is known for each thread here, and nothing of the
//! program's is replaced.
//!
//! The host keeps its record of a built-in plugin for ever (its code is never unmapped, and may refer to it at any time), so
//! what a thread remembers of a host stays good.

use crate::{Host, backtrace, host::panicked, runtime::PluginRuntime};
use camlock_abi::{Caught, Hooks, HostRef};
use std::{cell::Cell, future::pending, sync::Once};
use tracing::Span;

#[derive(Clone, Copy)]
enum CurrentPlugin {
    /// This thread has never run a plugin's code.
    Nowhere,
    /// The plugin whose code this thread ran last, for what has no instance at hand while it runs or right afterwards.
    Passing(HostRef),
    /// The thread that drives this plugin's runtime.
    Driving(HostRef),
}

thread_local! {
    static HERE: Cell<CurrentPlugin> = const { Cell::new(CurrentPlugin::Nowhere) };
}

/// Nothing is intercepted in a program.
pub(crate) fn installed(_: &'static Hooks) {}

/// An instance is being opened. Its records go where the program's go: that subscriber is there already.
pub(crate) fn opened(_: &Host, _verifying: bool) {
    note_panics();
}

/// The instance is gone.
pub(crate) fn closed() {}

/// The runtime of an instance was made. The thread that opens it is in the span that its records are to be in.
pub(crate) fn runs(host: &Host, runtime: &PluginRuntime) {
    let Some(host) = host.reference() else { return };
    let span = Span::current();
    // A task of its own, which begins on the thread that drives the runtime, and ends there with it.
    let driving = async move {
        let _driving = Driving::begin(host, span);
        pending::<()>().await;
    };
    runtime.within(|| drop(tokio::spawn(driving)), |()| false);
}

/// Code of an instance is about to run on this thread.
pub(crate) fn passing(host: &Host) {
    if let (Some(host), false) = (host.reference(), matches!(HERE.get(), CurrentPlugin::Driving(_))) {
        HERE.set(CurrentPlugin::Passing(host));
    }
}

/// The host, for what has no instance at hand.
pub(crate) fn current() -> Option<HostRef> {
    match HERE.try_with(Cell::get) {
        Ok(CurrentPlugin::Passing(host) | CurrentPlugin::Driving(host)) => Some(host),
        Ok(CurrentPlugin::Nowhere) | Err(_) => None,
    }
}

/// While this is there, what its thread does is done for a plugin: spawned tasks belong to it, and to no request.
struct Driving(Span);

impl Driving {
    fn begin(host: HostRef, span: Span) -> Self {
        HERE.set(CurrentPlugin::Driving(host));
        // Not a guard, which could not lie in a task: the task never leaves this thread, but its type does not say so.
        span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        Driving(span)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.with_subscriber(|(id, subscriber)| subscriber.exit(id));
    }
}

/// Notes where panics happen, for those that are caught on their way to the host. The program's own hook hears of them all, as
/// ever.
fn note_panics() {
    static NOTING: Once = Once::new();
    NOTING.call_once(|| {
        let programs = std::panic::take_hook();
        camlock_abi::record_panics(backtrace::frames, report);
        let noting = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            noting(info);
            programs(info);
        }));
    });
}

/// A panic that nobody will tell the host of: in a task of a plugin, or anywhere else in the program.
fn report(caught: &Caught) {
    if let Ok(CurrentPlugin::Driving(_)) = HERE.try_with(Cell::get) {
        panicked("in a task or a thread", caught);
    }
}
