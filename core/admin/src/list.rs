//! Plugins, for those who look.

use crate::{
    admit::Visitor,
    ask::{NamedPlugin, OfPlugin, ValidQuery, bad},
    page::{cursor, length, place},
    show,
    state::ControlState,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use camlock_api::{BuildView, GenerationView, Page, PluginPage, PluginView};
use camlock_http::Problem;
use camlock_policy::{Headline, Overview, manifest::Category, registry::Role};
use http::header::ETAG;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, openapi::Object};

/// What this list's cursors are marked with.
const LIST: &str = "plugins";

/// Which plugins are wanted.
#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PluginFilter {
    /// Only those in this state.
    #[param(value_type = Option<String>, schema_with = state_word)]
    status: Option<String>,
    /// Only those of this category.
    #[param(value_type = Option<String>, schema_with = category)]
    category: Option<Category>,
    /// Only those with this in their name or description, in whatever case.
    q: Option<String>,
    /// So many at most: from 1 to 500, and 50 if nothing is said.
    #[param(minimum = 1, maximum = 500, value_type = Option<usize>)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

fn state_word() -> Object {
    show::words(&Headline::ALL.map(Headline::word))
}

fn category() -> Object {
    use Category::{
        Broadcasting, Core, Grpc, Http, Jobs, Kv, Logging, Metrics, Monitoring, Network, Observability, Workflow,
    };
    let all =
        [Core, Logging, Http, Jobs, Kv, Metrics, Grpc, Monitoring, Network, Broadcasting, Workflow, Observability];
    show::words(&all.map(Category::word))
}

/// What is served, and how it is.
#[utoipa::path(get, path = "/plugins", tag = "plugins", operation_id = "plugins", params(PluginFilter), responses(
    (status = 200, description = "By name", body = PluginPage),
))]
pub(super) async fn open_list(
    State(control): ControlState,
    visitor: Visitor,
    ValidQuery(wanted): ValidQuery<PluginFilter>,
) -> Result<Json<PluginPage>, Problem> {
    listed(&control.manager.overview(), &wanted, visitor.role).map(Json)
}

/// The same, for those who show a token.
#[utoipa::path(get, path = "/api/v1/plugins", tag = "plugins", operation_id = "list", params(PluginFilter), responses(
    (status = 200, description = "By name", body = PluginPage),
))]
pub(super) async fn list(
    control: ControlState,
    visitor: Visitor,
    wanted: ValidQuery<PluginFilter>,
) -> Result<Json<PluginPage>, Problem> {
    open_list(control, visitor, wanted).await
}

/// A page of the overview.
pub(super) fn listed(overview: &Overview, wanted: &PluginFilter, role: Option<Role>) -> Result<PluginPage, Problem> {
    let length = length(wanted.limit)?;
    let state = wanted.status.as_deref().map(state).transpose()?;
    let after: Option<String> = place(LIST, wanted.cursor.as_deref())?;
    let words = wanted.q.as_deref().map(str::to_lowercase);
    let fits = |plugin: &PluginView| {
        state.is_none_or(|state| plugin.state == state)
            && wanted.category.is_none_or(|category| plugin.category.as_deref() == Some(category.word()))
            && words.as_deref().is_none_or(|words| {
                plugin.name.to_lowercase().contains(words) || plugin.description.to_lowercase().contains(words)
            })
    };
    let begin = after.map_or(0, |after| overview.plugins.partition_point(|plugin| plugin.name <= after));
    let mut those = overview.plugins[begin..].iter().filter(|plugin| fits(plugin));
    let page: Vec<_> = those.by_ref().take(length).collect();
    let next = those.next().and(page.last()).map(|last| cursor(LIST, &last.name));
    let for_viewers = |trouble: &Option<String>| trouble.clone().filter(|_| role.is_some());
    Ok(PluginPage {
        page: Page { items: page.into_iter().map(|plugin| show::plugin(plugin, role)).collect(), next },
        trouble: for_viewers(&overview.trouble),
        registry_trouble: for_viewers(&overview.registry_trouble),
    })
}

fn state(word: &str) -> Result<Headline, Problem> {
    Headline::ALL.into_iter().find(|state| state.word() == word).ok_or_else(|| {
        let words = Headline::ALL.map(Headline::word).join("`, `");
        bad(format!("`status` is one of `{words}`, and not `{word}`"))
    })
}

/// One plugin.
#[utoipa::path(get, path = "/plugins/{name}", tag = "plugins", operation_id = "plugin", params(OfPlugin), responses(
    (status = 200, description = "The plugin; its revision is the `ETag`", body = PluginView),
))]
pub(super) async fn open_one(visitor: Visitor, NamedPlugin(plugin): NamedPlugin) -> Response {
    tagged(plugin.revision, show::plugin(&plugin, visitor.role))
}

/// The same, for those who show a token.
#[utoipa::path(get, path = "/api/v1/plugins/{name}", tag = "plugins", operation_id = "show", params(OfPlugin), responses(
    (status = 200, description = "The plugin; its revision is the `ETag`", body = PluginView),
))]
pub(super) async fn one(visitor: Visitor, plugin: NamedPlugin) -> Response {
    open_one(visitor, plugin).await
}

/// A plugin as it is sent, with its revision.
pub(super) fn tagged(revision: u64, plugin: impl Serialize) -> Response {
    ([(ETAG, format!("\"{revision}\""))], Json(plugin)).into_response()
}

/// A plugin's generations in the process, and its artifacts that are kept and may be gone back to.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/generations", tag = "plugins", params(OfPlugin), responses(
    (status = 200, description = "What serves, what is leaving, what cannot, what is kept", body = Page<GenerationView>),
))]
pub(super) async fn generations(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
) -> Json<Page<GenerationView>> {
    let kept = control.manager.history(&plugin.name).await;
    // Looking them up took its time: what it serves by now counts.
    let plugin = control.manager.plugin(&plugin.name).unwrap_or(plugin);
    Json(Page::whole(plugin.generations(&kept)))
}

/// The last builds and recalls of a plugin here, the newest first.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/builds", tag = "plugins", params(OfPlugin), responses(
    (status = 200, description = "The newest first", body = Page<BuildView>),
))]
pub(super) async fn builds(NamedPlugin(plugin): NamedPlugin) -> Json<Page<BuildView>> {
    Json(Page::whole(plugin.builds.iter().map(|build| BuildView::clone(build)).collect()))
}
