//! Who depends on whom, and with which versions: pure functions over names, ranges and versions.

use semver::{Version, VersionReq};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a plugin that others may depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbour {
    /// The version that serves.
    pub(crate) serves: Option<String>,
    /// Why nothing serves, in a few words.
    pub(crate) why_not: String,
    /// What it depends on itself.
    pub(crate) needs: BTreeMap<String, String>,
}

/// How a plugin's needs stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Everything that it needs serves in a version that will do.
    Met,
    /// Something is not there, and may come.
    Unmet(String),
    /// It cannot be: said in a sentence.
    Impossible(String),
}

/// How `needs` of the plugin `name` stand among its neighbours.
pub(crate) fn needs(name: &str, needs: &BTreeMap<String, String>, neighbours: &BTreeMap<String, Neighbour>) -> Needs {
    if needs.is_empty() {
        return Needs::Met;
    }
    if let Some(cycle) = cycle(name, needs, neighbours) {
        return Needs::Impossible(format!("plugins depend on each other in a circle: {cycle}; one of them must not"));
    }
    let mut unmet = Vec::new();
    for (other, range) in needs {
        let Ok(wanted) = VersionReq::parse(range) else {
            return Needs::Impossible(format!("`{range}` is no range of versions of `{other}` (`^1.2`, say)"));
        };
        match neighbours.get(other) {
            None => unmet.push(format!("it needs `{other}` {range}, and there is no such plugin")),
            Some(Neighbour { serves: None, why_not, .. }) => {
                unmet.push(format!("it needs `{other}` {range}, which {why_not}"));
            }
            Some(Neighbour { serves: Some(version), .. }) if !fits(&wanted, version) => {
                unmet.push(format!("it needs `{other}` {range}, and {version} serves"));
            }
            Some(_) => {}
        }
    }
    if unmet.is_empty() { Needs::Met } else { Needs::Unmet(unmet.join("; ")) }
}

/// Takes the support of those away who have none themselves.
pub(crate) fn without_the_unsupported(neighbours: &mut BTreeMap<String, Neighbour>) {
    loop {
        let unsupported = neighbours.iter().filter(|(name, neighbour)| {
            neighbour.serves.is_some() && needs(name, &neighbour.needs, neighbours) != Needs::Met
        });
        let unsupported: Vec<_> = unsupported.map(|(name, _)| name.clone()).collect();
        if unsupported.is_empty() {
            return;
        }
        for name in unsupported {
            if let Some(neighbour) = neighbours.get_mut(&name) {
                neighbour.serves = None;
                "lacks what it needs itself".clone_into(&mut neighbour.why_not);
            }
        }
    }
}

/// Whether a version is within a range; what is no version is in none.
pub(crate) fn within(range: &str, version: &str) -> bool {
    VersionReq::parse(range).is_ok_and(|range| fits(&range, version))
}

fn fits(range: &VersionReq, version: &str) -> bool {
    Version::parse(version).is_ok_and(|version| range.matches(&version))
}

/// A way from `name` through its needs back to itself.
fn cycle(name: &str, needs: &BTreeMap<String, String>, neighbours: &BTreeMap<String, Neighbour>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut paths: Vec<Vec<&str>> = needs.keys().map(|other| vec![name, other]).collect();
    while let Some(path) = paths.pop() {
        let last = *path.last()?;
        if last == name {
            return Some(path.join(" → "));
        }
        if !seen.insert(last) {
            continue;
        }
        for next in neighbours.get(last).into_iter().flat_map(|neighbour| neighbour.needs.keys()) {
            let mut longer = path.clone();
            longer.push(next);
            paths.push(longer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> BTreeMap<String, String> {
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once(' ').map(|(name, range)| (name.to_owned(), range.to_owned())).unwrap())
            .collect()
    }

    fn neighbours() -> BTreeMap<String, Neighbour> {
        let neighbour = |serves: Option<&str>, needs: &str| Neighbour {
            serves: serves.map(str::to_owned),
            why_not: "is disabled".to_owned(),
            needs: map(needs),
        };
        BTreeMap::from([
            ("kv".to_owned(), neighbour(Some("1.11.0"), "")),
            ("off".to_owned(), neighbour(None, "")),
            ("ring".to_owned(), neighbour(None, "rung ^1")),
            ("rung".to_owned(), neighbour(None, "ring ^1")),
            ("back".to_owned(), neighbour(None, "me ^1")),
        ])
    }

    #[test]
    fn who_lacks_support_gives_none() {
        let mut chain = neighbours();
        for (name, on) in [("one", "off ^1"), ("two", "one ^1"), ("three", "kv ^1")] {
            let neighbour = Neighbour { serves: Some("1.0.0".into()), why_not: String::new(), needs: map(on) };
            chain.insert(name.to_owned(), neighbour);
        }
        without_the_unsupported(&mut chain);
        assert!(chain["one"].serves.is_none() && chain["two"].serves.is_none() && chain["three"].serves.is_some());
    }

    #[test]
    fn needs_are_told_in_words() {
        for (wanted, expected) in [
            ("", Needs::Met),
            ("kv ^1.2", Needs::Met),
            ("kv >=1.9", Needs::Met),
            ("kv ^2", Needs::Unmet("it needs `kv` ^2, and 1.11.0 serves".into())),
            ("off ^1", Needs::Unmet("it needs `off` ^1, which is disabled".into())),
            ("no ^1", Needs::Unmet("it needs `no` ^1, and there is no such plugin".into())),
            ("kv one", Needs::Impossible("`one` is no range of versions of `kv` (`^1.2`, say)".into())),
            (
                "back ^1",
                Needs::Impossible(
                    "plugins depend on each other in a circle: me → back → me; one of them must not".into(),
                ),
            ),
            // Somebody else's circle is not mine.
            ("ring ^1", Needs::Unmet("it needs `ring` ^1, which is disabled".into())),
        ] {
            assert_eq!(needs("me", &map(wanted), &neighbours()), expected, "{wanted}");
        }
    }
}
