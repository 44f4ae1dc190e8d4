//! What plugins bring to the page. What must not live here: their files, which the page's own listener sends.

use crate::state::ControlState;
use axum::{Json, extract::State};
use camlock_api::{ExtensionPart, ExtensionView, Page};
use camlock_policy::{PageOffer, UiPart};

/// The widgets and pages of plugins that serve.
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
        parts.into_iter().map(|UiPart { id, title, module }| ExtensionPart { id, title, module }).collect()
    };
    ExtensionView {
        plugin: plugin.to_owned(),
        base: format!("/ext/{plugin}/{}/", offer.digest),
        digest: offer.digest,
        rights: offer.rights,
        widgets: parts(offer.ui.widgets),
        pages: parts(offer.ui.pages),
    }
}
