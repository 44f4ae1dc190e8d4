//! Deliveries in the plugin's tables, and the queue that has each of them tried. What must not live here: HTTP.

use camlock_plugin::{Event, Host, HostError, TaskOptions, database::Row, json};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const COLUMNS: &str = "id, endpoint, topic, body, state, attempts, status, error, made, changed";

/// What is to be delivered, and what has become of it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryStore(Host);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WebhookDelivery {
    pub(crate) id: String,
    pub(crate) endpoint: String,
    pub(crate) topic: String,
    #[serde(skip)]
    pub(crate) body: String,
    pub(crate) state: String,
    /// So many attempts have been made.
    pub(crate) attempts: u32,
    /// What was last answered.
    pub(crate) status: Option<u32>,
    pub(crate) error: Option<String>,
    /// In milliseconds since 1970.
    pub(crate) made: i64,
    pub(crate) changed: i64,
}

/// How one ended.
pub(crate) struct DeliveryOutcome {
    state: &'static str,
    status: Option<u16>,
    error: Option<String>,
}

impl DeliveryOutcome {
    pub(crate) fn delivered(status: Option<u16>) -> Self {
        DeliveryOutcome { state: "delivered", status, error: None }
    }

    pub(crate) fn failed(status: Option<u16>, why: String) -> Self {
        DeliveryOutcome { state: "failed", status, error: Some(why) }
    }
}

fn delivery(row: &Row) -> Result<WebhookDelivery, HostError> {
    Ok(WebhookDelivery {
        id: row.get("id")?,
        endpoint: row.get("endpoint")?,
        topic: row.get("topic")?,
        body: row.get("body")?,
        state: row.get("state")?,
        attempts: row.get("attempts")?,
        status: row.get("status")?,
        error: row.get("error")?,
        made: row.get("made")?,
        changed: row.get("changed")?,
    })
}

fn milliseconds(time: SystemTime) -> i64 {
    let passed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
}

/// The id that receivers see: the same each time that the same event comes for the same endpoint.
fn message_id(endpoint: &str, event: &Event) -> String {
    let at = event.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    // What is kept has a place of its own; of what is not, its time and words have to do.
    let apart = if event.position > 0 { event.position.to_string() } else { format!("{at}") };
    let mut hash = Sha256::new();
    for part in [endpoint.as_bytes(), event.topic.as_bytes(), apart.as_bytes(), &event.payload] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digits: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("msg_{digits}")
}

/// What receivers are sent, as the specification has it.
fn message(event: &Event) -> String {
    let data = event.json::<camlock_plugin::Value>();
    let data = data.unwrap_or_else(|_| json!(String::from_utf8_lossy(&event.payload)));
    json!({ "type": &*event.topic, "timestamp": rfc3339(event.at), "data": data }).to_string()
}

/// As the specification has times.
fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| time.to_string())
}

impl DeliveryStore {
    pub(crate) fn new(host: Host) -> Self {
        DeliveryStore(host)
    }

    /// One more, and the task that makes the first attempt; nothing if it is there already.
    pub(crate) async fn add(&self, endpoint: &str, event: &Event) -> Result<(), HostError> {
        let id = message_id(endpoint, event);
        let now = milliseconds(SystemTime::now());
        let mut transaction = self.0.database().begin().await?;
        let sql = "INSERT INTO p_webhook__deliveries (id, endpoint, topic, body, state, attempts, made, changed) \
                   VALUES ($1, $2, $3, $4, 'waiting', 0, $5, $6) ON CONFLICT (id) DO NOTHING";
        let values = (id.as_str(), endpoint, &*event.topic, message(event), now, now);
        if transaction.execute(sql, values).await? == 0 {
            return transaction.rollback().await;
        }
        transaction.enqueue("DELIVER", json!({ "delivery": id }), TaskOptions::new()).await?;
        transaction.commit().await
    }

    /// One that is still to be delivered.
    pub(crate) async fn waiting(&self, id: &str) -> Result<Option<WebhookDelivery>, HostError> {
        let sql = format!("SELECT {COLUMNS} FROM p_webhook__deliveries WHERE id = $1 AND state = 'waiting'");
        let mut rows = self.0.database().query(&sql, (id,)).await?;
        rows.next().await?.map(|row| delivery(&row)).transpose()
    }

    /// The last ones, the newest first: of an endpoint, in a state.
    pub(crate) async fn list(
        &self,
        endpoint: Option<&str>,
        state: Option<&str>,
        most: usize,
    ) -> Result<Vec<WebhookDelivery>, HostError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM p_webhook__deliveries WHERE endpoint = coalesce($1, endpoint) \
             AND state = coalesce($2, state) ORDER BY made DESC, id LIMIT $3"
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = self.0.database().query(&sql, (endpoint, state, most)).await?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().await? {
            all.push(delivery(&row)?);
        }
        Ok(all)
    }

    /// It ended.
    pub(crate) async fn end(&self, delivery: &WebhookDelivery, outcome: DeliveryOutcome) -> Result<(), HostError> {
        let sql = "UPDATE p_webhook__deliveries SET state = $1, status = $2, error = $3, attempts = $4, changed = $5 \
                   WHERE id = $6 AND state = 'waiting'";
        let (status, attempts) = (outcome.status.map(u32::from), delivery.attempts + 1);
        let values = (outcome.state, status, outcome.error, attempts, milliseconds(SystemTime::now()), &delivery.id);
        self.0.database().execute(sql, values).await.map(drop)
    }

    /// It is tried again after so long.
    pub(crate) async fn again(
        &self,
        delivery: &WebhookDelivery,
        status: Option<u16>,
        why: &str,
        pause: Duration,
    ) -> Result<(), HostError> {
        let mut transaction = self.0.database().begin().await?;
        let sql = "UPDATE p_webhook__deliveries SET status = $1, error = $2, attempts = $3, changed = $4 \
                   WHERE id = $5 AND state = 'waiting' AND attempts = $6";
        let now = milliseconds(SystemTime::now());
        let (before, attempts) = (delivery.attempts, delivery.attempts + 1);
        let values = (status.map(u32::from), why, attempts, now, &delivery.id, before);
        // Somebody else made this attempt, too: theirs counts.
        if transaction.execute(sql, values).await? == 0 {
            return transaction.rollback().await;
        }
        let options = TaskOptions::new().delay(pause);
        transaction.enqueue("DELIVER", json!({ "delivery": delivery.id }), options).await?;
        transaction.commit().await
    }

    /// Has it delivered once more, as if it had never been tried: whether there is such a one, and it has ended.
    pub(crate) async fn replay(&self, id: &str) -> Result<bool, HostError> {
        let mut transaction = self.0.database().begin().await?;
        let sql = "UPDATE p_webhook__deliveries SET state = 'waiting', attempts = 0, changed = $1 \
                   WHERE id = $2 AND state <> 'waiting'";
        if transaction.execute(sql, (milliseconds(SystemTime::now()), id)).await? == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        transaction.enqueue("DELIVER", json!({ "delivery": id }), TaskOptions::new()).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Nothing is sent there any more, and why.
    pub(crate) async fn disable(&self, endpoint: &str, why: &str) -> Result<(), HostError> {
        let sql = "INSERT INTO p_webhook__disabled (endpoint, why, since) VALUES ($1, $2, $3) \
                   ON CONFLICT (endpoint) DO NOTHING";
        self.0.database().execute(sql, (endpoint, why, milliseconds(SystemTime::now()))).await.map(drop)
    }

    /// It is sent there again: whether it was not.
    pub(crate) async fn enable(&self, endpoint: &str) -> Result<bool, HostError> {
        let sql = "DELETE FROM p_webhook__disabled WHERE endpoint = $1";
        Ok(self.0.database().execute(sql, (endpoint,)).await? > 0)
    }

    pub(crate) async fn why_disabled(&self, endpoint: &str) -> Result<Option<String>, HostError> {
        let sql = "SELECT why FROM p_webhook__disabled WHERE endpoint = $1";
        let mut rows = self.0.database().query(sql, (endpoint,)).await?;
        rows.next().await?.map(|row| row.get("why")).transpose()
    }

    /// Removes what ended before then.
    pub(crate) async fn remove_before(&self, time: SystemTime) -> Result<u64, HostError> {
        let sql = "DELETE FROM p_webhook__deliveries WHERE state <> 'waiting' AND changed < $1";
        self.0.database().execute(sql, (milliseconds(time),)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_told_what_when_and_of_what_sort() {
        let mut event = Event::new("order.paid", "{\"order\":7}");
        event.at = UNIX_EPOCH + Duration::from_secs(1_709_164_800);
        let told = json!({ "type": "order.paid", "timestamp": "2024-02-29T00:00:00Z", "data": { "order": 7 } });
        let read = |text: String| serde_json::from_str::<camlock_plugin::Value>(&text).unwrap();
        assert_eq!(read(message(&event)), told);
        let text = Event::new("order.paid", "no json");
        assert_eq!(read(message(&text))["data"], "no json");
    }

    #[test]
    fn an_event_has_one_id_for_each_endpoint() {
        let mut event = Event::new("order.paid", "{\"order\":7}");
        event.position = 3;
        let id = message_id("shop", &event);
        assert_eq!((id.len(), &id[..4]), (36, "msg_"));
        assert_eq!(message_id("shop", &event), id);
        assert_ne!(message_id("other", &event), id);
        event.position = 4;
        assert_ne!(message_id("shop", &event), id);
    }
}
