//! How plugins are used, and what is wrong with them by rules. What must not live here: how that is counted, and the rules.

use crate::{
    ask::{NamedPlugin, OfPlugin, ValidQuery, bad},
    state::{Control, ControlState},
    values::problem,
};
use axum::{Json, extract::State};
use camlock_api::{AnalyticsView, Page, PluginProblemView, UtcTime};
use camlock_http::Problem;
use camlock_policy::{Analytics, AnalyticsQuery};
use http::StatusCode;
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use utoipa::{IntoParams, ToSchema};

/// So far back is looked where nobody says from when on.
const USUAL: Duration = Duration::from_secs(3600);
/// So many points are told at most.
const MOST: u64 = 1_000;

/// Which stretch of time is looked at.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AnalyticsAsked {
    /// From when on, like `2030-01-31T12:00:00Z`; without, an hour before `to`.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<UtcTime>,
    /// Until when; without, until now.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<UtcTime>,
    /// For how long a point stands; without, so that there are fewer than 200. What is long ago is known by the hour or the day alone.
    #[param(inline)]
    step: Option<AnalyticsStep>,
}

/// How long a point stands for.
#[derive(Clone, Copy, Deserialize, ToSchema)]
enum AnalyticsStep {
    #[serde(rename = "1m")]
    Minute,
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "15m")]
    Quarter,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[serde(rename = "1d")]
    Day,
    #[serde(rename = "7d")]
    Week,
}

impl AnalyticsStep {
    fn minutes(self) -> u64 {
        match self {
            AnalyticsStep::Minute => 1,
            AnalyticsStep::FiveMinutes => 5,
            AnalyticsStep::Quarter => 15,
            AnalyticsStep::Hour => 60,
            AnalyticsStep::SixHours => 360,
            AnalyticsStep::Day => 1_440,
            AnalyticsStep::Week => 10_080,
        }
    }
}

/// How a plugin was used and how it did: over time, by generation, and in all.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/analytics", tag = "analytics", operation_id = "analytics",
    params(OfPlugin, AnalyticsAsked), responses(
    (status = 200, description = "Points in their order, of all servers together", body = AnalyticsView),
    (status = 503, description = "What is kept cannot be read now"),
))]
pub(super) async fn analytics(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
    ValidQuery(asked): ValidQuery<AnalyticsAsked>,
) -> Result<Json<AnalyticsView>, Problem> {
    let query = query(&asked, SystemTime::now())?;
    let told = kept(&control)?.read(&plugin.name, query).await;
    told.map(Json).map_err(|why| problem(&plugin.name, &why))
}

/// What is wrong with plugins by rules, though they serve, and what advisories of their catalogs say of them.
#[utoipa::path(get, path = "/api/v1/problems", tag = "analytics", operation_id = "problems", responses(
    (status = 200, description = "As this server sees it, by plugin", body = Page<PluginProblemView>),
))]
pub(super) async fn problems(State(control): ControlState) -> Json<Page<PluginProblemView>> {
    let mut items = control.options.analytics.as_ref().map(|analytics| analytics.problems()).unwrap_or_default();
    if let Some(catalogs) = &control.options.catalogs {
        // While what catalogs say cannot be read, the rest is told all the same.
        items.extend(catalogs.advised().await.unwrap_or_default());
        items.sort_by(|a, b| (&a.plugin, a.rule).cmp(&(&b.plugin, b.rule)));
    }
    Json(Page::whole(items))
}

fn query(asked: &AnalyticsAsked, now: SystemTime) -> Result<AnalyticsQuery, Problem> {
    let until = asked.to.map(UtcTime::system);
    let to = until.unwrap_or(now);
    let from = asked.from.map_or_else(|| to.checked_sub(USUAL), |from| Some(from.system()));
    let span = from.and_then(|from| Some((from, to.duration_since(from).ok()?)));
    let Some((from, span)) = span.filter(|(_, span)| !span.is_zero()) else {
        return Err(bad("`from` lies before `to`, or nothing is asked for"));
    };
    let step = asked.step.map(|step| Duration::from_secs(step.minutes() * 60));
    if step.is_some_and(|step| span.as_secs() / step.as_secs() > MOST) {
        return Err(bad(format!("that would be more than {MOST} points: ask for a longer `step`, or less time")));
    }
    Ok(AnalyticsQuery { from, to: until, step })
}

fn kept(control: &Control) -> Result<&Arc<dyn Analytics>, Problem> {
    let none = || Problem::new(StatusCode::NOT_IMPLEMENTED, "this server does not keep how plugins are used");
    control.options.analytics.as_ref().ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query_text: &str) -> Result<(u64, Option<u64>, Option<u64>), String> {
        let uri = format!("/?{query_text}").parse().unwrap();
        let asked = axum::extract::Query::<AnalyticsAsked>::try_from_uri(&uri).map_err(|error| error.body_text())?.0;
        let now = "2026-03-01T12:00:00Z".parse::<UtcTime>().unwrap().system();
        let query = query(&asked, now).map_err(|_| "refused".to_owned())?;
        let ago = |at: SystemTime| now.duration_since(at).unwrap().as_secs();
        Ok((ago(query.from), query.to.map(ago), query.step.map(|step| step.as_secs())))
    }

    #[test]
    fn a_stretch_of_time_is_asked_for() {
        assert_eq!(read(""), Ok((3_600, None, None)));
        assert_eq!(read("from=2026-02-28T12:00:00Z&step=15m"), Ok((86_400, None, Some(900))));
        assert_eq!(read("to=2026-03-01T11:00:00Z"), Ok((7_200, Some(3_600), None)));
        for wrong in [
            "from=2026-03-01T12:00:00Z",
            "from=2026-04-01T12:00:00Z",
            "from=yesterday",
            "step=2m",
            "from=2026-02-01T12:00:00Z&step=1m",
            "until=2026-03-01T12:00:00Z",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
