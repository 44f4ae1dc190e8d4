//! What a server answers in place of what was asked for, and what that means for whoever asked.

use super::read;
use crate::Failed;
use camlock_api::{ConfigViolation, ProblemView, Stage};
use http::StatusCode;
use serde_json::Value;

/// Why something was not had.
#[derive(Debug)]
pub(crate) struct Problem {
    /// For stderr, and the exit code.
    pub(crate) failed: Failed,
    /// The status; none if no server answered.
    pub(crate) status: Option<StatusCode>,
    /// What compilers said, where they did.
    pub(crate) rendered: Vec<String>,
    /// The stage at which a candidate failed, if one did.
    pub(crate) stage: Option<Stage>,
    /// Where a configuration does not fit.
    pub(crate) violations: Vec<ConfigViolation>,
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        Problem { failed, status: None, rendered: Vec::new(), stage: None, violations: Vec::new() }
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        problem.failed
    }
}

impl Problem {
    /// From an answer that tells of none of the good outcomes.
    pub(super) fn answered(status: StatusCode, document: Option<Value>, with_token: bool) -> Self {
        let answered = document.as_ref().map(read::<ProblemView>);
        let problem = match &answered {
            Some(Ok(problem)) => problem.clone(),
            _ => ProblemView::default(),
        };
        let mut reason = match answered {
            _ if !problem.detail.is_empty() => problem.detail.clone(),
            _ if !problem.title.is_empty() => problem.title.clone(),
            Some(Err(unfit)) => format!("the server answered {status}: {}", unfit.reason),
            _ => format!("the server answered {status}, and does not say why"),
        };
        if let (Some(plugin), Some(stage)) = (&problem.plugin, problem.stage) {
            reason = format!("{plugin}: {stage} failed: {reason}");
        }
        let failed = match status {
            StatusCode::UNAUTHORIZED if with_token => Failed::not_allowed(format!(
                "{reason}; name another with --token or CAMLOCK_TOKEN (`camlock token create` makes one)"
            )),
            StatusCode::UNAUTHORIZED => Failed::not_allowed(
                "the server asks for a token: name one with --token or CAMLOCK_TOKEN, or run this where the server's data \
                 directory can be read",
            ),
            StatusCode::FORBIDDEN => Failed::not_allowed(reason),
            _ => reason.into(),
        };
        let rendered = problem.diagnostics.iter().map(|one| one.rendered.trim_end().to_owned()).collect();
        Problem { failed, status: Some(status), rendered, stage: problem.stage, violations: problem.violations }
    }

    /// Whether it is that there is no such thing.
    pub(crate) fn is_unknown(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_status_has_its_exit_code_and_sentence() {
        let told = |status: u16, document: Value, token| {
            let failed = Problem::answered(StatusCode::from_u16(status).unwrap(), Some(document), token).failed;
            (failed.code, failed.reason)
        };
        let detail = || json!({ "detail": "this token is not the admin token" });
        assert_eq!(told(403, detail(), true), (4, "this token is not the admin token".to_owned()));
        let (code, reason) = told(401, detail(), true);
        assert!(code == 4 && reason.starts_with("this token is not the admin token; name another"), "{reason}");
        let (code, reason) = told(401, detail(), false);
        assert!(code == 4 && reason.starts_with("the server asks for a token"), "{reason}");
        let diagnostic = json!({ "file": "src/lib.rs", "line": 1, "message": "x", "rendered": "error: x\n" });
        let failed = json!({ "detail": "it does not compile", "plugin": "hello", "stage": "build", "diagnostics": [diagnostic] });
        assert_eq!(told(422, failed.clone(), true), (1, "hello: build failed: it does not compile".to_owned()));
        assert_eq!(Problem::answered(StatusCode::UNPROCESSABLE_ENTITY, Some(failed), true).rendered, ["error: x"]);
        let none = Problem::answered(StatusCode::BAD_GATEWAY, None, true).failed.reason;
        assert_eq!(none, "the server answered 502 Bad Gateway, and does not say why");
        let (_, reason) = told(422, json!({ "detail": 7 }), true);
        assert!(
            reason.starts_with(
                "the server answered 422 Unprocessable Entity: the server's answer does not fit at `detail`"
            ),
            "{reason}"
        );
        let refused = json!({ "detail": "it is disabled", "plugin": "hello" });
        assert_eq!(told(409, refused, true), (1, "it is disabled".to_owned()));
    }
}
