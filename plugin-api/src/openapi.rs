//! The plugin's OpenAPI document, said anew while it runs. What must not live here: how documents are made.

use crate::{Host, HostError, HostErrorCode};
use axum::body::Body;
use http::Request;
use serde::Serialize;

/// What is said of this plugin in the server's OpenAPI document.
#[derive(Clone, Debug)]
pub struct OpenApi(Host);

impl Host {
    /// What the server's OpenAPI document says of this plugin. It needs no permission.
    pub fn openapi(&self) -> OpenApi {
        OpenApi(self.clone())
    }
}

impl OpenApi {
    /// Puts this document into the place of the one that the router came with, until this build is replaced: for plugins whose
    /// paths come and go. It is an OpenAPI 3 document, such as utoipa's, of 4 MiB at most.
    ///
    /// Once a second at most: what comes earlier is an error with the code `Limit`, and nothing is replaced.
    pub async fn replace(&self, document: &impl Serialize) -> Result<(), HostError> {
        let invalid = |words: String| HostError::new(HostErrorCode::Invalid, words);
        let text = serde_json::to_vec(document).map_err(|error| invalid(error.to_string()))?;
        let request = Request::put("/openapi/1").body(Body::from(text)).map_err(|error| invalid(error.to_string()))?;
        self.0.ask(request).await.map(drop)
    }
}
