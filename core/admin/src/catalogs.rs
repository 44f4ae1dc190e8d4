//! Catalogs: which are followed, what they list, and what an install from them would do. Installing itself is `POST /api/v1/plugins`.

use crate::{
    admit::Visitor,
    ask::{ValidQuery, bad, read_some},
    page::{cursor, length, place},
    state::{Control, ControlState},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use camlock_api::{
    CatalogCategoryView, CatalogInstallView, CatalogPackageView, CatalogPluginView, CatalogView, InstallPlanView,
    ListedPluginView, OutdatedView, Page,
};
use camlock_http::Problem;
use camlock_policy::{
    CatalogInstallOrder, CatalogOrder, CatalogQuery, CatalogRefusal, CatalogRefused, CatalogSort, Catalogs,
    InstallPreference,
};
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// What this list's cursors are marked with.
const LIST: &str = "marketplace";

/// A catalog that is to be followed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogRequest {
    /// What it is called here.
    name: String,
    /// `https://…`, or `file:///…` on the server's machine.
    url: String,
    /// What the sha-256 of its first root must be. Without: whatever it is now is trusted from now on.
    #[serde(default)]
    root_sha256: Option<String>,
    /// Where two have a name, the one with the higher number has it.
    #[serde(default)]
    #[schema(value_type = Option<i32>)]
    priority: i32,
    /// Which names it may provide; `*` at an end covers all that begin alike. Empty: all.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    names: Vec<String>,
    /// Whose keys are taken. Empty: anybody's, and then the same for ever.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    publishers: Vec<String>,
    /// Which repositories' workflows must have attested what is taken: `OWNER/REPOSITORY`, or `OWNER/REPOSITORY:WORKFLOW.yml`. Empty: nobody
    /// has to.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    attested_by: Vec<String>,
    /// `NAME@VERSION=SHA256` of packages: of a plugin that is named only such versions, with these digests, are taken. Empty: all are.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    pins: Vec<String>,
    /// Whether packages are taken that nobody signed.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    unsigned: bool,
}

/// Which catalog a path is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OneCatalog {
    /// Its name.
    catalog: String,
}

/// Which plugin a path is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfMarketplace {
    /// Its name.
    plugin: String,
}

/// Which version a path is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OneVersion {
    /// The plugin's name.
    plugin: String,
    /// The version.
    version: String,
}

/// In what order.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ListingSort {
    #[default]
    Relevance,
    Name,
    Rating,
    Downloads,
    CreatedAt,
}

/// What is looked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MarketplaceQuery {
    /// Words; typing errors are forgiven.
    search: Option<String>,
    /// Only of this category.
    category: Option<String>,
    /// Only with this tag.
    tag: Option<String>,
    /// Only by this author.
    author: Option<String>,
    /// Only what there is for this server.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    available_here: bool,
    /// In what order; `relevance` if nothing is said.
    #[serde(default)]
    #[param(inline, value_type = Option<ListingSort>)]
    sort: ListingSort,
    /// So many at most: from 1 to 500, and 50 if nothing is said.
    #[param(minimum = 1, maximum = 500, value_type = Option<usize>)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    #[param(pattern = "^([0-9a-f]{2})+$")]
    cursor: Option<String>,
}

/// What would be installed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PlanQuery {
    /// The plugin.
    plugin_id: String,
    /// A version, or a range as cargo writes them. Without: the newest that fits.
    version: Option<String>,
    /// Which of library and sources is taken; `prebuilt` if nothing is said.
    #[serde(default)]
    #[param(inline, value_type = Option<PreferenceWord>)]
    prefer: InstallPreference,
}

/// Which of library and sources is taken, for the document.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "it is only described")]
pub(super) enum PreferenceWord {
    Prebuilt,
    Source,
    SourceOnly,
}

/// The catalogs that are followed.
#[utoipa::path(get, path = "/api/v1/catalogs", tag = "catalogs", operation_id = "catalogs", responses(
    (status = 200, description = "By name", body = Page<CatalogView>),
    (status = 503, description = "The registry cannot be reached for now"),
))]
pub(super) async fn list(State(control): ControlState) -> Result<Json<Page<CatalogView>>, Problem> {
    let all = catalogs(&control)?.list().await.map_err(refused_by_catalog)?;
    Ok(Json(Page::whole(all)))
}

/// Follows a catalog from now on. It is looked at first: what is no catalog is not followed.
#[utoipa::path(post, path = "/api/v1/catalogs", tag = "catalogs", operation_id = "add_catalog", request_body = CatalogRequest, responses(
    (status = 201, description = "It is followed", body = CatalogView),
    (status = 404, description = "There is no catalog"),
    (status = 409, description = "There is one of that name"),
    (status = 422, description = "It is not to be believed"),
    (status = 503, description = "It, or the registry, cannot be reached for now"),
))]
pub(super) async fn add(State(control): ControlState, visitor: Visitor, body: Body) -> Result<Response, Problem> {
    let CatalogRequest { name, url, root_sha256, priority, names, publishers, attested_by, pins, unsigned } =
        read_some(body).await?;
    let order = CatalogOrder { name, url, root_sha256, priority, names, publishers, attested_by, pins, unsigned };
    let added = catalogs(&control)?.add(order, visitor.by).await.map_err(refused_by_catalog)?;
    Ok((StatusCode::CREATED, Json(added)).into_response())
}

/// Follows a catalog no longer. What was installed from it stays.
#[utoipa::path(delete, path = "/api/v1/catalogs/{catalog}", tag = "catalogs", operation_id = "remove_catalog", params(OneCatalog),
    responses(
    (status = 204, description = "It is followed no longer"),
    (status = 404, description = "There is none of that name"),
    (status = 503, description = "The registry cannot be reached for now"),
))]
pub(super) async fn remove(
    State(control): ControlState,
    visitor: Visitor,
    Path(OneCatalog { catalog }): Path<OneCatalog>,
) -> Result<StatusCode, Problem> {
    catalogs(&control)?.remove(&catalog, visitor.by).await.map_err(refused_by_catalog)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Looks at a catalog now.
#[utoipa::path(post, path = "/api/v1/catalogs/{catalog}/sync", tag = "catalogs", operation_id = "sync_catalog", params(OneCatalog),
    responses(
    (status = 200, description = "What it is now", body = CatalogView),
    (status = 404, description = "There is none of that name"),
    (status = 422, description = "It is not to be believed; what is known of it stays"),
    (status = 503, description = "It, or the registry, cannot be reached for now; what is known of it stays"),
))]
pub(super) async fn sync(
    State(control): ControlState,
    Path(OneCatalog { catalog }): Path<OneCatalog>,
) -> Result<Json<CatalogView>, Problem> {
    catalogs(&control)?.sync(&catalog).await.map(Json).map_err(refused_by_catalog)
}

/// What catalogs list.
#[utoipa::path(get, path = "/api/v1/marketplace/plugins", tag = "catalogs", operation_id = "search_catalogs", params(MarketplaceQuery),
    responses(
    (status = 200, description = "In the order that was asked for", body = Page<ListedPluginView>),
    (status = 503, description = "What is searched cannot be read for now"),
))]
pub(super) async fn search(
    State(control): ControlState,
    ValidQuery(wanted): ValidQuery<MarketplaceQuery>,
) -> Result<Json<Page<ListedPluginView>>, Problem> {
    let after = place::<usize>(LIST, wanted.cursor.as_deref())?.unwrap_or(0);
    let most = length(wanted.limit)?;
    let query = CatalogQuery {
        text: wanted.search.unwrap_or_default(),
        category: wanted.category,
        tag: wanted.tag,
        author: wanted.author,
        available_here: wanted.available_here,
        sort: match wanted.sort {
            ListingSort::Relevance => CatalogSort::Relevance,
            ListingSort::Name => CatalogSort::Name,
            ListingSort::Rating => CatalogSort::Rating,
            ListingSort::Downloads => CatalogSort::Downloads,
            ListingSort::CreatedAt => CatalogSort::CreatedAt,
        },
        skip: after,
        // Whether there is more.
        most: Some(most.saturating_add(1)),
    };
    let mut items = catalogs(&control)?.search(query).await.map_err(refused_by_catalog)?;
    let next = (items.len() > most).then(|| cursor(LIST, after.saturating_add(most)));
    items.truncate(most);
    Ok(Json(Page { items, next }))
}

/// All that a catalog says of a plugin.
#[utoipa::path(get, path = "/api/v1/marketplace/plugins/{plugin}", tag = "catalogs", operation_id = "catalog_plugin",
    params(OfMarketplace), responses(
    (status = 200, description = "It, with its versions and what is wrong with them", body = CatalogPluginView),
    (status = 404, description = "No catalog lists it"),
    (status = 422, description = "Its catalog is not to be believed"),
    (status = 503, description = "Its catalog cannot be reached for now"),
))]
pub(super) async fn show(
    State(control): ControlState,
    Path(OfMarketplace { plugin }): Path<OfMarketplace>,
) -> Result<Json<CatalogPluginView>, Problem> {
    catalogs(&control)?.show(&plugin).await.map(Json).map_err(refused_by_catalog)
}

/// Which categories what is listed belongs to.
#[utoipa::path(get, path = "/api/v1/marketplace/categories", tag = "catalogs", operation_id = "catalog_categories", responses(
    (status = 200, description = "By name", body = Page<CatalogCategoryView>),
    (status = 503, description = "What is searched cannot be read for now"),
))]
pub(super) async fn categories(State(control): ControlState) -> Result<Json<Page<CatalogCategoryView>>, Problem> {
    let all = catalogs(&control)?.categories().await.map_err(refused_by_catalog)?;
    Ok(Json(Page::whole(all)))
}

/// What is in the package of a version for people, proved as what is installed is.
#[utoipa::path(get, path = "/api/v1/marketplace/plugins/{plugin}/versions/{version}", tag = "catalogs",
    operation_id = "catalog_package", params(OneVersion), responses(
    (status = 200, description = "Its README, and the schema of its configuration", body = CatalogPackageView),
    (status = 404, description = "No catalog lists it"),
    (status = 422, description = "Its catalog, or what lies there, is not to be believed"),
    (status = 503, description = "Its catalog cannot be reached for now"),
))]
pub(super) async fn package(
    State(control): ControlState,
    Path(OneVersion { plugin, version }): Path<OneVersion>,
) -> Result<Json<CatalogPackageView>, Problem> {
    catalogs(&control)?.package(&plugin, &version).await.map(Json).map_err(refused_by_catalog)
}

/// What this server is installing from catalogs now.
#[utoipa::path(get, path = "/api/v1/marketplace/installs", tag = "catalogs", operation_id = "catalog_installs", responses(
    (status = 200, description = "Each with how far it is, the oldest first", body = Page<CatalogInstallView>),
    (status = 503, description = "The registry cannot be reached for now"),
))]
pub(super) async fn installs(State(control): ControlState) -> Result<Json<Page<CatalogInstallView>>, Problem> {
    let all = catalogs(&control)?.installs().await.map_err(refused_by_catalog)?;
    Ok(Json(Page::whole(all)))
}

/// What installing a plugin would do. Nothing is changed.
#[utoipa::path(get, path = "/api/v1/marketplace/plan", tag = "catalogs", operation_id = "plan_install", params(PlanQuery), responses(
    (status = 200, description = "What is installed, in order", body = InstallPlanView),
    (status = 404, description = "No catalog lists it"),
    (status = 409, description = "What is asked for does not fit together, or not here"),
    (status = 422, description = "Its catalog is not to be believed"),
    (status = 503, description = "Its catalog cannot be reached for now"),
))]
pub(super) async fn plan(
    State(control): ControlState,
    ValidQuery(PlanQuery { plugin_id, version, prefer }): ValidQuery<PlanQuery>,
) -> Result<Json<InstallPlanView>, Problem> {
    let order = CatalogInstallOrder { plugin: plugin_id, version, prefer, ..CatalogInstallOrder::default() };
    catalogs(&control)?.plan(order).await.map(Json).map_err(refused_by_catalog)
}

/// What is installed from catalogs and is not the newest, or has something wrong with it.
#[utoipa::path(get, path = "/api/v1/marketplace/outdated", tag = "catalogs", operation_id = "outdated", responses(
    (status = 200, description = "By name", body = Page<OutdatedView>),
    (status = 503, description = "The registry cannot be reached for now"),
))]
pub(super) async fn outdated(State(control): ControlState) -> Result<Json<Page<OutdatedView>>, Problem> {
    let all = catalogs(&control)?.outdated().await.map_err(refused_by_catalog)?;
    Ok(Json(Page::whole(all)))
}

pub(super) fn catalogs(control: &Control) -> Result<&Arc<dyn Catalogs>, Problem> {
    let none = || Problem::new(StatusCode::NOT_IMPLEMENTED, "this server follows no catalogs");
    control.options.catalogs.as_ref().ok_or_else(none)
}

/// Why something was not had of a catalog.
pub(super) fn refused_by_catalog(CatalogRefusal { kind, reason }: CatalogRefusal) -> Problem {
    let status = match kind {
        CatalogRefused::Invalid => return bad(reason),
        CatalogRefused::Missing => StatusCode::NOT_FOUND,
        CatalogRefused::Conflict => StatusCode::CONFLICT,
        CatalogRefused::Denied | CatalogRefused::Failed => StatusCode::UNPROCESSABLE_ENTITY,
        CatalogRefused::Unavailable => return Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).passing(),
    };
    Problem::new(status, reason)
}
