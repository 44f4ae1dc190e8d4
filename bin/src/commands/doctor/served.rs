//! A server that examines itself, for the page: the same looks, as the server's own user sees it all. What must not live here: the looks.

use super::{machine, server};
use crate::{client::run, config::Config};
use camlock_api::Finding;
use camlock_policy::{BoxFuture, Doctor};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// What examines the server of these settings.
pub(crate) fn doctor(config: &Config) -> Arc<dyn Doctor> {
    Arc::new(OwnDoctor(config.clone()))
}

struct OwnDoctor(Config);

impl Doctor for OwnDoctor {
    fn server(&self) -> BoxFuture<Vec<Finding>> {
        let config = self.0.clone();
        Box::pin(async move { server::ask(&config).await.0 })
    }

    fn machine(&self) -> BoxFuture<Vec<Finding>> {
        let config = self.0.clone();
        Box::pin(async move {
            let looked = spawn_blocking(move || run(async { Ok(machine(&config).await) })).await;
            let failed = |why: String| vec![Finding::warning("doctor", why, "see what the server's log says")];
            match looked {
                Ok(Ok(findings)) => findings,
                Ok(Err(why)) => failed(why.reason),
                Err(error) => failed(format!("the machine could not be looked at: {error}")),
            }
        })
    }
}
