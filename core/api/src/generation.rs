//! The generations of a plugin, and how candidates were made.

use crate::{Digest, FailureView, UtcTime};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, time::Duration};

/// A generation of a plugin, or an artifact of it that is kept and may be gone back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Generation))]
pub struct GenerationView {
    /// Null for what is only kept.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub generation: Option<u64>,
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub state: GenerationPhase,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub version: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub artifact: Option<Digest>,
    /// Since when it serves, or is kept.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub since: Option<UtcTime>,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub in_flight: Option<usize>,
    /// What keeps it in the process.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub reason: Option<String>,
    /// When what it began is ended.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub deadline: Option<UtcTime>,
}

impl GenerationView {
    /// Of which nothing is known but this.
    pub fn new(state: GenerationPhase) -> Self {
        GenerationView {
            generation: None,
            state,
            version: None,
            artifact: None,
            since: None,
            in_flight: None,
            reason: None,
            deadline: None,
        }
    }
}

/// What has become of a generation that is in the process, or of its artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum GenerationPhase {
    /// It answers requests.
    Serving,
    /// It was replaced, and ends what it began.
    Draining,
    /// It cannot leave the process.
    Pinned,
    /// It is no longer in the process; its artifact may be gone back to.
    Kept,
}

/// How a candidate was made, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Build))]
pub struct BuildView {
    /// Its number.
    pub generation: u64,
    /// When it began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub began: UtcTime,
    /// How many milliseconds each stage took, as far as it came.
    pub stages: StageTimes,
    /// Its artifact, once there was one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub artifact: Option<Digest>,
    /// Its version, once that was known.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub version: Option<String>,
    /// Null if it came to serve.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub failed: Option<FailureView>,
}

/// How many milliseconds each stage took, by its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = std::collections::BTreeMap<String, f64>))]
pub struct StageTimes(BTreeMap<Cow<'static, str>, f64>);

impl StageTimes {
    /// Of one stage; none if it was not come to.
    pub fn milliseconds(&self, stage: &str) -> Option<f64> {
        self.0.get(stage).copied()
    }

    /// Of all stages together.
    pub fn sum(&self) -> f64 {
        // `Iterator::sum` of no numbers at all is -0.
        self.0.values().fold(0.0, |sum, took| sum + took)
    }
}

impl FromIterator<(&'static str, Duration)> for StageTimes {
    fn from_iter<I: IntoIterator<Item = (&'static str, Duration)>>(stages: I) -> Self {
        let milliseconds = |took: Duration| (took.as_secs_f64() * 1e6).round() / 1e3;
        StageTimes(stages.into_iter().map(|(stage, took)| (Cow::from(stage), milliseconds(took))).collect())
    }
}
