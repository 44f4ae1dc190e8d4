//! Events: emitted and followed by operators, and who hears of them.

use crate::{
    admit::Visitor,
    ask::{ValidQuery, read, read_some},
    journal::ended,
    lasting::{Credentials, lasting},
    page::{cursor, length, place},
    state::{Control, ControlState},
    stream_event::StreamEvent,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{Response, sse},
};
use camlock_api::{DeadEventView, EventView, Page, SubscriptionView};
use camlock_http::Problem;
use camlock_policy::{AskError, AskErrorCode, Emission, EventControl, registry::Happened};
use futures_util::stream::unfold;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{sync::Arc, time::SystemTime};
use utoipa::{IntoParams, ToSchema};

/// What the list of dead events marks its cursors with.
const DEAD: &str = "dead";

/// An event to be emitted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmissionRequest {
    /// What it is about: any topic but those that begin with `camlock.`.
    topic: String,
    /// What it says: any JSON.
    #[serde(default)]
    payload: Value,
    /// Whether it is kept even if nobody wants it kept.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    durable: bool,
}

/// What was emitted.
#[derive(Serialize, ToSchema)]
pub(super) struct EmittedView {
    topic: String,
}

/// Which events are followed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TopicQuery {
    /// A topic, or a pattern of topics: `*` stands for a word, `**` at the end for any. Without: all.
    topic: Option<String>,
}

/// A page of what was given up.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadQuery {
    /// So many at most: from 1 to 500, and 50 if nothing is said.
    #[param(minimum = 1, maximum = 500, value_type = Option<usize>)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

/// What is to be tried anew.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReplayRequest {
    /// This event; without, all that were given up.
    number: Option<u64>,
}

/// How many are tried anew.
#[derive(Serialize, ToSchema)]
pub(super) struct ReplayedView {
    replayed: u64,
}

/// Which subscription a path is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfSubscription {
    /// The subscription's id.
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NothingMore {}

/// Emits an event. When this is answered, one that somebody wants kept is kept.
#[utoipa::path(post, path = "/api/v1/emit", tag = "events", operation_id = "emit", request_body = EmissionRequest, responses(
    (status = 202, description = "It is emitted", body = EmittedView),
    (status = 403, description = "The topic is the host's own"),
    (status = 413, description = "It says too much"),
    (status = 503, description = "It cannot be kept now"),
))]
pub(super) async fn emit(State(control): ControlState, body: Body) -> Result<(StatusCode, Json<EmittedView>), Problem> {
    let EmissionRequest { topic, payload, durable } = read_some(body).await?;
    let emission = Emission { topic: topic.clone(), payload: payload.to_string().into(), durable, trace_id: [0; 16] };
    events_of(&control)?.emit(emission).await.map_err(|error| problem(&error))?;
    Ok((StatusCode::ACCEPTED, Json(EmittedView { topic })))
}

type SentEventView = StreamEvent<EventView>;

/// Events that this server emits, from now on.
#[utoipa::path(get, path = "/api/v1/topics/events", tag = "events", operation_id = "follow_topics", params(TopicQuery), responses(
    (status = 200, description = "Each event's `data` is one; whoever reads slowly misses some",
        body = SentEventView, content_type = "text/event-stream"),
))]
pub(super) async fn follow(
    State(control): ControlState,
    ValidQuery(TopicQuery { topic }): ValidQuery<TopicQuery>,
    pass: Credentials,
) -> Result<Response, Problem> {
    let heard = events_of(&control)?.follow(topic.as_deref().unwrap_or("**")).map_err(|error| problem(&error))?;
    let following = (heard, control.manager.watch());
    let events = unfold(following, async |(mut heard, mut server)| {
        let event = tokio::select! {
            event = heard.recv() => event?,
            () = ended(&mut server) => return None,
        };
        let told = sse::Event::default().json_data(event).unwrap_or_default();
        Some((told, (heard, server)))
    });
    Ok(lasting(events, pass))
}

/// Who hears of events.
#[utoipa::path(get, path = "/api/v1/subscriptions", tag = "events", operation_id = "subscriptions", responses(
    (status = 200, description = "Those of this server, and those that are kept", body = Page<SubscriptionView>),
    (status = 503, description = "Those that are kept cannot be looked up now"),
))]
pub(super) async fn subscriptions(State(control): ControlState) -> Result<Json<Page<SubscriptionView>>, Problem> {
    let items = events_of(&control)?.subscriptions().await.map_err(|error| problem(&error))?;
    Ok(Json(Page { items, next: None }))
}

/// Events that were given up for a subscription, in their order.
#[utoipa::path(get, path = "/api/v1/subscriptions/{id}/dead", tag = "events", operation_id = "dead_events",
    params(OfSubscription, DeadQuery), responses(
    (status = 200, description = "In their order", body = Page<DeadEventView>),
    (status = 404, description = "There is no such subscription"),
    (status = 409, description = "Nothing of it is kept"),
))]
pub(super) async fn dead(
    State(control): ControlState,
    Path(OfSubscription { id }): Path<OfSubscription>,
    ValidQuery(wanted): ValidQuery<DeadQuery>,
) -> Result<Json<Page<DeadEventView>>, Problem> {
    let after = place(DEAD, wanted.cursor.as_deref())?.unwrap_or(0);
    let found = events_of(&control)?.dead(&id, after, length(wanted.limit)?).await;
    let (items, more) = found.map_err(|error| problem(&error))?;
    let next = items.last().filter(|_| more).map(|last| cursor(DEAD, last.number));
    Ok(Json(Page { items, next }))
}

/// Tries anew what was given up.
#[utoipa::path(post, path = "/api/v1/subscriptions/{id}/replay", tag = "events", operation_id = "replay_events",
    params(OfSubscription), request_body = Option<ReplayRequest>, responses(
    (status = 202, description = "They are tried", body = ReplayedView),
    (status = 404, description = "There is no such subscription, or no such event"),
    (status = 409, description = "Nothing of it is kept"),
))]
pub(super) async fn replay(
    State(control): ControlState,
    visitor: Visitor,
    Path(OfSubscription { id }): Path<OfSubscription>,
    body: Body,
) -> Result<(StatusCode, Json<ReplayedView>), Problem> {
    let ReplayRequest { number } = read(body).await?;
    let replayed = events_of(&control)?.replay(&id, number).await.map_err(|error| problem(&error))?;
    note(&control, &visitor, "events-replayed", json!({ "subscription": id, "events": replayed }));
    Ok((StatusCode::ACCEPTED, Json(ReplayedView { replayed })))
}

/// Brings nothing to a subscription until it is resumed.
#[utoipa::path(post, path = "/api/v1/subscriptions/{id}/pause", tag = "events", operation_id = "pause_subscription",
    params(OfSubscription), responses(
    (status = 204, description = "It is paused"),
    (status = 404, description = "There is no such subscription"),
    (status = 409, description = "It is not granted"),
))]
pub(super) async fn pause(
    state: ControlState,
    visitor: Visitor,
    path: Path<OfSubscription>,
    body: Body,
) -> Result<StatusCode, Problem> {
    set_paused(state, &visitor, path, body, true).await
}

/// Has a subscription go on.
#[utoipa::path(post, path = "/api/v1/subscriptions/{id}/resume", tag = "events", operation_id = "resume_subscription",
    params(OfSubscription), responses(
    (status = 204, description = "It goes on"),
    (status = 404, description = "There is no such subscription"),
    (status = 409, description = "It is not granted"),
))]
pub(super) async fn resume(
    state: ControlState,
    visitor: Visitor,
    path: Path<OfSubscription>,
    body: Body,
) -> Result<StatusCode, Problem> {
    set_paused(state, &visitor, path, body, false).await
}

async fn set_paused(
    State(control): ControlState,
    visitor: &Visitor,
    Path(OfSubscription { id }): Path<OfSubscription>,
    body: Body,
    paused: bool,
) -> Result<StatusCode, Problem> {
    let NothingMore {} = read(body).await?;
    events_of(&control)?.pause(&id, paused).await.map_err(|error| problem(&error))?;
    let what = if paused { "subscription-paused" } else { "subscription-resumed" };
    note(&control, visitor, what, json!({ "subscription": id }));
    Ok(StatusCode::NO_CONTENT)
}

fn events_of(control: &Control) -> Result<&Arc<dyn EventControl>, Problem> {
    let none = || Problem::new(StatusCode::NOT_IMPLEMENTED, "this server has no events");
    control.options.events.as_ref().ok_or_else(none)
}

fn problem(error: &AskError) -> Problem {
    let status = match error.code {
        AskErrorCode::Denied => StatusCode::FORBIDDEN,
        AskErrorCode::Limit => StatusCode::PAYLOAD_TOO_LARGE,
        AskErrorCode::Conflict => StatusCode::CONFLICT,
        AskErrorCode::NotFound => StatusCode::NOT_FOUND,
        AskErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        AskErrorCode::Invalid => StatusCode::BAD_REQUEST,
    };
    let problem = Problem::new(status, error.message.as_str());
    if status == StatusCode::SERVICE_UNAVAILABLE { problem.passing() } else { problem }
}

fn note(control: &Control, visitor: &Visitor, what: &'static str, detail: Value) {
    let by = visitor.by.clone();
    (control.options.note)(Happened { plugin: None, generation: None, what, by, detail, at: SystemTime::now() });
}
