//! What becomes of a fake plugin, step by step.

use camlock_policy::Failure;
use std::time::Duration;

/// What becomes of a fingerprint.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) version: &'static str,
    pub(super) claims: &'static [&'static str],
    pub(super) needs: &'static [(&'static str, &'static str)],
    pub(super) permissions: &'static [&'static str],
    pub(super) build: Duration,
    pub(super) build_fails: Option<Failure>,
    /// From its build on, the entry has another fingerprint: the build teaches what it is made of.
    pub(super) build_teaches: Option<&'static str>,
    pub(super) verify: Duration,
    pub(super) load: Duration,
    /// The server's own code breaks.
    pub(super) build_panics: bool,
    pub(super) load_panics: bool,
    pub(super) load_fails: bool,
    pub(super) start_fails: bool,
    pub(super) start_hangs: bool,
    /// In a thread that nobody can end.
    pub(super) health_hangs: bool,
    pub(super) unwell: bool,
    pub(super) panics: u64,
    pub(super) saves: Option<&'static str>,
    pub(super) quiesce: bool,
    /// What is built of it are the bytes of this other fingerprint.
    pub(super) bytes_of: Option<&'static str>,
    /// Its library stays.
    pub(super) pins: bool,
    /// Nothing holds it any more, and still it is not unloaded.
    pub(super) lingers: bool,
    /// It takes another configuration while it runs; or says why not.
    pub(super) configures: bool,
    pub(super) refuses_config: Option<&'static str>,
    /// What its configuration must be like.
    pub(super) schema: Option<&'static str>,
    /// Names of its migrations.
    pub(super) migrations: &'static [&'static str],
}
