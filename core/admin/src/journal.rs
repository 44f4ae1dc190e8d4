//! What happened: in pages, and as it happens.

use crate::{
    ask::{ValidQuery, bad},
    lasting::{Credentials, lasting},
    page::{cursor, length, place},
    state::{Control, ControlState},
    stream_event::StreamEvent,
};
use axum::{
    Json,
    extract::State,
    response::{Response, sse},
};
use camlock_api::{JournalEntry, Page};
use camlock_http::Problem;
use camlock_policy::{
    Overview,
    registry::{Archive, Event, EventId, EventQuery, Unavailable},
};
use futures_util::stream::unfold;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};
use utoipa::IntoParams;

/// What this list's cursors are marked with.
const LIST: &str = "journal";
/// So many events are read at once.
const AT_ONCE: usize = 100;
/// When to look again for what was announced, or could not be read: at first, and at last. An event may be announced before it
/// can be read.
const SOON: Duration = Duration::from_millis(250);
const LATE: Duration = Duration::from_secs(16);

/// An event as it is shown.
fn entry(event: Event) -> JournalEntry {
    JournalEntry {
        id: event.id.to_string(),
        at: event.at.into(),
        node: event.node,
        plugin: event.plugin,
        generation: event.generation,
        what: event.what,
        by: event.by.to_string(),
        detail: event.detail,
    }
}

/// Which entries are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JournalQuery {
    /// Only this plugin's.
    plugin: Option<String>,
    /// So many at most: from 1 to 500, and 50 if nothing is said.
    #[param(minimum = 1, maximum = 500, value_type = Option<usize>)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

/// What happened, the newest first.
#[utoipa::path(get, path = "/api/v1/journal", tag = "fleet", params(JournalQuery), responses(
    (status = 200, description = "The newest first", body = Page<JournalEntry>),
    (status = 503, description = "The registry cannot be read"),
))]
pub(super) async fn journal(
    State(control): ControlState,
    ValidQuery(JournalQuery { plugin, limit, cursor: from }): ValidQuery<JournalQuery>,
) -> Result<Json<Page<JournalEntry>>, Problem> {
    let limit = length(limit)?;
    let before = place(LIST, from.as_deref())?;
    let query = EventQuery { after: None, before, plugin, limit };
    let page = control.options.archive.events(query).await.map_err(unavailable)?;
    let next = page.events.last().filter(|_| page.more).map(|last| cursor(LIST, last.id));
    Ok(Json(Page { items: page.events.into_iter().map(entry).collect(), next }))
}

/// The registry cannot be used for now.
pub(super) fn unavailable(Unavailable(why): Unavailable) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).passing()
}

/// Which events are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Only those after this one. Without, and without `Last-Event-ID`: only those to come.
    after: Option<String>,
    /// Only this plugin's.
    plugin: Option<String>,
}

type SentJournalEntry = StreamEvent<JournalEntry>;

/// What happens, as it happens. It goes on after the `Last-Event-ID` that was sent.
#[utoipa::path(get, path = "/api/v1/events", tag = "fleet",
    params(EventsQuery, ("last-event-id" = Option<String>, Header, description = "As `after`, and before it")), responses(
    (status = 200, description = "Each event's `data` is an entry of the journal",
        body = SentJournalEntry, content_type = "text/event-stream"),
    (status = 503, description = "The registry cannot be read"),
))]
pub(super) async fn events(
    State(control): ControlState,
    ValidQuery(EventsQuery { after, plugin }): ValidQuery<EventsQuery>,
    headers: HeaderMap,
    pass: Credentials,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let after = match last.filter(|last| !last.is_empty()).or(after) {
        Some(id) => id.parse().map_err(|why| bad(format!("`{id}` is no event of the journal: {why}")))?,
        None => newest(&control).await.map_err(unavailable)?,
    };
    let following = JournalFollower {
        fresh: control.options.archive.fresh(),
        archive: control.options.archive.clone(),
        after,
        plugin,
        read: VecDeque::new(),
        again: None,
        first: true,
        server: control.manager.watch(),
    };
    let events = unfold(following, async |mut following| {
        let event = following.next().await?;
        let told = sse::Event::default().id(event.id.to_string());
        let told = told.json_data(entry(event)).unwrap_or_default();
        Some((told, following))
    });
    Ok(lasting(events, pass))
}

/// The newest event: what comes after it is to come.
async fn newest(control: &Control) -> Result<EventId, Unavailable> {
    let page = control.options.archive.events(EventQuery { limit: 1, ..EventQuery::default() }).await?;
    Ok(page.events.first().map(|event| event.id).unwrap_or_default())
}

/// A client that follows the journal.
struct JournalFollower {
    archive: Arc<dyn Archive>,
    fresh: watch::Receiver<u64>,
    after: EventId,
    plugin: Option<String>,
    /// What was read and not yet sent.
    read: VecDeque<Event>,
    /// When to look again, if something is to be expected.
    again: Option<Duration>,
    first: bool,
    server: watch::Receiver<Arc<Overview>>,
}

impl JournalFollower {
    /// The next event; none when the server ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.after = event.id;
                return Some(event);
            }
            if !std::mem::take(&mut self.first) && !self.announced().await {
                return None;
            }
            self.read().await;
        }
    }

    /// Waits until there is something to expect; whether the server goes on.
    async fn announced(&mut self) -> bool {
        let again = self.again.unwrap_or(Duration::MAX);
        tokio::select! {
            announced = timeout(again, self.fresh.changed()) => match announced {
                // Whoever announces is gone, and so are events.
                Ok(Err(_)) => return false,
                Ok(Ok(())) => self.again = None,
                Err(_) => {}
            },
            () = ended(&mut self.server) => return false,
        }
        true
    }

    async fn read(&mut self) {
        self.fresh.mark_unchanged();
        let query = EventQuery { after: Some(self.after), before: None, plugin: self.plugin.clone(), limit: AT_ONCE };
        match self.archive.events(query).await {
            Ok(page) if !page.events.is_empty() => {
                self.read = page.events.into();
                // There may be more.
                self.first = true;
                self.again = None;
            }
            Ok(_) | Err(_) => self.again = Some(self.again.map_or(SOON, |again| (again * 2).min(LATE))),
        }
    }
}

/// Waits until the server has ended: then there is nothing to follow any more.
pub(super) async fn ended(server: &mut watch::Receiver<Arc<Overview>>) {
    while server.changed().await.is_ok() {}
}
