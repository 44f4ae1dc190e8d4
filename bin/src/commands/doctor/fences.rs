//! What holds plugins that have processes of their own on this machine. What must not live here: how that is tried.

use camlock_api::Finding;
use camlock_embed::{FencesFound, examine_fences};

const ABOUT: &str = "isolation";

/// For this user: for another one it may come to something else.
pub(super) fn look(requires_all: bool) -> Finding {
    match examine_fences() {
        Ok(found) => finding(&found, requires_all),
        Err(error) => {
            let found = format!("what holds plugins with processes of their own could not be tried: {error}");
            Finding::warning(ABOUT, found, "see whether processes can be started here")
        }
    }
}

fn finding(FencesFound { lacking, bounded }: &FencesFound, requires_all: bool) -> Finding {
    let bounds = match &bounded[..] {
        [] => "no control groups: limits are held to by looking on and by stopping".to_owned(),
        bounded => format!("control groups for {}", bounded.join(", ")),
    };
    if lacking.is_empty() {
        return Finding::good(ABOUT, format!("full: Landlock, seccomp and namespaces; {bounds}"));
    }
    let found = format!("partial: {}; {bounds}", lacking.join("; "));
    if requires_all {
        let remedy = "no isolated plugin is run here: run the server where all of that is to be had, or set `isolation.require = \"any\"`";
        return Finding::wrong(ABOUT, found, remedy);
    }
    Finding::warning(ABOUT, found, "isolated plugins are held by the rest: docs/security.md says what each part is for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_api::FindingLevel;

    #[test]
    fn each_tier_is_told() {
        let found = |lacking: &[&str], bounded: &[&'static str]| FencesFound {
            lacking: lacking.iter().map(|&one| one.to_owned()).collect(),
            bounded: bounded.to_vec(),
        };
        let full = finding(&found(&[], &["memory", "processes"]), true);
        assert_eq!(full.level, FindingLevel::Good);
        assert_eq!(full.found, "full: Landlock, seccomp and namespaces; control groups for memory, processes");
        let less = found(&["no namespaces can be made: this machine has none"], &[]);
        let (asked, unasked) = (finding(&less, true), finding(&less, false));
        assert_eq!((asked.level, unasked.level), (FindingLevel::Wrong, FindingLevel::Warning));
        assert!(asked.found.starts_with("partial: no namespaces can be made"), "{asked:?}");
        assert!(asked.found.ends_with("held to by looking on and by stopping"), "{asked:?}");
    }
}
