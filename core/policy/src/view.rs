//! Plugins as people see them, and the numbers of theirs that change without the supervisor: who holds what serves and what
//! drains. Pure.
//!
//! What must not live here: who may see what.

use crate::{
    BuildView, Digest, Endpoint, GenerationPhase, GenerationView, GrantsView, Instance, Kept, Kind, Manifest,
    PluginView, Subscription, UiSection, Use, Watch, permissions::covers, routes::MOUNTS,
};
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{Arc, Weak},
};

/// All plugins, as the supervisor last saw them.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// By name.
    pub plugins: Vec<Arc<LivePlugin>>,
    /// The first look at everything is done: every wanted plugin serves or has failed for good.
    pub ready: bool,
    /// Why the plugins directory cannot be read, if it cannot.
    pub trouble: Option<String>,
    /// Why the registry cannot be used, if it cannot.
    pub registry_trouble: Option<String>,
}

/// A plugin as the supervisor last saw it. It is read like a [`PluginView`], in which requests in flight are as they were then;
/// [`LivePlugin::now`] reads them anew.
#[derive(Clone)]
pub struct LivePlugin {
    view: PluginView,
    /// From what sort of entry it comes; none if the entry is gone.
    pub entry: Option<Kind>,
    /// What all servers are to serve of it, if that does not come of its entry here: there is none, or another one.
    pub agreed_elsewhere: Option<Digest>,
    /// What it may.
    pub grants: GrantsView,
    /// Its configuration with what is secret in it, which is in no view: for whoever keeps secrets out of what is told.
    pub secrets_in: Option<Arc<dyn Fn() -> serde_json::Value + Send + Sync>>,
    /// The OpenAPI document that it came with, as JSON text, while it serves.
    pub openapi: Option<Arc<str>>,
    /// The schema of its configuration, if it has one, as its author wrote it.
    pub config_schema: Option<Arc<str>>,
    /// Which events it wants to hear of, while it serves.
    pub subscriptions: Arc<[Subscription]>,
    /// The last builds and recalls of it here, the newest first.
    pub builds: Vec<Arc<BuildView>>,
    /// Whether what it brings to the page runs in the page itself.
    pub has_trusted_ui: bool,
    /// What serves, which tells what it uses. It is not kept alive by whoever may see it.
    pub(crate) instance: Option<Weak<dyn Instance>>,
    /// Who holds what serves and what drains, by generation.
    leases: BTreeMap<u64, Watch>,
}

impl fmt::Debug for LivePlugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LivePlugin").field("view", &self.view).field("leases", &self.leases).finish()
    }
}

impl Deref for LivePlugin {
    type Target = PluginView;

    fn deref(&self) -> &PluginView {
        &self.view
    }
}

/// What a plugin brings to the page.
#[derive(Clone, Debug)]
pub struct PageOffer {
    /// Of the code that serves, in hexadecimal digits.
    pub digest: String,
    /// What its modules may ask: what it asks for of that, and was granted.
    pub rights: Vec<String>,
    /// Whether they run in the page itself.
    pub is_trusted: bool,
    /// Widgets, pages and files.
    pub ui: UiSection,
}

/// The permissions that are for a plugin's modules on the page.
pub(crate) const UI_RIGHTS: [&str; 3] = ["ui:read", "ui:read:all", "ui:call"];

/// What an OpenAPI document describes, below a mount.
pub(crate) fn described(mount: &str, openapi: Option<&str>) -> Vec<Endpoint> {
    const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let document: serde_json::Value = openapi.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut endpoints = Vec::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS.iter().filter(|method| operations.get(**method).is_some()) {
            let path = format!("{}{path}", mount.trim_end_matches('/'));
            endpoints.push(Endpoint { method: method.to_uppercase(), path, source: "openapi".into() });
        }
    }
    endpoints
}

impl LivePlugin {
    /// The same with those of its paths alone that this holds of.
    pub(crate) fn with_paths(&self, holds: impl Fn(&str) -> bool) -> Self {
        let mut plugin = self.clone();
        plugin.view.urls.retain(|url| holds(url));
        plugin.view.endpoints.retain(|endpoint| holds(&endpoint.path));
        plugin
    }

    /// One that this is to be seen of, with who holds its generations.
    pub fn new(view: PluginView, entry: Option<Kind>, leases: BTreeMap<u64, Watch>) -> Self {
        let mut plugin = LivePlugin {
            view,
            entry,
            agreed_elsewhere: None,
            grants: GrantsView::default(),
            secrets_in: None,
            openapi: None,
            config_schema: None,
            subscriptions: Arc::default(),
            builds: Vec::new(),
            has_trusted_ui: false,
            instance: None,
            leases,
        };
        plugin.view = plugin.now();
        plugin
    }

    /// What is to be seen of it now.
    pub fn now(&self) -> PluginView {
        let mut view = self.view.clone();
        let leases = |generation| self.leases.get(&generation);
        if let Some(serving) = &mut view.serving {
            serving.in_flight = leases(serving.generation).map_or(0, in_flight);
            let instance = self.instance.as_ref().and_then(Weak::upgrade);
            serving.memory_bytes = instance.as_ref().and_then(|instance| instance.memory());
            serving.descriptors = instance.as_ref().and_then(|instance| instance.descriptors());
            serving.process = instance.and_then(|instance| instance.process());
        }
        for draining in &mut view.draining {
            if let Some(leases) = leases(draining.generation) {
                draining.in_flight = in_flight(leases);
                draining.why = held_by(leases);
            }
        }
        view
    }

    /// How much memory what serves holds, where that is counted.
    pub fn memory(&self) -> Option<u64> {
        self.instance.as_ref().and_then(Weak::upgrade).and_then(|instance| instance.memory())
    }

    /// What it brings to the page while it serves, if it brings anything.
    pub fn page_offer(&self) -> Option<PageOffer> {
        let artifact = self.serving.as_ref()?.artifact;
        let instance = self.instance.as_ref().and_then(Weak::upgrade)?;
        let camlock = &instance.description().manifest.camlock;
        let ui = camlock.ui.clone();
        if ui.is_empty() {
            return None;
        }
        let has = |right: &&str| {
            let is_granted = self.grants.granted.iter().any(|granted| covers(granted, right));
            is_granted && camlock.permissions.iter().any(|asked| asked == *right)
        };
        let rights = UI_RIGHTS.into_iter().filter(has).map(str::to_owned).collect();
        // What is compiled in has no artifact: what it brings tells it from what another program brings.
        let digest = artifact
            .unwrap_or_else(|| Digest::of(&ui.files.iter().flat_map(|file| file.content.to_vec()).collect::<Vec<_>>()));
        let digest = digest.to_string().trim_start_matches("sha256:").to_owned();
        Some(PageOffer { digest, rights, is_trusted: self.has_trusted_ui, ui })
    }

    /// What the manifest of what serves says.
    pub fn manifest(&self) -> Option<Manifest> {
        self.instance.as_ref().and_then(Weak::upgrade).map(|instance| instance.description().manifest.clone())
    }

    /// Its OpenAPI document now: the last with which what serves replaced the one that it came with, or that one.
    pub fn document(&self) -> Option<Arc<str>> {
        self.replaced_document().or_else(|| self.openapi.clone())
    }

    fn replaced_document(&self) -> Option<Arc<str>> {
        self.instance.as_ref().and_then(Weak::upgrade)?.replaced_document()
    }

    /// What it answers, as its document now says.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let Some(document) = self.replaced_document() else { return self.view.endpoints.clone() };
        let mut endpoints = described(&format!("{MOUNTS}{}", self.view.name), Some(&document));
        let is_other = |endpoint: &&Endpoint| match &*endpoint.source {
            "openapi" => false,
            "mount" => endpoints.is_empty(),
            _ => true,
        };
        let others: Vec<_> = self.view.endpoints.iter().filter(is_other).cloned().collect();
        endpoints.extend(others);
        endpoints
    }

    /// How many requests, answers and upgraded connections are under way now, in what serves and what drains.
    pub fn in_flight(&self) -> usize {
        self.leases.values().map(in_flight).sum()
    }

    /// Its generations in the process now, and those of its artifacts that are kept beside what serves.
    pub fn generations(&self, kept: &[Kept]) -> Vec<GenerationView> {
        let PluginView { serving, draining, pinned, .. } = self.now();
        let artifact = serving.as_ref().and_then(|serving| serving.artifact);
        let serving = serving.map(|serving| GenerationView {
            generation: Some(serving.generation),
            version: Some(serving.version),
            artifact: serving.artifact,
            since: Some(serving.since),
            in_flight: Some(serving.in_flight),
            ..GenerationView::new(GenerationPhase::Serving)
        });
        let draining = draining.into_iter().map(|draining| GenerationView {
            generation: Some(draining.generation),
            in_flight: Some(draining.in_flight),
            reason: Some(draining.why),
            deadline: Some(draining.deadline),
            ..GenerationView::new(GenerationPhase::Draining)
        });
        let pinned = pinned.into_iter().map(|pinned| GenerationView {
            generation: Some(pinned.generation),
            reason: Some(pinned.reason),
            ..GenerationView::new(GenerationPhase::Pinned)
        });
        let kept = kept.iter().filter(|kept| Some(kept.digest) != artifact).map(|kept| GenerationView {
            version: Some(kept.version.clone()),
            artifact: Some(kept.digest),
            since: Some(kept.at.into()),
            ..GenerationView::new(GenerationPhase::Kept)
        });
        serving.into_iter().chain(draining).chain(pinned).chain(kept).collect()
    }
}

/// Requests without an answer, answers that are being read, and upgraded connections.
fn in_flight(leases: &Watch) -> usize {
    [Use::Request, Use::Body, Use::Connection].map(|held_for| leases.count_of(held_for)).iter().sum()
}

/// What holds a replaced generation, in short.
fn held_by(leases: &Watch) -> String {
    let parts: Vec<_> = [
        (Use::Request, "request", "requests"),
        (Use::Body, "response", "responses"),
        (Use::Connection, "WebSocket", "WebSockets"),
        (Use::Bytes, "run of bytes", "runs of bytes"),
        (Use::Job, "job", "jobs"),
    ]
    .into_iter()
    .filter_map(|(held_for, one, many)| match leases.count_of(held_for) {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    })
    .collect();
    if parts.is_empty() { "it is being shut down".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, DrainingView, Fingerprint, Headline, Lease, PinnedView, PluginKind, ServingView};
    use std::time::SystemTime;

    /// It serves as generation 3; 2 drains, 1 is pinned.
    fn held(lease: &Lease) -> LivePlugin {
        let at = SystemTime::UNIX_EPOCH.into();
        let serving = ServingView {
            generation: 3,
            version: "0.1.0".into(),
            artifact: Some(Digest::of(b"")),
            since: at,
            in_flight: 0,
            left_behind_bytes: None,
            memory_bytes: None,
            descriptors: None,
            isolation: crate::Isolation::None,
            process: None,
        };
        let view = PluginView {
            name: "hello".into(),
            version: "0.1.0".into(),
            description: String::new(),
            category: None,
            kind: PluginKind::Dynamic,
            enabled: true,
            revision: 1,
            isolation: None,
            state: Headline::Serving,
            reason: None,
            serving: Some(serving),
            candidate: None,
            failed: None,
            draining: vec![DrainingView { generation: 2, in_flight: 0, why: String::new(), deadline: at }],
            pinned: vec![PinnedView { generation: 1, reason: "a thread still runs".into() }],
            endpoints: Vec::new(),
            urls: Vec::new(),
            path: None,
            config: None,
            stages: None,
        };
        LivePlugin::new(view, Some(Kind::Crate), BTreeMap::from([(2, lease.watch())]))
    }

    #[test]
    fn who_holds_a_generation_is_read_anew() {
        let lease = Lease::first(|| {});
        let plugin = held(&lease);
        assert_eq!((plugin.draining[0].in_flight, &*plugin.draining[0].why), (0, "it is being shut down"));
        let _held =
            [Use::Request, Use::Request, Use::Body, Use::Connection, Use::Job].map(|held_for| lease.share(held_for));
        let now = plugin.now();
        assert_eq!(
            (now.draining[0].in_flight, &*now.draining[0].why),
            (4, "2 requests, 1 response, 1 WebSocket, 1 job")
        );
        assert_eq!(plugin.in_flight(), 4);
    }

    #[test]
    fn generations_are_those_in_the_process_and_what_is_kept_beside_them() {
        let kept = |bytes: &[u8], version: &str| Kept {
            name: "hello".into(),
            version: version.into(),
            fingerprint: Fingerprint(String::new()),
            digest: Digest::of(bytes),
            at: SystemTime::UNIX_EPOCH,
        };
        let generations = held(&Lease::first(|| {})).generations(&[kept(b"", "0.1.0"), kept(b"old", "0.0.9")]);
        let states: Vec<_> = generations.iter().map(|one| (one.state, one.generation)).collect();
        use GenerationPhase as Phase;
        let expected =
            [(Phase::Serving, Some(3)), (Phase::Draining, Some(2)), (Phase::Pinned, Some(1)), (Phase::Kept, None)];
        assert_eq!(states, expected);
        assert_eq!(generations[3].version.as_deref(), Some("0.0.9"));
    }
}
