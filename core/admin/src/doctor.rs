//! What is found when this server and its machine are examined, for those who are not on it. What must not live here: what is looked at.
//!
//! Things are tried, so one look serves all who ask while it goes on and for some seconds after.

use crate::{admit::Visitor, state::ControlState};
use axum::{Json, extract::State};
use camlock_api::{ExaminationView, Finding, FindingLevel};
use camlock_http::Problem;
use camlock_policy::{BoxFuture, registry::Role};
use http::StatusCode;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// So long a look serves whoever asks after it.
const FRESH: Duration = Duration::from_secs(3);

/// What was found last.
#[derive(Default)]
pub(crate) struct LastExamined {
    server: Mutex<Option<Look>>,
    machine: Mutex<Option<Look>>,
}

#[derive(Clone)]
struct Look {
    ended: Instant,
    at: SystemTime,
    findings: Vec<Finding>,
}

/// What `camlock doctor` finds: of the server and its plugins for viewers, of its machine too for operators.
#[utoipa::path(get, path = "/api/v1/doctor", tag = "analytics", operation_id = "doctor", responses(
    (status = 200, description = "What was found, to within some seconds", body = ExaminationView),
    (status = 501, description = "This server examines nothing"),
))]
pub(super) async fn examine(State(control): ControlState, visitor: Visitor) -> Result<Json<ExaminationView>, Problem> {
    let Some(doctor) = &control.options.doctor else {
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "this server does not examine itself and its machine"));
    };
    let mut looks = vec![look(&control.examined.server, || doctor.server()).await];
    // Where things lie on the machine, and what is tried on it, is not for everybody.
    let machine = visitor.role >= Some(Role::Operator);
    if machine {
        looks.insert(0, look(&control.examined.machine, || doctor.machine()).await);
    }
    let at = looks.iter().map(|look| look.at).min().unwrap_or_else(SystemTime::now).into();
    let findings: Vec<_> = looks.into_iter().flat_map(|look| look.findings).collect();
    let good = findings.iter().all(|finding| finding.level != FindingLevel::Wrong);
    Ok(Json(ExaminationView { good, machine, at, findings }))
}

async fn look(last: &Mutex<Option<Look>>, examine: impl FnOnce() -> BoxFuture<Vec<Finding>>) -> Look {
    let mut last = last.lock().await;
    if let Some(look) = last.as_ref().filter(|look| look.ended.elapsed() < FRESH) {
        return look.clone();
    }
    let at = SystemTime::now();
    let findings = examine().await;
    last.insert(Look { ended: Instant::now(), at, findings }).clone()
}
