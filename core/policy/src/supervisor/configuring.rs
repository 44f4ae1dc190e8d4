//! Another configuration for what serves: taken live if the plugin can, else by a new generation.
//!
//! What must not live here: what a configuration means.

use super::{
    Supervisor,
    acts::Reply,
    plugin::{Answer, Ask, Failed, Plugin},
    work::{About, Report, aside},
};
use crate::{Failure, Fault, FaultKind, Refused, Stage, registry::Actor};
use std::{sync::Arc, time::SystemTime};
use tokio::time::Instant;
use tracing::field::display;

impl Supervisor {
    /// Offers the configuration on record to what serves, if it has another one; whether it did.
    pub(super) fn offer_config(&mut self, name: &str) -> bool {
        let limit = self.settings.limits(name).start;
        let (ports, sender) = (self.ports.clone(), self.sender.clone());
        let Some(plugin) = self.plugins.get_mut(name).filter(|plugin| plugin.candidate.is_none()) else { return false };
        let config = plugin.config.clone();
        let Some(serving) = plugin.serving.as_mut() else { return false };
        if serving.offered == config {
            return false;
        }
        serving.offered = config.clone();
        let about = About { plugin: name.to_owned(), generation: serving.generation };
        let configuring = serving.loaded.instance.configure(config.clone());
        tokio::spawn(async move {
            let outcome = aside(&ports, limit, configuring).await;
            let _ = sender.send((about, Report::Configured(config, outcome)));
        });
        true
    }

    /// What the plugin made of it.
    pub(super) fn configured(&mut self, about: &About, config: Arc<str>, outcome: Result<bool, Fault>) {
        let name = about.plugin.as_str();
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let current = plugin.config == config;
        let Some(serving) = plugin.serving.as_mut().filter(|serving| serving.generation == about.generation) else {
            return;
        };
        let askers = if current { std::mem::take(&mut plugin.configurers) } else { Vec::new() };
        match outcome {
            Ok(true) => {
                serving.config = config;
                // What it refused before is not wanted any more.
                let refusal =
                    |failed: &Failed| failed.generation == about.generation && failed.failure.stage == Stage::Start;
                plugin.failed.take_if(|failed| refusal(failed));
                tracing::info!(plugin = name, generation = about.generation, "took its configuration");
                for reply in askers {
                    self.answers.push(Answer { plugin: name.to_owned(), reply, outcome: Ok(Vec::new()), gone: None });
                }
                self.note(name, Some(about.generation), "configured", &Actor::Sql, serde_json::json!({ "live": true }));
            }
            Ok(false) => plugin.begin_anew_for(askers),
            // It may have changed by halves.
            Err(fault) if fault.kind != FaultKind::Error => {
                tracing::warn!(plugin = name, generation = about.generation, "`configure`: {fault}; it begins anew");
                plugin.begin_anew_for(askers);
            }
            Err(fault) => {
                let reason =
                    format!("its configuration was refused: {}; it goes on with the one before", fault.message);
                let failure = Failure::new(Stage::Start, reason);
                let (stage, digest) = (display(failure.stage), serving.candidate.digest().map(display));
                tracing::error!(plugin = name, generation = about.generation, stage, digest, "{failure}");
                plugin.failed = Some(Failed {
                    generation: about.generation,
                    source: serving.source.clone(),
                    failure: failure.clone(),
                    at: SystemTime::now(),
                    attempts: 1,
                    retry: Some(Instant::now()),
                    refused: None,
                });
                let refused = Refused::Failed { failure, generation: about.generation, plugin: plugin.view() };
                for reply in askers {
                    let outcome = Err(refused.clone());
                    self.answers.push(Answer { plugin: name.to_owned(), reply, outcome, gone: None });
                }
            }
        }
    }
}

impl Plugin {
    /// A new generation takes the configuration, and whoever waits hears of that.
    fn begin_anew_for(&mut self, askers: Vec<Reply>) {
        self.renew = Some(Instant::now());
        if !askers.is_empty() {
            self.ask(Ask { scan: 0, force: false, by: None, replies: askers });
        }
    }
}
