//! What plugins bring to the page. What must not live here: their files, which the page's own listener sends.

use crate::state::ControlState;
use axum::{Json, extract::State};
use camlock_api::{ExtensionPart, ExtensionTheme, ExtensionView, Page};
use camlock_policy::{PageOffer, UiPart, UiTheme};

/// What plugins that serve bring to the page.
#[utoipa::path(get, path = "/api/v1/extensions", tag = "plugins", operation_id = "extensions", responses(
    (status = 200, description = "By plugin", body = Page<ExtensionView>),
))]
pub(super) async fn extensions(State(control): ControlState) -> Json<Page<ExtensionView>> {
    let overview = control.manager.overview();
    let offers = overview.plugins.iter().filter_map(|plugin| Some(view(&plugin.name, plugin.page_offer()?)));
    Json(Page::whole(offers.collect()))
}

fn view(plugin: &str, offer: PageOffer) -> ExtensionView {
    let parts = |parts: Vec<UiPart>| {
        let part = |UiPart { id, title, module, permissions, config, default, format }| ExtensionPart {
            id,
            title,
            module,
            permissions,
            config,
            default,
            format,
        };
        parts.into_iter().map(part).collect()
    };
    let theme = |UiTheme { id, title, dark, tokens }| ExtensionTheme { id, title, dark, tokens };
    ExtensionView {
        plugin: plugin.to_owned(),
        base: format!("/ext/{plugin}/{}/", offer.digest),
        digest: offer.digest,
        rights: offer.rights,
        trusted: offer.is_trusted,
        widgets: parts(offer.ui.widgets),
        pages: parts(offer.ui.pages),
        menus: parts(offer.ui.menus),
        fields: parts(offer.ui.fields),
        themes: offer.ui.themes.into_iter().map(theme).collect(),
    }
}
