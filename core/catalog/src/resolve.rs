//! Which versions fit together, and here. What is wrong is told by what the resolver derived it from.
//!
//! What must not live here: where documents come from, and whose are believed.

use crate::{
    CatalogTrouble,
    documents::{PluginDocument, PluginVersion},
    package::read_glibc,
};
use pubgrub::{
    Dependencies, DependencyConstraints, DependencyProvider, PackageResolutionStatistics, PubGrubError, Ranges, resolve,
};
use semver::{Comparator, Op, Prerelease, Version, VersionReq};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
};

mod sentences;
#[cfg(test)]
mod tests;

/// What this server is, as far as that decides what fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its target.
    pub target: String,
    /// The contract that it has.
    pub contract: String,
    /// The version of its C library; none if that is not known.
    pub glibc: Option<String>,
    /// The features that it offers; none if that is left to the verifying child.
    pub features: Option<Vec<String>>,
    /// Whether it can compile.
    pub compiles: bool,
}

/// Which of library and sources is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PackagePreference {
    /// The library, where one fits; otherwise the sources.
    #[default]
    Prebuilt,
    /// The sources, where they can be compiled; otherwise the library.
    Source,
    /// Nothing but sources.
    SourceOnly,
}

/// What of a version is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenPart {
    /// The library for this target.
    Library(String),
    /// The file with the sources.
    Source(String),
}

/// What of a version fits here, or why nothing does.
pub fn fitting(
    version: &PluginVersion,
    server: &ServerFacts,
    preference: PackagePreference,
) -> Result<TakenPart, String> {
    if let Some(why) = &version.refused {
        return Err(why.clone());
    }
    let source = match &version.source {
        Some(_) if !server.compiles => Err("it has sources, and this server has no Rust toolchain".to_owned()),
        Some(file) => Ok(TakenPart::Source(file.clone())),
        None => Err("it has no sources".to_owned()),
    };
    let library = fitting_library(version, server);
    match preference {
        PackagePreference::SourceOnly => source,
        PackagePreference::Source => source.or(library),
        PackagePreference::Prebuilt => library.or_else(|why| {
            source.map_err(|also| match version.libraries.is_empty() {
                true => also,
                false => why,
            })
        }),
    }
}

fn fitting_library(version: &PluginVersion, server: &ServerFacts) -> Result<TakenPart, String> {
    let Some(library) = version.libraries.get(&server.target) else {
        let there: Vec<&str> = version.libraries.keys().map(String::as_str).collect();
        return Err(format!("it has no library for {}, only for {}", server.target, there.join(", ")));
    };
    if let (Some(needed), Some(here)) = (read_glibc(&library.glibc), server.glibc.as_deref().and_then(read_glibc))
        && needed > here
    {
        return Err(format!("it needs GLIBC {}.{}, and this server has {}.{}", needed.0, needed.1, here.0, here.1));
    }
    // Contracts are MAJOR.MINOR; a host takes what was built for its own major.
    let major = |contract: &str| contract.split('.').next().map(str::to_owned);
    if major(&library.contract) != major(&server.contract) {
        return Err(format!("it needs contract {}, and this server has {}", library.contract, server.contract));
    }
    if let Some(features) = &server.features
        && let Some(lacking) = library.requires.iter().find(|feature| !features.contains(feature))
    {
        return Err(format!("it needs the feature {lacking}, which this server does not offer"));
    }
    Ok(TakenPart::Library(server.target.clone()))
}

/// Something that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Wanted {
    /// All of it.
    Everything,
    /// What is installed already and has wishes about others.
    Installed(String),
    /// A plugin.
    Plugin(String),
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Everything => formatter.write_str("what is asked for"),
            Wanted::Installed(name) => write!(formatter, "the installed {name}"),
            Wanted::Plugin(name) => formatter.write_str(name),
        }
    }
}

/// A plugin that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledVersion {
    /// Its version.
    pub version: Version,
    /// What it asks of others.
    pub dependencies: BTreeMap<String, String>,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Plugins, with the versions that will do.
    pub wanted: BTreeMap<String, VersionReq>,
    /// What is installed. It stays as it is where that will do, and becomes no older.
    pub installed: BTreeMap<String, InstalledVersion>,
    /// Plugins of which pre-releases count like other versions; of the rest they are taken only where there is nothing else.
    pub pre_releases: BTreeSet<String>,
    /// What is taken of versions.
    pub preference: PackagePreference,
}

/// A version that was chosen, and what of it is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenVersion {
    /// The version, as its catalog says it.
    pub version: PluginVersion,
    /// What of it is taken.
    pub part: TakenPart,
}

/// What is asked about a plugin: what its catalog says of it; none if nobody has it.
pub type AskDocument<'a> = dyn Fn(&str) -> Result<Option<PluginDocument>, CatalogTrouble> + 'a;

/// Chooses versions: those that are to be installed, others of what is installed too. What depends on others comes after them.
pub fn choose(
    request: &Request,
    server: &ServerFacts,
    ask: &AskDocument<'_>,
) -> Result<Vec<(String, ChosenVersion)>, CatalogTrouble> {
    let provider = Provider { request, server, ask, documents: RefCell::default() };
    let solution = match resolve(&provider, Wanted::Everything, Version::new(0, 0, 0)) {
        Ok(solution) => solution,
        Err(PubGrubError::NoSolution(tree)) => return Err(CatalogTrouble::conflict(provider.describe(&tree))),
        Err(
            PubGrubError::ErrorChoosingVersion { source, .. }
            | PubGrubError::ErrorRetrievingDependencies { source, .. }
            | PubGrubError::ErrorInShouldCancel(source),
        ) => return Err(source),
    };
    let mut chosen = BTreeMap::new();
    for (wanted, version) in solution.iter() {
        let Wanted::Plugin(name) = wanted else { continue };
        if request.installed.get(name).is_some_and(|installed| installed.version == *version) {
            continue;
        }
        let document = provider.document(name)?;
        let Some(OfferedVersion { version: found, part: Ok(part) }) = document.versions.get(version) else { continue };
        chosen.insert(name.clone(), ChosenVersion { version: found.clone(), part: part.clone() });
    }
    Ok(in_order(chosen))
}

/// What others depend on comes before them.
fn in_order(mut chosen: BTreeMap<String, ChosenVersion>) -> Vec<(String, ChosenVersion)> {
    let mut ordered = Vec::new();
    while !chosen.is_empty() {
        let free = |version: &ChosenVersion| !version.version.dependencies.keys().any(|name| chosen.contains_key(name));
        // Those that depend on each other in a circle come in the order of their names.
        let next = chosen.iter().find(|(_, version)| free(version)).or_else(|| chosen.iter().next());
        let Some(name) = next.map(|(name, _)| name.clone()) else { break };
        ordered.extend(chosen.remove(&name).map(|version| (name, version)));
    }
    ordered
}

/// What is known of a plugin, read once.
struct KnownDocument {
    versions: BTreeMap<Version, OfferedVersion>,
}

struct OfferedVersion {
    version: PluginVersion,
    part: Result<TakenPart, String>,
}

struct Provider<'a> {
    request: &'a Request,
    server: &'a ServerFacts,
    ask: &'a AskDocument<'a>,
    documents: RefCell<BTreeMap<String, Rc<KnownDocument>>>,
}

impl Provider<'_> {
    fn document(&self, name: &str) -> Result<Rc<KnownDocument>, CatalogTrouble> {
        if let Some(known) = self.documents.borrow().get(name) {
            return Ok(known.clone());
        }
        let versions = (self.ask)(name)?.map(|document| document.versions).unwrap_or_default();
        let known = |version: PluginVersion| {
            let number = version.semver()?;
            let part = fitting(&version, self.server, self.request.preference);
            Some((number, OfferedVersion { version, part }))
        };
        let known = Rc::new(KnownDocument { versions: versions.into_iter().filter_map(known).collect() });
        self.documents.borrow_mut().insert(name.to_owned(), known.clone());
        Ok(known)
    }

    fn constraints(&self, dependencies: &BTreeMap<String, String>) -> Result<Constraints, String> {
        let mut constraints = Vec::new();
        for (name, range) in dependencies {
            let range = range.parse().map_err(|error| format!("its range for {name} is none: {error}"))?;
            constraints.push((Wanted::Plugin(name.clone()), versions_of(&range)));
        }
        Ok(constraints.into_iter().collect())
    }
}

type Constraints = DependencyConstraints<Wanted, Ranges<Version>>;
type Found = Dependencies<Wanted, Ranges<Version>, String>;

impl DependencyProvider for Provider<'_> {
    type P = Wanted;
    type V = Version;
    type VS = Ranges<Version>;
    type M = String;
    type Err = CatalogTrouble;
    type Priority = (u32, std::cmp::Reverse<usize>);

    fn prioritize(
        &self,
        wanted: &Wanted,
        range: &Ranges<Version>,
        met: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let count = match wanted {
            Wanted::Plugin(name) => self
                .document(name)
                .map_or(0, |document| document.versions.keys().filter(|version| range.contains(*version)).count()),
            _ => 0,
        };
        (met.conflict_count(), std::cmp::Reverse(count))
    }

    fn choose_version(&self, wanted: &Wanted, range: &Ranges<Version>) -> Result<Option<Version>, CatalogTrouble> {
        let name = match wanted {
            Wanted::Everything | Wanted::Installed(_) => {
                return Ok(Some(Version::new(0, 0, 0)).filter(|one| range.contains(one)));
            }
            Wanted::Plugin(name) => name,
        };
        let installed = self.request.installed.get(name).map(|installed| &installed.version);
        // What is installed stays, unless something else is asked of it.
        if let Some(installed) = installed.filter(|version| range.contains(*version))
            && !self.request.wanted.contains_key(name)
        {
            return Ok(Some(installed.clone()));
        }
        let document = self.document(name)?;
        let offered = document.versions.iter().filter(|(version, offered)| {
            let newer = installed.is_none_or(|installed| *version >= installed);
            offered.version.yanked.is_none() && newer && range.contains(*version)
        });
        // What does not fit comes last: that it does not is the message then, if nothing else helps.
        let all = self.request.pre_releases.contains(name);
        let best =
            offered.max_by_key(|(version, offered)| (offered.part.is_ok(), all || version.pre.is_empty(), *version));
        Ok(best.map(|(version, _)| version.clone()))
    }

    fn get_dependencies(&self, wanted: &Wanted, version: &Version) -> Result<Found, CatalogTrouble> {
        let found = match wanted {
            Wanted::Everything => {
                let wanted =
                    self.request.wanted.iter().map(|(name, range)| (Wanted::Plugin(name.clone()), versions_of(range)));
                let installed = self.request.installed.iter().filter(|(name, installed)| {
                    !self.request.wanted.contains_key(*name) && !installed.dependencies.is_empty()
                });
                let installed = installed.map(|(name, _)| (Wanted::Installed(name.clone()), Ranges::full()));
                return Ok(Dependencies::Available(wanted.chain(installed).collect()));
            }
            Wanted::Installed(name) => {
                // Only what it asks of those that may change.
                let wanted = &self.request.wanted;
                let mut dependencies = self.request.installed[name].dependencies.clone();
                dependencies.retain(|name, _| wanted.contains_key(name));
                self.constraints(&dependencies)
            }
            Wanted::Plugin(name) => {
                if self.request.installed.get(name).is_some_and(|installed| installed.version == *version) {
                    let dependencies = &self.request.installed[name].dependencies;
                    return Ok(self
                        .constraints(dependencies)
                        .map_or_else(Dependencies::Unavailable, Dependencies::Available));
                }
                let document = self.document(name)?;
                match document.versions.get(version) {
                    None => Err("it is gone from its catalog".to_owned()),
                    Some(OfferedVersion { part: Err(why), .. }) => Err(why.clone()),
                    Some(offered) => self.constraints(&offered.version.dependencies),
                }
            }
        };
        Ok(found.map_or_else(Dependencies::Unavailable, Dependencies::Available))
    }
}

/// A range of cargo's as a set of versions. Of pre-releases more are in it than cargo would take: they are chosen only where there
/// is nothing else.
fn versions_of(range: &VersionReq) -> Ranges<Version> {
    range.comparators.iter().map(versions_of_one).fold(Ranges::full(), |all, one| all.intersection(&one))
}

fn versions_of_one(one: &Comparator) -> Ranges<Version> {
    let exact = Version {
        major: one.major,
        minor: one.minor.unwrap_or(0),
        patch: one.patch.unwrap_or(0),
        pre: one.pre.clone(),
        build: semver::BuildMetadata::EMPTY,
    };
    let next_major = before(Version::new(one.major.saturating_add(1), 0, 0));
    let next_minor = |minor: u64| before(Version::new(one.major, minor.saturating_add(1), 0));
    let next_patch = |minor: u64, patch: u64| before(Version::new(one.major, minor, patch.saturating_add(1)));
    // Whatever the written parts are, the first version that is no longer among those they stand for.
    let after = match (one.minor, one.patch) {
        (None, _) => next_major.clone(),
        (Some(minor), None) => next_minor(minor),
        (Some(minor), Some(patch)) => next_patch(minor, patch),
    };
    match one.op {
        Op::Exact if one.patch.is_some() => Ranges::between(exact.clone(), just_after(&exact)),
        Op::Exact | Op::Wildcard => Ranges::between(exact, after),
        Op::Greater if one.patch.is_some() => Ranges::strictly_higher_than(exact),
        Op::Greater => Ranges::higher_than(after),
        Op::GreaterEq => Ranges::higher_than(exact),
        Op::Less => Ranges::strictly_lower_than(exact),
        Op::LessEq if one.patch.is_some() => Ranges::lower_than(exact),
        Op::LessEq => Ranges::strictly_lower_than(after),
        Op::Tilde => Ranges::between(exact, one.minor.map_or(next_major, next_minor)),
        Op::Caret => {
            let end = match (one.major, one.minor, one.patch) {
                (0, None, _) => next_major,
                (0, Some(0), None) => next_minor(0),
                (0, Some(0), Some(patch)) => next_patch(0, patch),
                (0, Some(minor), _) => next_minor(minor),
                _ => next_major,
            };
            Ranges::between(exact, end)
        }
        _ => Ranges::empty(),
    }
}

/// The least version below which everything belongs to what comes before: pre-releases of the next one do not count as before it.
fn before(version: Version) -> Version {
    Version { pre: Prerelease::new("0").unwrap_or_default(), ..version }
}

/// The version that comes next, pre-releases counted: `1.2.3` alone is what lies between it and this.
fn just_after(version: &Version) -> Version {
    match version.pre.is_empty() {
        true => before(Version::new(version.major, version.minor, version.patch.saturating_add(1))),
        false => {
            let pre = Prerelease::new(&format!("{}.0", version.pre)).unwrap_or_default();
            Version { pre, build: semver::BuildMetadata::EMPTY, ..version.clone() }
        }
    }
}
