//! Another configuration for what serves: taken live if the plugin can, else by a new generation.
//!
//! What must not live here: what a configuration means.

use super::{
    Supervisor,
    ask::{Ask, PendingAnswer, Reply},
    fitting::NoConfig,
    plugin::{FailedGeneration, HandedConfig, Plugin, Renewal, RenewalCause},
    work::{self, GenerationId, GenerationReport, WorkReport, aside},
};
use crate::{Failure, Fault, FaultKind, Refused, Stage, never, registry::Actor};
use tokio::time::Instant;
use tracing::field::display;

impl Supervisor {
    /// Offers the configuration on record to what serves, if it has another one; whether it did.
    pub(super) fn offer_config(&mut self, name: &str) -> bool {
        let limit = self.settings.limits(name).start;
        let (ports, reports) = (self.ports.clone(), self.reports.clone());
        let Some(plugin) = self.plugins.get_mut(name).filter(|plugin| plugin.candidate.is_none()) else { return false };
        let recorded = plugin.on_record.config.clone();
        let Some(serving) = plugin.serving.as_ref() else { return false };
        if serving.config.offered.recorded == recorded {
            return false;
        }
        let (generation, instance) = (serving.generation, serving.loaded.instance.clone());
        let given = plugin.config_for(&*serving.artifact);
        let config = recorded.handed(given.as_deref().ok());
        let rejected = plugin.failed.as_ref().filter(|failed| failed.generation == generation);
        let rejected = rejected.map(|failed| failed.failure.stage);
        let Some(serving) = plugin.serving.as_mut() else { return false };
        let offered = std::mem::replace(&mut serving.config.offered, config.clone());
        // What it has is on record again, and it never saw what was rejected; or that is the same in other words, or sealed anew.
        let has_it = serving.config.taken.given.is_some() && serving.config.taken.given == config.given;
        if has_it
            && (rejected == Some(Stage::Config) || offered.given == config.given && rejected != Some(Stage::Start))
        {
            self.has_it_already(name);
            return true;
        }
        if rejected.is_none() && config.given.is_some() && offered.given == config.given {
            // It is being asked about just that.
            return true;
        }
        let complete = match given {
            Ok(complete) => complete,
            Err(no_config) => {
                let failure = match no_config {
                    NoConfig::Failure(failure) => failure,
                    NoConfig::Sealed(why) => Failure::new(Stage::Config, why),
                };
                let askers = std::mem::take(&mut plugin.wishes.configurers);
                self.reject_config(name, failure, askers);
                return true;
            }
        };
        let configuring = instance.configure(complete);
        let reporter = self.reporter(name, generation);
        let (id, panicked) = (reporter.id.clone(), config.clone());
        let lost = move || {
            let fault = Fault::new(FaultKind::Contract, work::lost_call("offering a configuration").0);
            WorkReport::Generation(id, GenerationReport::Configured(panicked, Err(fault)))
        };
        work::begin(reports, lost, async move {
            let outcome = aside(&ports, limit, configuring).await;
            reporter.report(GenerationReport::Configured(config, outcome));
        });
        true
    }

    /// What is on record comes to what it has: written in other words, or sealed anew.
    fn has_it_already(&mut self, name: &str) {
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let Some(serving) = plugin.serving.as_mut() else { return };
        serving.config.taken = serving.config.offered.clone();
        let generation = serving.generation;
        plugin.failed.take_if(|failed| failed.generation == generation && failed.failure.stage == Stage::Config);
        let askers = std::mem::take(&mut plugin.wishes.configurers);
        self.shown.answers.extend(PendingAnswer::to_all(name, askers, &Ok(Vec::new())));
        self.dirty.insert(name.to_owned());
    }

    /// What the plugin made of it.
    pub(super) fn configured(&mut self, id: &GenerationId, config: HandedConfig, outcome: Result<bool, Fault>) {
        let (name, generation) = (id.plugin.as_str(), id.generation);
        // It may have been replaced since, or taken out; its successor has a configuration of its own.
        let Some(plugin) = self.plugins.get_mut(name) else { return };
        let outcome = outcome.map_err(|fault| plugin.fault_without_secret_texts(fault));
        let Some(serving) = plugin.serving.as_mut().filter(|serving| serving.generation == generation) else { return };
        let same = serving.config.offered.given == config.given;
        let current = same || plugin.on_record.config == config.recorded;
        // Sealed anew meanwhile, it took what is on record now.
        let config = if same { serving.config.offered.clone() } else { config };
        let askers = if current { std::mem::take(&mut plugin.wishes.configurers) } else { Vec::new() };
        match outcome {
            Ok(true) => {
                serving.config.taken = config;
                // What it refused before is not wanted any more.
                plugin.failed.take_if(|failed| {
                    failed.generation == generation && matches!(failed.failure.stage, Stage::Start | Stage::Config)
                });
                tracing::info!(plugin = name, generation, "took its configuration");
                self.shown.answers.extend(PendingAnswer::to_all(name, askers, &Ok(Vec::new())));
                self.note(name, Some(generation), "configured", &Actor::Sql, serde_json::json!({ "live": true }));
            }
            Ok(false) => plugin.begin_anew_for(askers),
            // It may have changed by halves.
            Err(fault) if fault.kind != FaultKind::Error => {
                tracing::warn!(plugin = name, generation, "`configure`: {fault}; it begins anew");
                plugin.begin_anew_for(askers);
            }
            Err(fault) => {
                let failure = Failure::new(Stage::Start, format!("its configuration was refused: {}", fault.message));
                self.reject_config(name, failure, askers);
            }
        }
    }

    /// What was offered, or could not be, is not for what serves, which goes on with what it has.
    fn reject_config(&mut self, name: &str, failure: Failure, askers: Vec<Reply>) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            never!("`{name}` refuses a configuration, and is not known");
            return;
        };
        let Some(serving) = plugin.serving.as_ref() else {
            never!("`{name}` refuses a configuration, and does not serve");
            return;
        };
        let generation = serving.generation;
        let failure = Failure { reason: format!("{}; it goes on with the one before", failure.reason), ..failure };
        let failure = plugin.without_secret_texts(failure);
        let (stage, digest) = (display(failure.stage), serving.artifact.digest().map(display));
        tracing::error!(plugin = name, generation, stage, digest, "{failure}");
        plugin.failed = Some(FailedGeneration::serving(serving, failure.clone()));
        let refused = Refused::Failed { failure, generation, plugin: plugin.view() };
        self.shown.answers.extend(PendingAnswer::to_all(name, askers, &Err(refused)));
        self.dirty.insert(name.to_owned());
    }
}

impl Plugin {
    /// A new generation takes the configuration, and whoever waits hears of that.
    fn begin_anew_for(&mut self, askers: Vec<Reply>) {
        self.wishes.renewal = Some(Renewal { due: Instant::now(), cause: RenewalCause::Configured });
        if !askers.is_empty() {
            self.ask(Ask { look: 0, force: false, by: None, replies: askers });
        }
    }
}
