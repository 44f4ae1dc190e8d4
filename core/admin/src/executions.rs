//! What plugins work out for whoever asks, and the log of it. What must not live here: how it is worked out.

use crate::{
    admit::Visitor,
    ask::{NamedPlugin, OfPlugin, ValidQuery, bad, read_up_to},
    page::{cursor, length, place},
    state::{Control, ControlState},
    values::problem,
};
use axum::{Json, body::Body, extract::State};
use camlock_api::{ExecutionResultView, ExecutionStatus, ExecutionView, Page};
use camlock_http::{Problem, sent_trace};
use camlock_policy::{ExecutionEntry, ExecutionOrder, ExecutionQuery, Executions, NotExecuted};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use utoipa::{IntoParams, ToSchema};

/// What this list's cursors are marked with.
const LIST: &str = "executions";
/// The largest request that is read; what is taken of it is set elsewhere.
const LARGEST: usize = 64 << 20;
/// As many milliseconds as an hour has.
const LONGEST: u64 = 3_600_000;

/// What is to be worked out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecutionRequest {
    /// What it is about, as the plugin's manifest says.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    input: Value,
    /// What the plugin is told of the circumstances.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    context: Value,
    /// It may take so many milliseconds; without, as long as usual.
    #[schema(minimum = 1, maximum = 3_600_000)]
    timeout_ms: Option<u64>,
}

/// Has a plugin work something out, and waits for what comes of it. Leaving cancels it.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/execute", tag = "executions", operation_id = "execute",
    request_body = ExecutionRequest, params(OfPlugin), responses(
    (status = 200, description = "It ended, well or badly: `status` says which", body = ExecutionResultView),
    (status = 400, description = "The input does not fit what the plugin says of it"),
    (status = 413, description = "The input is too large"),
    (status = 422, description = "The plugin executes nothing"),
    (status = 429, description = "As many as may be are under way"),
    (status = 503, description = "The plugin does not serve"),
))]
pub(super) async fn execute(
    State(control): ControlState,
    visitor: Visitor,
    NamedPlugin(plugin): NamedPlugin,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ExecutionResultView>, Problem> {
    let ExecutionRequest { input, context, timeout_ms } = read_up_to(body, LARGEST).await?;
    if timeout_ms.is_some_and(|time| !(1..=LONGEST).contains(&time)) {
        return Err(bad(format!("`timeout_ms` is from 1 to {LONGEST}")));
    }
    let order = ExecutionOrder {
        context,
        time: timeout_ms.map(Duration::from_millis),
        by: visitor.by,
        trace_id: sent_trace(&headers),
        ..ExecutionOrder::new(&plugin.name, input)
    };
    let outcome = executions(&control)?.execute(order).await.map_err(|why| not_executed(&plugin.name, &why))?;
    Ok(Json(ExecutionResultView {
        id: outcome.id,
        status: outcome.status,
        result: outcome.result,
        error: outcome.error,
        execution_time_ms: milliseconds(outcome.took),
        generation: outcome.generation,
    }))
}

/// Which executions are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExecutionsQuery {
    /// Only those that came to this.
    #[param(inline)]
    status: Option<ExecutionStatus>,
    /// So many at most: from 1 to 500, and 50 if nothing is said.
    #[param(minimum = 1, maximum = 500, value_type = Option<usize>)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

/// What a plugin worked out, the newest first.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/executions", tag = "executions", operation_id = "executions",
    params(OfPlugin, ExecutionsQuery), responses(
    (status = 200, description = "The newest first", body = Page<ExecutionView>),
    (status = 503, description = "The log cannot be read"),
))]
pub(super) async fn list(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
    ValidQuery(wanted): ValidQuery<ExecutionsQuery>,
) -> Result<Json<Page<ExecutionView>>, Problem> {
    let before = place::<ExecutionPlace>(LIST, wanted.cursor.as_deref())?.map(|place| place.0);
    let query = ExecutionQuery { status: wanted.status, before, most: length(wanted.limit)? };
    let logged = executions(&control)?.logged(&plugin.name, query).await;
    let (entries, more) = logged.map_err(|why| problem(&plugin.name, &why))?;
    let next = entries.last().filter(|_| more).map(|last| cursor(LIST, &last.id));
    Ok(Json(Page { items: entries.into_iter().map(view).collect(), next }))
}

/// An execution's id, as a place in the list.
struct ExecutionPlace(String);

impl std::str::FromStr for ExecutionPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hyphens = [8, 13, 18, 23];
        let good =
            |(at, byte): (usize, u8)| if hyphens.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
        let is_id = text.len() == 36 && text.bytes().enumerate().all(good);
        is_id.then(|| ExecutionPlace(text.to_owned())).ok_or(())
    }
}

fn view(entry: ExecutionEntry) -> ExecutionView {
    ExecutionView {
        id: entry.id,
        status: entry.status,
        begun: entry.begun.into(),
        execution_time_ms: milliseconds(entry.took),
        generation: entry.generation,
        input_bytes: entry.input_bytes,
        output_bytes: entry.output_bytes,
        error: entry.error,
        by: entry.by,
        input: entry.input,
        result: entry.result,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn executions(control: &Control) -> Result<&Arc<dyn Executions>, Problem> {
    let none = || Problem::new(StatusCode::NOT_IMPLEMENTED, "this server has no plugins execute anything");
    control.options.executions.as_ref().ok_or_else(none)
}

fn not_executed(plugin: &str, why: &NotExecuted) -> Problem {
    let status = match why {
        NotExecuted::NotServing(_) => StatusCode::SERVICE_UNAVAILABLE,
        NotExecuted::NotTaken(_) => StatusCode::UNPROCESSABLE_ENTITY,
        NotExecuted::Misfit(_) => StatusCode::BAD_REQUEST,
        NotExecuted::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        NotExecuted::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
    };
    let problem = Problem::of(plugin, status, why.to_string());
    match why {
        NotExecuted::Misfit(violations) => problem.with("violations", serde_json::json!(violations)),
        NotExecuted::NotServing(_) | NotExecuted::TooMany(_) => problem.passing(),
        NotExecuted::NotTaken(_) | NotExecuted::TooLarge(_) => problem,
    }
}
