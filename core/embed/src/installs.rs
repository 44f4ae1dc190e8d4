//! How many installs go on at once: those that hang must not take the threads that everything else needs.
//!
//! Copying and unpacking block the threads of the control runtime that have chores, of which there are few; a file on a network that
//! does not answer blocks one for as long as it likes.

use camlock_policy::{Arriving, BoxFuture, Install, Installed, NotInstalled, Upload};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// So many installs at once.
const AT_ONCE: usize = 4;
/// How long a further one waits for its turn.
const TURN: Duration = Duration::from_secs(30);

/// Installs, a few at a time.
#[derive(Clone)]
pub(crate) struct LimitedInstalls {
    install: Arc<dyn Install>,
    turns: Arc<Semaphore>,
    turn: Duration,
}

impl LimitedInstalls {
    pub(crate) fn new(install: impl Install + 'static) -> Self {
        LimitedInstalls { install: Arc::new(install), turns: Arc::new(Semaphore::new(AT_ONCE)), turn: TURN }
    }
}

impl Install for LimitedInstalls {
    fn uploads(&self) -> PathBuf {
        self.install.uploads()
    }

    fn install(&self, upload: Upload, arriving: Arriving) -> BoxFuture<Result<Installed, NotInstalled>> {
        let LimitedInstalls { install, turns, turn } = self.clone();
        Box::pin(async move {
            let Ok(Ok(held)) = timeout(turn, turns.acquire_owned()).await else {
                let told = format!(
                    "{AT_ONCE} installs have been going on for {} s: try again, or look whether what they read answers",
                    turn.as_secs()
                );
                return Err(NotInstalled::Busy(told));
            };
            // Whoever waits may give up; its turn lasts until the work is done all the same.
            let work = tokio::spawn(async move {
                let outcome = install.install(upload, arriving).await;
                drop(held);
                outcome
            });
            work.await.unwrap_or_else(|_| Err(NotInstalled::Failed("installing it was broken off".to_owned())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_policy::Source;
    use std::{collections::BTreeMap, sync::Mutex, sync::mpsc};
    use tokio::task::{JoinSet, spawn_blocking};

    /// Blocks a thread for each install until the test lets go.
    #[derive(Clone)]
    struct Blocking(Arc<Mutex<mpsc::Receiver<()>>>);

    impl Install for Blocking {
        fn uploads(&self) -> PathBuf {
            PathBuf::new()
        }

        fn install(&self, _: Upload, _: Arriving) -> BoxFuture<Result<Installed, NotInstalled>> {
            let held = self.0.clone();
            let work = spawn_blocking(move || held.lock().unwrap().recv().unwrap_or_default());
            Box::pin(async move {
                work.await.unwrap();
                Err(NotInstalled::Unfit("it was let go".to_owned()))
            })
        }
    }

    fn upload() -> Upload {
        Upload {
            source: Source::Path("/x".into()),
            name: None,
            replace: false,
            there: BTreeMap::new(),
            by_name: BTreeMap::new(),
        }
    }

    #[test]
    fn installs_that_hang_leave_threads_to_others() {
        let (release, held) = mpsc::channel();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).max_blocking_threads(16).enable_all().build();
        runtime.unwrap().block_on(async move {
            let installs = LimitedInstalls::new(Blocking(Arc::new(Mutex::new(held))));
            let installs = LimitedInstalls { turn: Duration::from_millis(10), ..installs };
            let mut installing = JoinSet::new();
            for _ in 0..20 {
                installing.spawn(installs.install(upload(), Box::new(|_| ())));
            }
            // All that get no turn are refused; those that have one hang.
            for _ in 0..20 - AT_ONCE {
                let outcome = timeout(Duration::from_secs(60), installing.join_next()).await.expect("no thread hangs");
                let Err(NotInstalled::Busy(why)) = outcome.unwrap().unwrap() else { panic!("others are busy") };
                assert!(why.starts_with("4 installs have been going on"), "{why}");
            }
            let other = timeout(Duration::from_secs(60), spawn_blocking(|| 7)).await;
            assert_eq!(other.expect("a thread is free").unwrap(), 7);
            // Dropping the sender lets all of them go.
            drop(release);
            while let Some(outcome) = installing.join_next().await {
                assert_eq!(outcome.unwrap(), Err(NotInstalled::Unfit("it was let go".to_owned())));
            }
        });
    }
}
