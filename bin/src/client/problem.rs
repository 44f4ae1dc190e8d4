//! What a server answers in place of what was asked for, and what that means for whoever asked.

use crate::Failed;
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
    /// The whole answer.
    pub(crate) document: Option<Value>,
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        Problem { failed, status: None, rendered: Vec::new(), document: None }
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
        let text = |key: &str| document.as_ref().and_then(|document| document[key].as_str());
        let detail = text("detail").or_else(|| text("title"));
        let mut reason =
            detail.map_or_else(|| format!("the server answered {status}, and does not say why"), str::to_owned);
        if let (Some(plugin), Some(stage)) = (text("plugin"), text("stage")) {
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
        let diagnostics = document.as_ref().and_then(|document| document["diagnostics"].as_array());
        let rendered = diagnostics.into_iter().flatten().filter_map(|one| one["rendered"].as_str());
        let rendered = rendered.map(|rendered| rendered.trim_end().to_owned()).collect();
        Problem { failed, status: Some(status), rendered, document }
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
        let failed = json!({ "detail": "it does not compile", "plugin": "hello", "stage": "build", "diagnostics": [{ "rendered": "error: x\n" }] });
        assert_eq!(told(422, failed.clone(), true), (1, "hello: build failed: it does not compile".to_owned()));
        assert_eq!(Problem::answered(StatusCode::UNPROCESSABLE_ENTITY, Some(failed), true).rendered, ["error: x"]);
        assert_eq!(told(502, Value::Null, true).1, "the server answered 502 Bad Gateway, and does not say why");
        let refused = json!({ "detail": "it is disabled", "plugin": "hello" });
        assert_eq!(told(409, refused, true), (1, "it is disabled".to_owned()));
    }
}
