//! Webhook: events to URLs, as Standard Webhooks.
//!
//! `signing` makes the headers, `addresses` says which addresses may be reached, `plan` what follows from an answer: these are pure. `store`
//! keeps deliveries, `sender` makes one request, `orders` is what operators may have done by `camlock execute webhook`.

#![forbid(unsafe_code)]

mod addresses;
mod orders;
mod plan;
mod sender;
mod settings;
mod signing;
mod store;
#[cfg(test)]
mod tests;

use camlock_plugin::{Config, Due, Event, Execution, Taken, Task, Value, prelude::*};
use plan::{AttemptAnswer, NextStep, verdict};
use serde::Deserialize;
use settings::{LiveSettings, WebhookSettings};
use std::time::{Duration, SystemTime};
use store::{DeliveryOutcome, DeliveryStore};

struct Webhook {
    deliveries: DeliveryStore,
    settings: LiveSettings,
}

/// What a task is about.
#[derive(Deserialize)]
struct DeliveryInput {
    delivery: String,
}

impl Plugin for Webhook {
    async fn create(host: Host) -> Result<Self> {
        let settings = LiveSettings::new(host.config()?);
        Ok(Webhook { deliveries: DeliveryStore::new(host), settings })
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        // Nobody but operators has anything to ask for here.
        Router::new()
    }

    async fn configure(&self, config: Config) -> Result<Taken> {
        self.settings.set(config.read()?);
        Ok(Taken::Live)
    }

    /// Each endpoint that wants it has a delivery of its own. What comes more than once is delivered once.
    async fn event(&self, event: Event) -> Result<()> {
        let settings = self.settings.get();
        let wanted = settings.endpoints.iter().filter(|(_, endpoint)| endpoint.wants(&event.topic));
        for (name, _) in wanted {
            self.deliveries.add(name, &event).await?;
        }
        Ok(())
    }

    /// One attempt. When another one follows, and whether, is decided here: the queue would not know of `Retry-After`.
    async fn task(&self, task: Task) -> Result<Value> {
        let DeliveryInput { delivery: id } = task.input()?;
        let Some(delivery) = self.deliveries.waiting(&id).await? else { return Ok(Value::Null) };
        let settings = self.settings.get();
        let Some(endpoint) = settings.endpoints.get(&delivery.endpoint) else {
            let outcome =
                DeliveryOutcome::failed(None, format!("there is no endpoint `{}` any more", delivery.endpoint));
            self.deliveries.end(&delivery, outcome).await?;
            return Ok(Value::Null);
        };
        let answered = match self.deliveries.why_disabled(&delivery.endpoint).await? {
            Some(why) => AttemptAnswer::Disabled(why),
            None => sender::send(endpoint, &settings, &delivery, SystemTime::now()).await,
        };
        match verdict(&answered, delivery.attempts) {
            NextStep::Delivered => {
                self.deliveries.end(&delivery, DeliveryOutcome::delivered(answered.status())).await?
            }
            NextStep::Failed(why) => {
                self.deliveries.end(&delivery, DeliveryOutcome::failed(answered.status(), why)).await?
            }
            NextStep::Gone(why) => {
                tracing::warn!(endpoint = delivery.endpoint, "{why}: nothing is sent to it before it is enabled again");
                self.deliveries.disable(&delivery.endpoint, &why).await?;
                self.deliveries.end(&delivery, DeliveryOutcome::failed(answered.status(), why)).await?;
            }
            NextStep::Again(pause, why) => self.deliveries.again(&delivery, answered.status(), &why, pause).await?,
        }
        Ok(Value::Null)
    }

    async fn execute(&self, execution: Execution) -> Result<Value> {
        orders::obey(execution.input()?, &self.deliveries, &self.settings.get()).await
    }

    /// Removes what ended long ago.
    async fn schedule(&self, _due: Due) -> Result<()> {
        let days = Duration::from_secs(u64::from(self.settings.get().days) * 24 * 3600);
        self.deliveries.remove_before(SystemTime::now() - days).await?;
        Ok(())
    }
}

export!(Webhook, config = WebhookSettings);
