//! What `routes()` may return.

use axum::Router;

/// A plugin's routes, and their OpenAPI document if they have one.
#[derive(Debug)]
pub struct Routes {
    pub(crate) router: Router,
    pub(crate) openapi: Option<String>,
}

impl Routes {
    /// The router itself, for a program that links the plugin in.
    pub fn into_router(self) -> Router {
        self.router
    }

    /// The OpenAPI document, as JSON.
    pub fn openapi(&self) -> Option<&str> {
        self.openapi.as_deref()
    }
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Routes { router, openapi: None }
    }
}

#[cfg(feature = "openapi")]
impl From<utoipa_axum::router::OpenApiRouter> for Routes {
    fn from(router: utoipa_axum::router::OpenApiRouter) -> Self {
        let (router, document) = router.split_for_parts();
        Routes { router, openapi: document.to_json().ok() }
    }
}
