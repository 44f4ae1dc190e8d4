//! How many descriptors the process may have, and how many of them connections may use. What must not live here: connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than so many are never asked for: programs that the server starts look at each one up to the limit.
const MOST: u64 = 1 << 20;
/// So many at least are kept back for control, the database, builds and plugins.
const KEPT_BACK: u64 = 256;

/// Raises the limit of the process's open descriptors as far as it may: to the hard limit. What holds then, if there is a limit.
pub fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(MOST).min(MOST);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open descriptors could not be raised");
        }
    }
    getrlimit(Resource::Nofile).current
}

/// How many connections the process's limit of descriptors has room for. Each needs two: its socket, and
/// another descriptor of it by which a thread that is not stuck can close it.
pub fn connections_that_fit() -> usize {
    let Some(descriptors) = getrlimit(Resource::Nofile).current else { return usize::MAX };
    usize::try_from(room_for_connections(descriptors)).unwrap_or(usize::MAX)
}

/// A quarter is kept back, and more where that is little.
fn room_for_connections(descriptors: u64) -> u64 {
    let kept_back = (descriptors / 4).max(KEPT_BACK.min(descriptors / 2));
    ((descriptors - kept_back) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_kept_back_for_everything_else() {
        for (descriptors, connections) in
            [(1 << 20, 393_216), (65_536, 24_576), (1024, 384), (512, 128), (256, 64), (1, 1), (0, 1)]
        {
            assert_eq!(room_for_connections(descriptors), connections, "{descriptors}");
        }
    }
}
