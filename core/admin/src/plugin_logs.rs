//! What a plugin said lately: as a list, and as it says more.

use crate::logs::{KeptLine, Logs};
use crate::{
    ask::{NamedPlugin, OfPlugin, ValidQuery, bad},
    journal::ended,
    lasting::{Credentials, lasting},
    level::level_of,
    state::ControlState,
    stream_event::StreamEvent,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response, sse},
};
use camlock_api::{LogLine, Page};
use camlock_http::Problem;
use camlock_policy::Overview;
use futures_util::stream::unfold;
use http::HeaderMap;
use serde::Deserialize;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::watch;
use utoipa::IntoParams;

/// So many lines at most, and so many if nothing is said.
const LONGEST: usize = 1_000;
const USUAL: usize = 100;
/// No line has a greater number: it could not be told in JSON's usual integers.
const LAST: u64 = i64::MAX as u64;

/// A line as it is shown.
fn shown(line: &KeptLine) -> LogLine {
    LogLine {
        id: line.number,
        at: line.at.into(),
        level: level_of(line.level),
        message: line.message.clone(),
        fields: line.fields.clone(),
        generation: line.generation,
        trace_id: Some(line.trace_id.clone()).filter(|id| !id.is_empty()),
        module: line.module.clone(),
    }
}

/// Which lines are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// So many at most: from 1 to 1000, and the last 100 if nothing is said.
    #[param(minimum = 1, maximum = 1000, value_type = Option<usize>)]
    limit: Option<usize>,
    /// Only those after the one with this number.
    after: Option<u64>,
    /// Whether to go on with what is said from now on, as server-sent events.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    follow: bool,
}

type SentLogLine = StreamEvent<LogLine>;

/// What a plugin said lately, and what the server said of it. It is kept in memory, and ends with the process.
#[utoipa::path(get, path = "/api/v1/plugins/{name}/logs", tag = "plugins",
    params(OfPlugin, LogQuery, ("last-event-id" = Option<u64>, Header, description = "With `follow`: as `after`, before it")),
    responses(
    (status = 200, description = "The oldest first; with `follow=true` each event's `data` is a line",
        content((Page<LogLine> = "application/json"), (SentLogLine = "text/event-stream"))),
))]
pub(super) async fn logs(
    State(control): ControlState,
    NamedPlugin(plugin): NamedPlugin,
    ValidQuery(LogQuery { limit, after, follow }): ValidQuery<LogQuery>,
    headers: HeaderMap,
    pass: Credentials,
) -> Result<Response, Problem> {
    let limit = match limit {
        None => USUAL,
        Some(limit @ 1..=LONGEST) => limit,
        Some(limit) => return Err(bad(format!("`limit` is from 1 to {LONGEST}, and not {limit}"))),
    };
    let no_number = |text: &str| bad(format!("`{text}` is no line's number"));
    if let Some(after) = after.filter(|after| *after > LAST) {
        return Err(no_number(&after.to_string()));
    }
    let last = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let last = last
        .filter(|last| !last.is_empty())
        .map(|last| last.parse::<u64>().ok().filter(|last| *last <= LAST).ok_or_else(|| no_number(&last)))
        .transpose()?;
    let logs = control.options.logs.clone();
    if !follow {
        let lines = logs.of(&plugin.name, after, limit);
        return Ok(Json(Page::whole(lines.iter().map(|line| shown(line)).collect())).into_response());
    }
    // A number that was not given yet was given by a process before this one: then all is new.
    let known = |after: u64| if after > logs.last() { 0 } else { after };
    let after = last.or(after).map(known);
    let fresh = logs.fresh();
    let read: VecDeque<_> = logs.of(&plugin.name, after, limit).into();
    let after = after.or(read.front().map(|line| line.number - 1)).unwrap_or_else(|| logs.last());
    let following =
        LogFollower { fresh, logs, plugin: plugin.name.clone(), after, read, server: control.manager.watch() };
    let lines = unfold(following, async |mut following| {
        let line = following.next().await?;
        let told = sse::Event::default().id(line.number.to_string());
        let told = told.json_data(shown(&line)).unwrap_or_default();
        Some((told, following))
    });
    Ok(lasting(lines, pass))
}

/// A client that follows a plugin's log. One that is too slow misses what is no longer kept.
struct LogFollower {
    logs: Logs,
    fresh: watch::Receiver<u64>,
    plugin: String,
    after: u64,
    read: VecDeque<Arc<KeptLine>>,
    server: watch::Receiver<Arc<Overview>>,
}

impl LogFollower {
    /// The next line; none when the server ends.
    async fn next(&mut self) -> Option<Arc<KeptLine>> {
        loop {
            if let Some(line) = self.read.pop_front() {
                self.after = line.number;
                return Some(line);
            }
            self.fresh.mark_unchanged();
            self.read = self.logs.of(&self.plugin, Some(self.after), LONGEST).into();
            if !self.read.is_empty() {
                continue;
            }
            tokio::select! {
                announced = self.fresh.changed() => announced.ok()?,
                () = ended(&mut self.server) => return None,
            }
        }
    }
}
