//! Tasks that plugins have done later, and the schedules by which they are called.

use crate::UtcTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A task, and what has become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Task))]
pub struct TaskView {
    pub id: String,
    pub plugin: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// `waiting`, `running`, `done`, `dead` (it failed as often as it may), or `cancelled`.
    pub state: String,
    /// Those with a higher one come first.
    pub priority: i32,
    /// The attempt that runs, or the last one; 0 before the first.
    pub attempt: i32,
    /// So many attempts failed.
    pub failures: i32,
    /// After so many it is dead. Null: that is not known before the first attempt.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i32>, required))]
    pub attempts: Option<i32>,
    /// There is only one of its type with this key that is not over.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub unique: Option<String>,
    /// Whether somebody wants it to end.
    pub cancel: bool,
    /// As are the next two, null in lists where it is longer than 4 KiB.
    pub input: Value,
    /// What it last said of how far it is.
    pub progress: Value,
    pub result: Value,
    /// Why the last attempt failed.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub error: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub enqueued: UtcTime,
    /// When it may begin.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub due: UtcTime,
    /// When the last attempt began.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub begun: Option<UtcTime>,
    /// When it was over.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub ended: Option<UtcTime>,
}

/// A schedule by which a plugin is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Schedule))]
pub struct ScheduleView {
    pub name: String,
    /// The cron expression with its zone, or the interval.
    pub times: String,
    /// Null: never any more.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub next: Option<UtcTime>,
    /// The time of the last run; null: there was none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub last: Option<UtcTime>,
    /// The task that it was, which says what came of it.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required))]
    pub last_task: Option<String>,
}
