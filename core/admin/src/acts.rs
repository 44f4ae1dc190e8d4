//! What operators ask for. Each waits for its outcome, unless it is outcome_of not to.

use crate::{
    admit::Visitor,
    ask::{NamedPlugin, OfPlugin, OnCondition, ValidQuery, condition, read, read_some},
    list::{PluginFilter, listed, tagged},
    show,
    state::ControlState,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use camlock_api::{FailureView, Isolation, PluginPage, PluginView};
use camlock_http::Problem;
use camlock_policy::{
    Act, Digest, Done, Order, Refused,
    registry::{Happened, Role},
};
use http::{HeaderMap, StatusCode, header::ETAG};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::time::SystemTime;
use utoipa::{IntoParams, ToSchema};

/// Whether the answer waits.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Whether the answer waits for the outcome. If not: 202.
    #[serde(default = "yes")]
    #[param(value_type = Option<bool>)]
    wait: bool,
}

/// Whether the answer waits, and whether bounds count.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReloadQuery {
    /// Whether the answer waits for the outcome. If not: 202.
    #[serde(default = "yes")]
    #[param(value_type = Option<bool>)]
    wait: bool,
    /// Also if too many generations of it cannot leave.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    force: bool,
}

fn yes() -> bool {
    true
}

/// A body in which nothing may stand.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyObject {}

/// Where to go back to.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RollbackRequest {
    /// An artifact that is kept; without, the one that served before.
    #[schema(value_type = Option<String>, pattern = "^(sha256:)?[0-9a-fA-F]{64}$")]
    to: Option<Digest>,
    /// Also to a version whose tables lack something that it needs, because a later one took that away.
    force: bool,
}

/// What is decided about a plugin. What is not not_null stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginDecision {
    /// Whether to serve it.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = bool, required = false, nullable = false)]
    enabled: Option<bool>,
    /// Its configuration, an object.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Object, required = false, nullable = false)]
    config: Option<Map<String, Value>>,
    /// Where it runs: in the server's process, or in one of its own; null: wherever the configuration and its manifest say.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = Option<Isolation>, required = false)]
    isolation: Option<Option<Isolation>>,
}

/// What is there, be it null.
fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(value).map(Some)
}

/// What is not_null is not null.
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// Makes a new generation, also of unchanged code. Ends a quarantine.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/reload", tag = "acts", params(OfPlugin, ReloadQuery, OnCondition), responses(
    (status = 200, description = "The new generation serves", body = PluginView),
    (status = 202, description = "With `wait=false`: it is asked for", body = PluginView),
    (status = 422, description = "The candidate failed; what served serves on"),
))]
pub(super) async fn reload(
    control: ControlState,
    visitor: Visitor,
    named: NamedPlugin,
    ValidQuery(ReloadQuery { wait, force }): ValidQuery<ReloadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let EmptyObject {} = read(body).await?;
    perform(control, visitor, named, &headers, wait, Act::Reload { force }).await
}

/// Goes back to an artifact that is kept, until the source changes.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/rollback", tag = "acts", request_body = RollbackRequest, params(OfPlugin, WaitQuery, OnCondition), responses(
    (status = 200, description = "It serves", body = PluginView),
    (status = 202, description = "With `wait=false`: it is asked for", body = PluginView),
    (status = 409, description = "It is not kept"),
    (status = 422, description = "It failed; what served serves on"),
))]
pub(super) async fn rollback(
    control: ControlState,
    visitor: Visitor,
    named: NamedPlugin,
    ValidQuery(WaitQuery { wait }): ValidQuery<WaitQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let RollbackRequest { to, force } = read(body).await?;
    perform(control, visitor, named, &headers, wait, Act::Rollback { to, force }).await
}

/// Serves it. Once more changes nothing.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/enable", tag = "acts", params(OfPlugin, WaitQuery, OnCondition), responses(
    (status = 200, description = "It is enabled", body = PluginView),
    (status = 202, description = "With `wait=false`: it is asked for", body = PluginView),
    (status = 422, description = "It is enabled, and did not come to serve"),
))]
pub(super) async fn enable(
    control: ControlState,
    visitor: Visitor,
    named: NamedPlugin,
    ValidQuery(WaitQuery { wait }): ValidQuery<WaitQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let EmptyObject {} = read(body).await?;
    perform(control, visitor, named, &headers, wait, Act::Enable(true)).await
}

/// Does not serve it any more. Once more changes nothing.
#[utoipa::path(post, path = "/api/v1/plugins/{name}/disable", tag = "acts", params(OfPlugin, WaitQuery, OnCondition), responses(
    (status = 200, description = "It is disabled", body = PluginView),
    (status = 202, description = "With `wait=false`: it is asked for", body = PluginView),
    (status = 409, description = "Others depend on it"),
))]
pub(super) async fn disable(
    control: ControlState,
    visitor: Visitor,
    named: NamedPlugin,
    ValidQuery(WaitQuery { wait }): ValidQuery<WaitQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let EmptyObject {} = read(body).await?;
    perform(control, visitor, named, &headers, wait, Act::Enable(false)).await
}

/// Decides whether to serve it, and its configuration.
#[utoipa::path(put, path = "/api/v1/plugins/{name}", tag = "acts", request_body = PluginDecision, params(OfPlugin, WaitQuery, OnCondition), responses(
    (status = 200, description = "It is decided, and what serves has the configuration", body = PluginView),
    (status = 202, description = "With `wait=false`: it is asked for", body = PluginView),
    (status = 400, description = "The configuration does not fit the schema of what serves: `violations` says where, what is expected there, and what was found. Nothing was changed"),
    (status = 409, description = "It cannot be done as things are"),
    (status = 422, description = "It is decided, and did not come to serve"),
))]
pub(super) async fn set(
    control: ControlState,
    visitor: Visitor,
    named: NamedPlugin,
    ValidQuery(WaitQuery { wait }): ValidQuery<WaitQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let PluginDecision { enabled, config, isolation } = read_some(body).await?;
    perform(control, visitor, named, &headers, wait, Act::Set { enabled, config: config.map(Value::Object), isolation })
        .await
}

/// Whether the answer waits, and what goes with the plugin.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RemovalQuery {
    /// Whether the answer waits for the outcome. If not: 202.
    #[serde(default = "yes")]
    #[param(value_type = Option<bool>)]
    wait: bool,
    /// Also remove all that it kept, on all servers: its directory, its values, its tables.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    purge: bool,
}

/// Takes it out: it is drained and unloaded, and its entry is moved away.
#[utoipa::path(delete, path = "/api/v1/plugins/{name}", tag = "acts", params(OfPlugin, RemovalQuery, OnCondition), responses(
    (status = 200, description = "It is gone: as it was", body = PluginView),
    (status = 202, description = "With `wait=false`: it is asked for", body = PluginView),
    (status = 409, description = "Others depend on it, or it is compiled in"),
))]
pub(super) async fn remove(
    control: ControlState,
    visitor: Visitor,
    named: NamedPlugin,
    ValidQuery(RemovalQuery { wait, purge }): ValidQuery<RemovalQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let EmptyObject {} = read(body).await?;
    perform(control, visitor, named, &headers, wait, Act::Remove { purge }).await
}

/// Has everything looked at again. What comes of it is seen in the plugins.
#[utoipa::path(post, path = "/api/v1/reload", tag = "acts", operation_id = "look_again", responses(
    (status = 202, description = "It is looked at; the first page of plugins as they are now", body = PluginPage),
))]
pub(super) async fn look_again(
    State(control): ControlState,
    visitor: Visitor,
    ValidQuery(EmptyObject {}): ValidQuery<EmptyObject>,
    body: Body,
) -> Result<Response, Problem> {
    let EmptyObject {} = read(body).await?;
    (control.options.note)(Happened {
        plugin: None,
        generation: None,
        what: "reload",
        by: visitor.by.clone(),
        detail: Value::Object(Map::new()),
        at: SystemTime::now(),
    });
    control.manager.look();
    let plugins = listed(&control.manager.overview(), &PluginFilter::default(), visitor.role)?;
    Ok((StatusCode::ACCEPTED, Json(plugins)).into_response())
}

async fn perform(
    State(control): ControlState,
    visitor: Visitor,
    NamedPlugin(plugin): NamedPlugin,
    headers: &HeaderMap,
    wait: bool,
    act: Act,
) -> Result<Response, Problem> {
    let revision = condition(headers, &plugin)?;
    let order = Order { plugin: plugin.name.clone(), act, by: visitor.by, revision };
    if wait {
        return outcome_of(&plugin.name, control.manager.order(order).await, visitor.role);
    }
    if revision.is_some_and(|revision| revision != plugin.revision) {
        return Err(refused(&plugin.name, &Refused::Outdated(plugin.revision)));
    }
    let manager = control.manager.clone();
    // Whoever does not wait reads the outcome from the plugin.
    tokio::spawn(async move { drop(manager.order(order).await) });
    Ok((StatusCode::ACCEPTED, tagged(plugin.revision, show::plugin(&plugin, visitor.role))).into_response())
}

/// What came of an act.
pub(super) fn outcome_of(name: &str, outcome: Result<Done, Refused>, role: Option<Role>) -> Result<Response, Problem> {
    match outcome {
        Ok(done) => Ok(tagged(done.plugin.revision, show::done(&done, role))),
        Err(why) => Err(refused(name, &why)),
    }
}

/// Why an act was not done.
pub(super) fn refused(name: &str, refused: &Refused) -> Problem {
    let detail = refused.to_string();
    match refused {
        Refused::Unknown(_) => Problem::of(name, StatusCode::NOT_FOUND, detail),
        Refused::Conflict(_) => Problem::of(name, StatusCode::CONFLICT, detail),
        Refused::Misfit(violations) => {
            Problem::of(name, StatusCode::BAD_REQUEST, detail).with("violations", serde_json::json!(violations))
        }
        Refused::Outdated(revision) => {
            let tag = format!("\"{revision}\"").parse().ok();
            let problem = Problem::of(name, StatusCode::PRECONDITION_FAILED, detail).with("revision", *revision);
            match tag {
                Some(tag) => problem.with_header(ETAG, tag),
                None => problem,
            }
        }
        Refused::Unavailable(_) => Problem::of(name, StatusCode::SERVICE_UNAVAILABLE, detail).passing(),
        Refused::Ending => Problem::of(name, StatusCode::SERVICE_UNAVAILABLE, detail),
        Refused::Failed { failure, generation, .. } => {
            failed_candidate(name, &failure.view(*generation, SystemTime::now()))
        }
    }
}

/// A candidate did not make it.
pub(super) fn failed_candidate(name: &str, failed: &FailureView) -> Problem {
    Problem::of(name, StatusCode::UNPROCESSABLE_ENTITY, failed.reason.as_str())
        .with("stage", failed.stage.to_string())
        .with("generation", failed.generation)
        .with("diagnostics", serde_json::json!(failed.diagnostics))
}
