//! The same as `catalogs` under other names, those of an application whose operators know `/api/plugins/marketplace/…`: their paths and
//! shapes, our acts. What must not live here: anything that the other paths cannot do.

use crate::{
    acts::refused,
    admit::Visitor,
    ask::{read, unknown},
    catalogs::{catalogs, refused_by_catalog},
    install::install_by_name,
    show,
    state::{Control, ControlState},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
};
use camlock_api::PluginView;
use camlock_http::Problem;
use camlock_policy::{Act, CatalogInstallOrder, CatalogQuery, Headline, Order};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// Which plugin a path is about.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OneOfMarketplace {
    /// Its name.
    plugin: String,
}

/// What is offered.
#[derive(Serialize, ToSchema)]
pub(super) struct MarketplaceCatalog {
    plugins: Vec<MarketplaceEntry>,
    count: usize,
}

/// A plugin that is offered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MarketplaceEntry {
    name: String,
    display_name: String,
    description: String,
    category: String,
    version: String,
    installed: bool,
    enabled: bool,
}

/// How it is to be configured.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MarketplaceInstall {
    /// Its configuration.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    config: Option<Map<String, Value>>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(super) struct MarketplaceDone {
    message: String,
    /// The plugin afterwards; null: it is gone, or it is about all.
    #[schema(required)]
    plugin: Option<PluginView>,
}

/// What catalogs list, by name.
#[utoipa::path(get, path = "/api/plugins/marketplace/catalog", tag = "marketplace", operation_id = "marketplace_catalog", responses(
    (status = 200, description = "All of it", body = MarketplaceCatalog),
    (status = 503, description = "What is searched cannot be read for now"),
))]
pub(super) async fn list(State(control): ControlState) -> Result<Json<MarketplaceCatalog>, Problem> {
    let found = catalogs(&control)?.search(CatalogQuery::default()).await.map_err(refused_by_catalog)?;
    let plugins: Vec<MarketplaceEntry> = found
        .into_iter()
        .map(|found| {
            let there = control.manager.plugin(&found.name).filter(|plugin| plugin.state != Headline::Missing);
            MarketplaceEntry {
                display_name: if found.display_name.is_empty() { found.name.clone() } else { found.display_name },
                name: found.name,
                description: found.description,
                category: found.category,
                version: found.version,
                installed: there.is_some(),
                enabled: there.is_some_and(|plugin| plugin.enabled),
            }
        })
        .collect();
    Ok(Json(MarketplaceCatalog { count: plugins.len(), plugins }))
}

/// Installs the newest version that fits, with what it needs.
#[utoipa::path(post, path = "/api/plugins/marketplace/install/{plugin}", tag = "marketplace", operation_id = "marketplace_install",
    params(OneOfMarketplace), request_body = MarketplaceInstall, responses(
    (status = 200, description = "It is there", body = MarketplaceDone),
    (status = 400, description = "The configuration does not fit what would be installed: `violations` says where. Nothing was changed"),
    (status = 404, description = "No catalog lists it"),
    (status = 409, description = "It does not fit, or another one is in its place"),
    (status = 422, description = "It is not to be believed, or did not come to serve and was taken back"),
    (status = 503, description = "Its catalog, or the registry, cannot be reached for now"),
))]
pub(super) async fn install(
    State(control): ControlState,
    visitor: Visitor,
    Path(OneOfMarketplace { plugin: name }): Path<OneOfMarketplace>,
    body: Body,
) -> Result<Json<MarketplaceDone>, Problem> {
    let MarketplaceInstall { config } = read(body).await?;
    let order = CatalogInstallOrder {
        plugin: name.clone(),
        config: config.map(Value::Object),
        ..CatalogInstallOrder::default()
    };
    install_by_name(&control, order, visitor.by.clone()).await?;
    let plugin = control.manager.plugin(&name).ok_or_else(|| unknown(&name))?;
    let message = match plugin.state {
        Headline::Serving => "Plugin installed and activated successfully".to_owned(),
        state => format!("Plugin installed; it is {}", state.word()),
    };
    Ok(Json(MarketplaceDone { message, plugin: Some(show::plugin(&plugin, visitor.role)) }))
}

/// Serves a plugin.
#[utoipa::path(post, path = "/api/plugins/marketplace/enable/{plugin}", tag = "marketplace", operation_id = "marketplace_enable",
    params(OneOfMarketplace), responses(
    (status = 200, description = "It is served", body = MarketplaceDone),
    (status = 404, description = "There is no such plugin"),
    (status = 409, description = "It cannot be done as things are"),
    (status = 422, description = "It did not come to serve"),
    (status = 503, description = "The registry cannot be reached for now"),
))]
pub(super) async fn enable(
    State(control): ControlState,
    visitor: Visitor,
    Path(OneOfMarketplace { plugin: name }): Path<OneOfMarketplace>,
) -> Result<Json<MarketplaceDone>, Problem> {
    act(&control, &visitor, &name, Act::Enable(true), "Plugin enabled").await
}

/// Serves a plugin no longer.
#[utoipa::path(post, path = "/api/plugins/marketplace/disable/{plugin}", tag = "marketplace", operation_id = "marketplace_disable",
    params(OneOfMarketplace), responses(
    (status = 200, description = "It is not served any more", body = MarketplaceDone),
    (status = 404, description = "There is no such plugin"),
    (status = 409, description = "It cannot be done as things are"),
    (status = 503, description = "The registry cannot be reached for now"),
))]
pub(super) async fn disable(
    State(control): ControlState,
    visitor: Visitor,
    Path(OneOfMarketplace { plugin: name }): Path<OneOfMarketplace>,
) -> Result<Json<MarketplaceDone>, Problem> {
    act(&control, &visitor, &name, Act::Enable(false), "Plugin disabled").await
}

/// Takes a plugin out. What it kept stays.
#[utoipa::path(delete, path = "/api/plugins/marketplace/uninstall/{plugin}", tag = "marketplace", operation_id = "marketplace_uninstall",
    params(OneOfMarketplace), responses(
    (status = 200, description = "It is gone", body = MarketplaceDone),
    (status = 404, description = "There is no such plugin"),
    (status = 409, description = "It cannot be done as things are"),
    (status = 503, description = "The registry cannot be reached for now"),
))]
pub(super) async fn uninstall(
    State(control): ControlState,
    visitor: Visitor,
    Path(OneOfMarketplace { plugin: name }): Path<OneOfMarketplace>,
) -> Result<Json<MarketplaceDone>, Problem> {
    let Json(done) = act(&control, &visitor, &name, Act::Remove { purge: false }, "Plugin uninstalled").await?;
    Ok(Json(MarketplaceDone { plugin: None, ..done }))
}

/// Looks at all catalogs now.
#[utoipa::path(post, path = "/api/plugins/marketplace/sync", tag = "marketplace", operation_id = "marketplace_sync", responses(
    (status = 200, description = "All were looked at", body = MarketplaceDone),
    (status = 422, description = "One is not to be believed; what is known of it stays"),
    (status = 503, description = "One, or the registry, cannot be reached for now; what is known stays"),
))]
pub(super) async fn sync(State(control): ControlState) -> Result<Json<MarketplaceDone>, Problem> {
    let catalogs = catalogs(&control)?;
    let all = catalogs.list().await.map_err(refused_by_catalog)?;
    for catalog in &all {
        catalogs.sync(&catalog.name).await.map_err(refused_by_catalog)?;
    }
    let message = format!("Catalog synced: {} looked at", all.len());
    Ok(Json(MarketplaceDone { message, plugin: None }))
}

async fn act(
    control: &Control,
    visitor: &Visitor,
    name: &str,
    act: Act,
    message: &str,
) -> Result<Json<MarketplaceDone>, Problem> {
    if control.manager.plugin(name).is_none() {
        return Err(unknown(name));
    }
    let order = Order { plugin: name.to_owned(), act, by: visitor.by.clone(), revision: None };
    let done = control.manager.order(order).await.map_err(|why| refused(name, &why))?;
    let plugin = Some(show::plugin(&done.plugin, visitor.role));
    Ok(Json(MarketplaceDone { message: message.to_owned(), plugin }))
}
