//! What operators may have done: `camlock execute webhook '{"do": "list", "state": "failed"}'`. What must not live here: how it is done.

use crate::{settings::WebhookSettings, store::DeliveryStore};
use camlock_plugin::{Error, Event, Result, Value, json};
use serde::Deserialize;

/// So many deliveries are listed, or replayed, at once.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum OperatorOrder {
    /// The last deliveries.
    List { endpoint: Option<String>, state: Option<String>, limit: Option<usize> },
    /// One delivery once more, or all that failed of an endpoint.
    Replay { id: Option<String>, endpoint: Option<String> },
    /// Endpoints, and why some are disabled.
    Endpoints,
    /// Send again to one that said that it is gone.
    Enable { endpoint: String },
    /// Deliver an event that says nothing.
    Test { endpoint: String },
}

pub(crate) async fn obey(
    order: OperatorOrder,
    deliveries: &DeliveryStore,
    settings: &WebhookSettings,
) -> Result<Value> {
    match order {
        OperatorOrder::List { endpoint, state, limit } => {
            let most = limit.unwrap_or(100).clamp(1, MOST);
            let listed = deliveries.list(endpoint.as_deref(), state.as_deref(), most).await?;
            Ok(json!({ "deliveries": listed }))
        }
        OperatorOrder::Replay { id: Some(id), endpoint: None } => match deliveries.replay(&id).await? {
            true => Ok(json!({ "replayed": 1 })),
            false => Err(Error::msg(format!("there is no delivery `{id}` that has ended"))),
        },
        OperatorOrder::Replay { id: None, endpoint: Some(endpoint) } => {
            known(settings, &endpoint)?;
            let mut replayed = 0;
            for failed in deliveries.list(Some(&endpoint), Some("failed"), MOST).await? {
                replayed += u64::from(deliveries.replay(&failed.id).await?);
            }
            Ok(json!({ "replayed": replayed }))
        }
        OperatorOrder::Replay { .. } => Err(Error::msg("say either `id` or `endpoint`")),
        OperatorOrder::Endpoints => {
            let mut all = Vec::new();
            for (name, endpoint) in &settings.endpoints {
                let disabled = deliveries.why_disabled(name).await?;
                all.push(json!({ "name": name, "url": endpoint.url, "topics": endpoint.topics, "disabled": disabled }));
            }
            Ok(json!({ "endpoints": all }))
        }
        OperatorOrder::Enable { endpoint } => {
            known(settings, &endpoint)?;
            Ok(json!({ "was_disabled": deliveries.enable(&endpoint).await? }))
        }
        OperatorOrder::Test { endpoint } => {
            known(settings, &endpoint)?;
            deliveries.add(&endpoint, &Event::new("webhook.test", "{}")).await?;
            Ok(json!({ "enqueued": 1 }))
        }
    }
}

fn known(settings: &WebhookSettings, endpoint: &str) -> Result<()> {
    if settings.endpoints.contains_key(endpoint) {
        return Ok(());
    }
    let names = settings.endpoints.keys().map(String::as_str).collect::<Vec<_>>().join("`, `");
    Err(Error::msg(format!("there is no endpoint `{endpoint}`, but `{names}`")))
}
