//! What the host brings to plugins: the way into whatever serves of one, on threads that are that generation's own.
//!
//! It is no request of a client: no limit of requests holds for it, and it is not counted among them. A handler that blocks is told of
//! all the same. What must not live here: what is brought, and how often.

use crate::{
    dedicated_threads::Entrance, dispatch::DispatchState, generation::ServedGeneration, relay::farewell_said,
    thread_activity::RequestLine,
};
use camlock_policy::{
    Answer, BoxFuture, Call, Deliver, Delivered, Delivery, Instance, Lease, ServedPlugins, Undelivered,
};
use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// What a name leads to, for something that is brought.
pub(crate) enum Recipient {
    /// A generation takes it.
    Generation(Arc<ServedGeneration>, Arc<dyn Instance>, Lease),
    /// State is being handed over: there will be another table, so soon at the latest.
    Held(Duration),
    /// Nothing of it serves, and why.
    Nobody(String),
}

/// Brings plugins what no client asked for. It keeps nothing but where to look.
#[derive(Clone)]
pub struct Deliveries {
    pub(crate) state: Weak<DispatchState>,
    pub(crate) on_thread_park: Option<fn()>,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Deliveries").finish_non_exhaustive()
    }
}

impl Deliver for Deliveries {
    fn deliver(&self, plugin: &str, delivery: Delivery) -> BoxFuture<Result<Delivered, Undelivered>> {
        let (deliveries, plugin) = (self.clone(), plugin.to_owned());
        Box::pin(async move {
            let (generation, instance, lease) = deliveries.recipient(&plugin).await?;
            deliveries.bring(&generation, (&instance, lease), delivery).await
        })
    }
}

impl ServedPlugins for Deliveries {
    fn serving(&self, plugin: &str) -> Option<(u64, Arc<dyn Instance>)> {
        match self.state.upgrade()?.recipient(plugin) {
            Recipient::Generation(generation, instance, _) => Some((generation.number, instance)),
            Recipient::Held(_) | Recipient::Nobody(_) => None,
        }
    }
}

impl Deliveries {
    /// Whoever takes it; one who takes over from another is waited for.
    async fn recipient(&self, plugin: &str) -> Result<(Arc<ServedGeneration>, Arc<dyn Instance>, Lease), Undelivered> {
        let mut until = None;
        loop {
            let Some(state) = self.state.upgrade() else {
                return Err(Undelivered::NotServing("the server is ending".to_owned()));
            };
            let published = state.published();
            let mut published = std::pin::pin!(published);
            // Heard of from now on; then look whether it has happened already.
            published.as_mut().enable();
            match state.recipient(plugin) {
                Recipient::Generation(generation, instance, lease) => return Ok((generation, instance, lease)),
                Recipient::Nobody(why) => return Err(Undelivered::NotServing(why)),
                Recipient::Held(bound) => {
                    let until = *until.get_or_insert_with(|| Instant::now() + bound);
                    if timeout_at(until, published).await.is_err() {
                        let why = format!("the state of `{plugin}` is still being handed over: try again");
                        return Err(Undelivered::NotServing(why));
                    }
                }
            }
        }
    }

    async fn bring(
        &self,
        generation: &ServedGeneration,
        owned: (&Arc<dyn Instance>, Lease),
        delivery: Delivery,
    ) -> Result<Delivered, Undelivered> {
        let threads = generation.delivery_threads(self.on_thread_park).map_err(|error| {
            Undelivered::NotServing(format!("no threads could be started for `{}`: {error}", generation.name))
        })?;
        let line = RequestLine::of(&delivery.request);
        let call = Call { trace_id: delivery.trace_id, ..Call::new(delivery.request) };
        let answering = threads.call(Entrance::Delivery, owned, generation.key, line, call);
        let number = generation.number;
        // Where both are the case, it was answered.
        tokio::select! {
            biased;
            answered = answering => match answered {
                Ok(Answer { response, .. }) => Ok(Delivered { generation: number, response }),
                Err(fault) => Err(Undelivered::Failed { generation: number, fault }),
            },
            () = farewell_said(generation.farewell.clone()) => Err(Undelivered::Leaving),
        }
    }
}
