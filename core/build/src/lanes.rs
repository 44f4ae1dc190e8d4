//! How many builds run at once: one, for cargo lets only one at a time into a target directory; and a second in a directory of
//! its own when the first has kept somebody waiting for long, so that a build script that hangs holds up nobody for ever.

use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A place to build in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The usual one.
    Main,
    /// What it takes to fill another target directory is only worth it for those who would wait longer.
    Spare,
}

/// Both places.
#[derive(Debug)]
pub(crate) struct Lanes {
    main: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    patience: Duration,
}

impl Lanes {
    pub(crate) fn new(patience: Duration) -> Self {
        let one = || Arc::new(Semaphore::new(1));
        Lanes { main: one(), spare: one(), patience }
    }

    /// Waits for a place. It is free again when what is given is dropped.
    pub(crate) async fn enter(&self) -> (Lane, Option<OwnedSemaphorePermit>) {
        let main = Arc::clone(&self.main).acquire_owned();
        tokio::pin!(main);
        if let Ok(permit) = tokio::time::timeout(self.patience, &mut main).await {
            return (Lane::Main, permit.ok());
        }
        // Neither is ever closed.
        tokio::select! {
            permit = main => (Lane::Main, permit.ok()),
            permit = Arc::clone(&self.spare).acquire_owned() => (Lane::Spare, permit.ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_builds_and_who_waited_long_builds_beside_it() {
        let lanes = Lanes::new(Duration::from_secs(120));
        let (lane, first) = lanes.enter().await;
        assert_eq!(lane, Lane::Main);
        let waited = tokio::time::Instant::now();
        let (lane, _second) = lanes.enter().await;
        assert_eq!((lane, waited.elapsed().as_secs()), (Lane::Spare, 120));
        drop(first);
        assert_eq!(lanes.enter().await.0, Lane::Main);
    }
}
