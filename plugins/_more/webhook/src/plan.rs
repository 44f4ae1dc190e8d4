//! What follows from an answer: whether it was delivered, when it is tried again, when it is given up. Pure.

use std::time::Duration;

/// Between attempts, in seconds: the last is some 28 hours after the first.
const PAUSES: [u64; 7] = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
/// No endpoint is waited for longer, whatever it says.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AttemptAnswer {
    /// There was an answer, and perhaps a word about when to come again.
    Status(u16, Option<Duration>),
    /// There was none, and why.
    Nothing(String),
    /// Nothing can be sent there as it is configured, and why.
    Misconfigured(String),
    /// It was not sent: the endpoint said that it is gone, and when.
    Disabled(String),
}

impl AttemptAnswer {
    /// The status, if there was an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        if let AttemptAnswer::Status(status, _) = self { Some(*status) } else { None }
    }
}

/// What is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    Delivered,
    /// It is tried again after so long.
    Again(Duration, String),
    /// It is given up.
    Failed(String),
    /// The endpoint wants nothing any more.
    Gone(String),
}

/// What is done after the attempt before which there were so many.
pub(crate) fn verdict(answered: &AttemptAnswer, attempts: u32) -> NextStep {
    let (why, asked) = match answered {
        AttemptAnswer::Status(200..=299, _) => return NextStep::Delivered,
        AttemptAnswer::Status(410, _) => return NextStep::Gone("it answered 410 (Gone)".to_owned()),
        AttemptAnswer::Disabled(why) => return NextStep::Failed(format!("the endpoint is disabled: {why}")),
        AttemptAnswer::Misconfigured(why) => return NextStep::Failed(why.clone()),
        AttemptAnswer::Status(status, asked) => (format!("it answered {status}"), *asked),
        AttemptAnswer::Nothing(why) => (why.clone(), None),
    };
    match usize::try_from(attempts).ok().and_then(|attempts| PAUSES.get(attempts)) {
        Some(pause) => {
            let pause = Duration::from_secs(*pause);
            NextStep::Again(asked.map_or(pause, |asked| asked.max(pause)).min(LONGEST), why)
        }
        None => NextStep::Failed(format!("{why}; that was attempt {}", attempts + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_an_answer() {
        let seconds = Duration::from_secs;
        let again = |pause, why: &str| NextStep::Again(seconds(pause), why.to_owned());
        let failed = |why: &str| NextStep::Failed(why.to_owned());
        for (answered, attempts, expected) in [
            (AttemptAnswer::Status(204, None), 0, NextStep::Delivered),
            (AttemptAnswer::Status(500, None), 0, again(5, "it answered 500")),
            (AttemptAnswer::Status(302, None), 1, again(300, "it answered 302")),
            (AttemptAnswer::Status(429, Some(seconds(60))), 0, again(60, "it answered 429")),
            (AttemptAnswer::Status(503, Some(seconds(1))), 1, again(300, "it answered 503")),
            (AttemptAnswer::Status(503, Some(seconds(999_999))), 0, again(86_400, "it answered 503")),
            (AttemptAnswer::Nothing("no answer".into()), 6, again(36_000, "no answer")),
            (AttemptAnswer::Nothing("no answer".into()), 7, failed("no answer; that was attempt 8")),
            (AttemptAnswer::Status(410, None), 0, NextStep::Gone("it answered 410 (Gone)".into())),
            (AttemptAnswer::Misconfigured("no".into()), 0, failed("no")),
            (AttemptAnswer::Disabled("gone".into()), 0, failed("the endpoint is disabled: gone")),
        ] {
            assert_eq!(verdict(&answered, attempts), expected, "{answered:?} {attempts}");
        }
    }
}
