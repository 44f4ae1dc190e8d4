//! What is found when this server and its machine are examined, for those who are not on it. What must not live here: what is looked at.
//!
//! Things are tried, so there is one look at a time, and it serves all who had asked when it began.

use crate::{admit::Visitor, state::ControlState};
use axum::{Json, extract::State};
use camlock_api::{ExaminationView, Finding, FindingLevel};
use camlock_http::Problem;
use camlock_policy::{BoxFuture, registry::Role};
use http::StatusCode;
use std::time::{Instant, SystemTime};
use tokio::sync::Mutex;

/// What was found last.
#[derive(Default)]
pub(crate) struct LastExamined {
    server: Mutex<Option<Examination>>,
    machine: Mutex<Option<Examination>>,
}

#[derive(Clone)]
struct Examination {
    began: Instant,
    at: SystemTime,
    findings: Vec<Finding>,
}

/// What `camlock doctor` finds: of the server and its plugins for viewers, of its machine too for operators.
#[utoipa::path(get, path = "/api/v1/doctor", tag = "analytics", operation_id = "doctor", responses(
    (status = 200, description = "What was found", body = ExaminationView),
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

async fn look(last: &Mutex<Option<Examination>>, examine: impl FnOnce() -> BoxFuture<Vec<Finding>>) -> Examination {
    let asked = Instant::now();
    let mut last = last.lock().await;
    if let Some(look) = last.as_ref().filter(|look| look.began >= asked) {
        return look.clone();
    }
    let (began, at) = (Instant::now(), SystemTime::now());
    let findings = examine().await;
    last.insert(Examination { began, at, findings }).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn one_look_serves_all_who_had_asked_and_nobody_who_asks_later() {
        let (last, looks) = (Mutex::default(), Cell::new(0));
        let ask = async || {
            look(&last, || {
                looks.set(looks.get() + 1);
                let found = format!("look {}", looks.get());
                Box::pin(async move {
                    yield_now().await;
                    vec![Finding::good("disk", found)]
                })
            })
            .await
        };
        // The first begins at once, and the next one is for all who came meanwhile.
        let (_, other, another, last_one) = tokio::join!(ask(), ask(), ask(), ask());
        assert!(looks.get() <= 2, "{} looks", looks.get());
        assert!(other.findings == another.findings && another.findings == last_one.findings);
        let before = looks.get();
        assert_eq!(ask().await.findings[0].found, format!("look {}", before + 1));
    }
}
