//! Why nothing fits, in sentences: what is asked for, what needs what, and what of that is not there or does not fit here.
//!
//! They are the facts that the resolver derived it from, without the steps between. What must not live here: choosing.

use super::{Provider, Wanted};
use pubgrub::{DerivationTree, External, Ranges};
use semver::Version;
use std::{collections::BTreeMap, ops::Bound};

type Derivation = DerivationTree<Wanted, Ranges<Version>, String>;
type DerivedFact = External<Wanted, Ranges<Version>, String>;

/// So many versions are named of those that there are.
const NAMED: usize = 5;

impl Provider<'_> {
    /// Why nothing fits.
    pub(super) fn describe(&self, tree: &Derivation) -> String {
        let mut facts = Vec::new();
        gather(tree, &mut facts);
        let mut sentences: Vec<String> = Vec::new();
        for fact in &facts {
            sentences.extend(self.sentence(fact, &facts).filter(|sentence| !sentences.contains(sentence)));
        }
        sentences.extend(self.newest_that_fit());
        sentences.join("; ")
    }

    fn sentence(&self, fact: &DerivedFact, facts: &[&DerivedFact]) -> Option<String> {
        match fact {
            External::FromDependencyOf(Wanted::Everything, _, Wanted::Plugin(name), range) => {
                Some(format!("{} is asked for", with_range(name, range)))
            }
            External::FromDependencyOf(by @ (Wanted::Plugin(_) | Wanted::Installed(_)), of, name, range) => {
                let by = match by {
                    Wanted::Plugin(by) => with_range(by, of),
                    by => by.to_string(),
                };
                Some(format!("{by} needs {}", with_range(&name.to_string(), range)))
            }
            External::NoVersions(Wanted::Plugin(name), set) => {
                // Between versions there is nothing: only where all that was asked for is among it, that is a reason.
                let asked = facts.iter().find_map(|fact| match fact {
                    External::FromDependencyOf(_, _, Wanted::Plugin(asked), range)
                        if asked == name && range.subset_of(set) =>
                    {
                        Some(range)
                    }
                    _ => None,
                });
                asked.map(|range| self.none(name, range))
            }
            External::Custom(name, set, why) => Some(match why.starts_with("cannot be installed: ") {
                true => format!("{} {why}", with_range(&name.to_string(), set)),
                false => format!("{} does not fit: {why}", with_range(&name.to_string(), set)),
            }),
            _ => None,
        }
    }

    /// Why there is no version of a plugin in a range.
    fn none(&self, name: &str, range: &Ranges<Version>) -> String {
        let documents = self.documents.borrow();
        let nothing = BTreeMap::new();
        let listed = documents.get(name).map_or(&nothing, |known| &known.versions);
        let installed = self.request.installed.get(name).map(|installed| &installed.version);
        let within: Vec<_> = listed.iter().filter(|(version, _)| range.contains(*version)).collect();
        if !within.is_empty() && within.iter().all(|(_, offered)| offered.version.yanked.is_some()) {
            return format!("{} was taken back", with_range(name, range));
        }
        match (installed, listed.is_empty()) {
            (None, true) => format!("no catalog lists {name}"),
            (Some(installed), true) => format!("{name} is {installed} here, and no catalog lists it"),
            (Some(installed), false) if !within.is_empty() => {
                format!("{name} is {installed} here, and becomes no older")
            }
            (_, false) => {
                let offered = listed.iter().rev().filter(|(_, offered)| offered.version.yanked.is_none());
                let there: Vec<String> = offered.map(|(version, _)| version.to_string()).take(NAMED).collect();
                format!("there is no {}, only {}", with_range(name, range), there.join(", "))
            }
        }
    }

    /// Of what does not fit in all its versions, the newest that does.
    fn newest_that_fit(&self) -> Vec<String> {
        let documents = self.documents.borrow();
        let unfit = documents.iter().filter(|(_, document)| document.versions.values().any(|one| one.part.is_err()));
        let newest = unfit.map(|(name, document)| {
            let offered = document.versions.iter().filter(|(_, one)| one.version.yanked.is_none() && one.part.is_ok());
            match offered.map(|(number, _)| number).rfind(|number| number.pre.is_empty()) {
                Some(newest) => format!("newest {name} that fits here: {newest}"),
                None => format!("no version of {name} fits here"),
            }
        });
        newest.collect()
    }
}

/// What it was derived from, in the order in which it is met.
fn gather<'a>(tree: &'a Derivation, facts: &mut Vec<&'a DerivedFact>) {
    match tree {
        DerivationTree::External(fact) => facts.push(fact),
        DerivationTree::Derived(derived) => {
            gather(&derived.cause1, facts);
            gather(&derived.cause2, facts);
        }
    }
}

fn with_range(name: &str, range: &Ranges<Version>) -> String {
    match in_words(range) {
        range if range.is_empty() => name.to_owned(),
        range => format!("{name} {range}"),
    }
}

/// A set of versions as people write it; empty: all.
fn in_words(range: &Ranges<Version>) -> String {
    // That pre-releases of the next version are not before it goes without saying.
    let end = |version: &Version| match version.pre.as_str() {
        "0" => Version::new(version.major, version.minor, version.patch),
        _ => version.clone(),
    };
    let part = |(low, high): (&Bound<Version>, &Bound<Version>)| {
        if let (Bound::Included(low), Bound::Excluded(high)) = (low, high)
            && *high == super::just_after(low)
        {
            return low.to_string();
        }
        let low = match low {
            Bound::Included(low) => Some(format!(">={low}")),
            Bound::Excluded(low) => Some(format!(">{low}")),
            Bound::Unbounded => None,
        };
        let high = match high {
            Bound::Included(high) => Some(format!("<={high}")),
            Bound::Excluded(high) => Some(format!("<{}", end(high))),
            Bound::Unbounded => None,
        };
        match (&low, &high) {
            (Some(low), Some(high)) if low[2..] == high[2..] && high.starts_with("<=") => low[2..].to_owned(),
            _ => [low, high].into_iter().flatten().collect::<Vec<_>>().join(", "),
        }
    };
    range.iter().map(part).collect::<Vec<_>>().join(" or ")
}
