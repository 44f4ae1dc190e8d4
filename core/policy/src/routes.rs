//! From a path to what answers it: one immutable table. What must not live here: HTTP, and how tables are replaced.

use crate::{
    Headline, Instance, Lease, Loaded, RequestLimits, Use,
    manifest::{HOST_CLAIM, servers_own},
    names::ByName,
};
use std::sync::Arc;
use tokio::sync::watch;

/// Where every plugin is mounted.
pub const MOUNTS: &str = "/api/v1/p/";
/// What the names of plugins' gRPC services begin with.
const SERVICES: &str = "/camlock.plugins.";

/// A generation as the table holds it. It has a lease of its own: as long as any table has it, it is not drained.
#[derive(Clone)]
pub struct Serving {
    /// The plugin.
    pub name: Arc<str>,
    /// Its generation.
    pub generation: u64,
    /// What answers.
    pub instance: Arc<dyn Instance>,
    /// The table's lease.
    pub lease: Lease,
    /// What its requests may cost.
    pub limits: RequestLimits,
    /// Turns true when connections and streams that outlived the drain must end.
    pub farewell: watch::Receiver<bool>,
}

impl Serving {
    /// What was loaded, as the table holds it; none if it has ended. `farewell` turns true when what outlives the drain must
    /// end.
    pub fn of(
        loaded: &Loaded,
        generation: u64,
        limits: RequestLimits,
        farewell: watch::Receiver<bool>,
    ) -> Option<Self> {
        Some(Serving {
            name: loaded.instance.description().manifest.name.as_str().into(),
            generation,
            instance: loaded.instance.clone(),
            lease: loaded.leases.try_share(Use::Owner)?,
            limits,
            farewell,
        })
    }

    /// Under its name, with the paths it claims.
    pub fn routed(self, claims: Vec<String>) -> Routed<Target> {
        Routed { name: self.name.to_string(), claims, target: Target::Serving(self) }
    }
}

/// What a name leads to.
#[derive(Clone)]
pub enum Target {
    /// A generation answers.
    Serving(Serving),
    /// State is being handed over: requests wait for the next table, so long at most.
    Held(std::time::Duration),
    /// The plugin is known, and does not serve: 503.
    Unavailable {
        /// The plugin.
        name: Arc<str>,
        /// In a word.
        state: Headline,
        /// In a sentence.
        reason: String,
    },
}

/// A plugin for the table: its name, the paths it claims, and what they lead to.
#[derive(Clone, Debug)]
pub struct Routed<T> {
    /// The plugin.
    pub name: String,
    /// Exact paths, trees (`/tables/*`), and hosts (`//shop.example.com`). No two plugins' claims may overlap.
    pub claims: Vec<String>,
    /// What answers.
    pub target: T,
}

/// The table.
#[derive(Clone, Debug)]
pub struct RouteTable<T> {
    targets: Vec<T>,
    /// By name.
    mounts: ByName<usize>,
    /// By whole path.
    exact: ByName<usize>,
    /// By path without `/*`.
    trees: ByName<usize>,
    /// By the name that is part of a gRPC service's.
    services: ByName<usize>,
    /// By host.
    hosts: ByName<usize>,
    /// What answers where neither the server nor another plugin does.
    rest: Option<usize>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteMatch<'a, T> {
    /// What answers.
    pub target: &'a T,
    /// So many bytes of the path are the mount, which the plugin does not see.
    pub mount: usize,
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        RouteTable::new([])
    }
}

impl<T> RouteTable<T> {
    /// A table of these plugins.
    pub fn new(plugins: impl IntoIterator<Item = Routed<T>>) -> Self {
        let mut table = RouteTable {
            targets: Vec::new(),
            mounts: ByName::default(),
            exact: ByName::default(),
            trees: ByName::default(),
            services: ByName::default(),
            hosts: ByName::default(),
            rest: None,
        };
        for Routed { name, claims, target } in plugins {
            let index = table.targets.len();
            table.targets.push(target);
            for claim in claims {
                if let Some(host) = claim.strip_prefix(HOST_CLAIM) {
                    table.hosts.insert(host.to_owned(), index);
                } else if claim == EVERYTHING {
                    table.rest = Some(index);
                } else if let Some(tree) = claim.strip_suffix("/*") {
                    table.trees.insert(tree.to_owned(), index);
                } else {
                    table.exact.insert(claim, index);
                }
            }
            table.services.insert(name.replace('-', "_"), index);
            table.mounts.insert(name, index);
        }
        table
    }

    /// The same table of something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> RouteTable<U> {
        RouteTable {
            targets: self.targets.into_iter().map(change).collect(),
            mounts: self.mounts,
            exact: self.exact,
            trees: self.trees,
            services: self.services,
            hosts: self.hosts,
            rest: self.rest,
        }
    }

    /// All that is in it.
    pub fn targets(&self) -> &[T] {
        &self.targets
    }

    /// What answers at a path.
    pub fn find(&self, path: &str) -> Option<RouteMatch<'_, T>> {
        let (index, mount) = self.index(path)?;
        Some(RouteMatch { target: &self.targets[index], mount })
    }

    /// What a plugin's name leads to.
    pub fn find_plugin(&self, name: &str) -> Option<&T> {
        self.mounts.get(name).map(|index| &self.targets[*index])
    }

    /// Whether any plugin has a host of its own.
    pub fn has_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// What answers under a host of its own, whatever the path. The host is in lower case, without a port.
    pub fn find_host(&self, host: &str) -> Option<RouteMatch<'_, T>> {
        let index = *self.hosts.get(host)?;
        Some(RouteMatch { target: &self.targets[index], mount: 0 })
    }

    fn index(&self, path: &str) -> Option<(usize, usize)> {
        if let Some(rest) = path.strip_prefix(MOUNTS) {
            // Names are short: looking for their end byte by byte costs less than to begin a search.
            let end = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
            let name = &rest[..end];
            return self.mounts.get(name).map(|index| (*index, MOUNTS.len() + name.len()));
        }
        if let Some(index) = self.exact.get(path) {
            return Some((*index, 0));
        }
        if !self.trees.is_empty() {
            let mut tree = path;
            loop {
                if let Some(index) = self.trees.get(tree) {
                    return Some((*index, 0));
                }
                match tree.rfind('/') {
                    Some(end) if end > 0 => tree = &tree[..end],
                    _ => break,
                }
            }
        }
        self.service(path).or(self.rest.filter(|_| servers_own(path).is_none())).map(|index| (index, 0))
    }

    /// `/camlock.plugins.<name>.v1.<Service>/<Method>`
    fn service(&self, path: &str) -> Option<usize> {
        let (name, service) = path.strip_prefix(SERVICES)?.split_once('.')?;
        service.strip_prefix("v1.")?;
        self.services.get(name).copied()
    }
}

/// The claim of all paths that neither the server nor another plugin has.
const EVERYTHING: &str = "/*";
/// The claim of the first page.
const FIRST_PAGE: &str = "/";

/// Whether a claim holds only with the operator's word: a host, the first page, and everything.
pub fn needs_the_operators_word(claim: &str) -> bool {
    claim.starts_with(HOST_CLAIM) || claim == FIRST_PAGE || claim == EVERYTHING
}

/// Whether two claims have a path in common. A tree has its own top in it.
pub fn overlap(one: &str, other: &str) -> bool {
    let everything = [one, other].contains(&EVERYTHING);
    if everything {
        // Whatever is claimed besides comes before it.
        return [one, other].iter().all(|claim| [EVERYTHING, FIRST_PAGE].contains(claim));
    }
    let inside =
        |tree: &str, path: &str| path == tree || path.strip_prefix(tree).is_some_and(|rest| rest.starts_with('/'));
    match (one.strip_suffix("/*"), other.strip_suffix("/*")) {
        (None, None) => one == other,
        (Some(tree), None) => inside(tree, other),
        (None, Some(tree)) => inside(tree, one),
        (Some(one), Some(other)) => inside(one, other) || inside(other, one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable<&'static str> {
        let plugin = |name: &'static str, claims: &[&str]| Routed {
            name: name.to_owned(),
            claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
            target: name,
        };
        RouteTable::new([plugin("hello", &["/hello"]), plugin("kv-store", &["/tables/*"]), plugin("deep", &["/a/b/*"])])
    }

    #[test]
    fn paths_lead_to_plugins() {
        let table = table();
        for (path, expected) in [
            ("/api/v1/p/hello/x", Some(("hello", 15))),
            ("/api/v1/p/hello", Some(("hello", 15))),
            ("/api/v1/p/kv-store/", Some(("kv-store", 18))),
            ("/api/v1/p/nobody/x", None),
            ("/api/v1/p/", None),
            ("/hello", Some(("hello", 0))),
            ("/hello/", None),
            ("/hello/x", None),
            ("/tables", Some(("kv-store", 0))),
            ("/tables/", Some(("kv-store", 0))),
            ("/tables/a/b/c", Some(("kv-store", 0))),
            ("/tablesx", None),
            ("/a", None),
            ("/a/b", Some(("deep", 0))),
            ("/a/bc", None),
            ("/a/b/c/d", Some(("deep", 0))),
            ("/camlock.plugins.kv_store.v1.Store/Get", Some(("kv-store", 0))),
            ("/camlock.plugins.kv_store.v2.Store/Get", None),
            ("/camlock.plugins.nobody.v1.Store/Get", None),
            ("/", None),
            ("", None),
        ] {
            let found = table.find(path).map(|found| (*found.target, found.mount));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn a_host_and_what_is_left_lead_to_plugins() {
        let plugin = |name: &'static str, claims: &[&str]| Routed {
            name: name.to_owned(),
            claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
            target: name,
        };
        let shop = plugin("shop", &["//shop.example.com", "/"]);
        let table = RouteTable::new([shop, plugin("site", &["/*"]), plugin("hello", &["/hello"])]);
        assert!(table.has_hosts());
        assert_eq!(table.find_host("shop.example.com"), Some(RouteMatch { target: &"shop", mount: 0 }));
        assert_eq!(table.find_host("example.com"), None);
        for (path, expected) in [
            ("/", Some("shop")),
            ("/hello", Some("hello")),
            ("/hello/x", Some("site")),
            ("/index.html", Some("site")),
            ("/apis", Some("site")),
            ("/api/v1/p/nobody/x", None),
            ("/_/ready", None),
            ("/plugins", None),
            ("/docs", None),
        ] {
            assert_eq!(table.find(path).map(|found| *found.target), expected, "{path}");
        }
    }

    #[test]
    fn claims_overlap_where_they_share_a_path() {
        for (one, other, expected) in [
            ("/a", "/a", true),
            ("/a", "/b", false),
            ("/a/*", "/a", true),
            ("/a/*", "/a/b", true),
            ("/a/*", "/ab", false),
            ("/a/*", "/a/b/*", true),
            ("/a/b/*", "/a/*", true),
            ("/a/*", "/b/*", false),
            ("/a/b", "/a", false),
            ("/*", "/a/*", false),
            ("/*", "/", true),
            ("/*", "/*", true),
            ("/*", "//a.example", false),
            ("//a.example", "//a.example", true),
            ("//a.example", "//b.example", false),
            ("//a.example", "/", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
