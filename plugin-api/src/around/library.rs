//! In a library of its own: there is one plugin and one host, and std's and tracing's globals are the plugin's.

use crate::{Host, backtrace, environment, host::panicked, intercept, output, runtime::PluginRuntime, trace};
use camlock_abi::{Hooks, HostRef};
use std::sync::OnceLock;

/// The host of this library.
static HOST: OnceLock<HostRef> = OnceLock::new();

/// The library was opened.
pub(crate) fn installed(hooks: &'static Hooks) {
    intercept::install(hooks);
    camlock_abi::record_panics(backtrace::frames, |caught| panicked("in a task or a thread", caught));
}

/// An instance is being opened. What a build prints while it is verified belongs to the verifying process.
pub(crate) fn opened(host: &Host, verifying: bool) {
    if let Some(reference) = host.reference() {
        let _ = HOST.set(reference);
        environment::opened(reference);
        if !verifying {
            output::opened(reference);
        }
    }
    trace::forward(host.clone());
}

/// The instance is gone.
pub(crate) fn closed() {
    output::closed();
}

/// The runtime of an instance was made.
pub(crate) fn runs(_: &Host, _: &PluginRuntime) {}

/// Code of an instance is about to run on this thread.
#[inline]
pub(crate) fn passing(_: &Host) {}

/// The host, for what has no instance at hand.
pub(crate) fn current() -> Option<HostRef> {
    HOST.get().copied()
}
