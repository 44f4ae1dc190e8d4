//! What is wrong with a request, or with what was asked for (RFC 9457).

use crate::{ConfigViolation, Diagnostic, Stage};
use serde::{Deserialize, Serialize};

/// A problem. More may stand in it, where it helps; of what others than Camlock answer, less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Problem))]
pub struct ProblemView {
    #[cfg_attr(feature = "openapi", schema(required, example = "about:blank"))]
    pub r#type: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub title: String,
    /// The response's status.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub status: u16,
    /// One sentence: what is wrong, where, what to do.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub detail: String,
    /// The plugin, if it concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    // The stage at which its candidate failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub stage: Option<Stage>,
    /// The candidate's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The plugin's revision by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Where a configuration does not fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false, inline))]
    pub violations: Vec<ConfigViolation>,
    /// What compilers said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub diagnostics: Vec<Diagnostic>,
}
