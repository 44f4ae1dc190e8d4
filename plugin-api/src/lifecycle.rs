//! The author's type without its type: what a host calls of a plugin beside its routes. What must not live here: jobs.

use crate::{Config, Due, Execution, Plugin, Saved, Taken, Task, events::handle_batch};
use axum::body::Bytes;
use camlock_abi::TAKEN_LIVE;
use std::{future::Future, pin::Pin};

pub(crate) type LifecycleFuture<'a> = Pin<Box<dyn Future<Output = crate::Result<Vec<u8>>> + Send + 'a>>;

/// Each answers with the bytes that the contract says.
pub(crate) trait Lifecycle: Send + Sync {
    fn start(&self) -> LifecycleFuture<'_>;
    fn health(&self) -> LifecycleFuture<'_>;
    fn save(&self) -> LifecycleFuture<'_>;
    fn restore(&self, saved: Saved) -> LifecycleFuture<'_>;
    fn configure(&self, config: Config) -> LifecycleFuture<'_>;
    /// With its result as JSON.
    fn execute(&self, execution: Execution) -> LifecycleFuture<'_>;
    /// With those of a batch of events that its handler failed at.
    fn events(&self, batch: Bytes) -> LifecycleFuture<'_>;
    /// With its result as JSON.
    fn task(&self, task: Task) -> LifecycleFuture<'_>;
    fn schedule(&self, due: Due) -> LifecycleFuture<'_>;
    fn shutdown(&self) -> LifecycleFuture<'_>;
}

impl<P: Plugin> Lifecycle for P {
    fn start(&self) -> LifecycleFuture<'_> {
        Box::pin(async { Plugin::start(self).await.map(|()| Vec::new()) })
    }
    fn health(&self) -> LifecycleFuture<'_> {
        Box::pin(async { Plugin::health(self).await.map(|()| Vec::new()) })
    }
    fn save(&self) -> LifecycleFuture<'_> {
        Box::pin(async {
            Ok(Plugin::save(self).await?.map_or_else(Vec::new, |mut state| {
                state.insert(0, 1);
                state
            }))
        })
    }
    fn restore(&self, saved: Saved) -> LifecycleFuture<'_> {
        Box::pin(async { Plugin::restore(self, saved).await.map(|()| Vec::new()) })
    }
    fn configure(&self, config: Config) -> LifecycleFuture<'_> {
        Box::pin(async {
            Ok(match Plugin::configure(self, config).await? {
                Taken::Live => TAKEN_LIVE.to_vec(),
                Taken::Reload => Vec::new(),
            })
        })
    }
    fn execute(&self, execution: Execution) -> LifecycleFuture<'_> {
        Box::pin(async { Ok(serde_json::to_vec(&Plugin::execute(self, execution).await?)?) })
    }
    fn events(&self, batch: Bytes) -> LifecycleFuture<'_> {
        Box::pin(handle_batch(self, batch))
    }
    fn task(&self, task: Task) -> LifecycleFuture<'_> {
        Box::pin(async move {
            Plugin::before_task(self, &task).await?;
            let outcome = Plugin::task(self, task.clone()).await;
            Plugin::after_task(self, &task, &outcome).await;
            Ok(serde_json::to_vec(&outcome?)?)
        })
    }
    fn schedule(&self, due: Due) -> LifecycleFuture<'_> {
        Box::pin(async { Plugin::schedule(self, due).await.map(|()| b"null".to_vec()) })
    }
    fn shutdown(&self) -> LifecycleFuture<'_> {
        Box::pin(async {
            Plugin::shutdown(self).await;
            Ok(Vec::new())
        })
    }
}
