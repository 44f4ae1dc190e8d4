//! What others see: the routes, and the overview.

use super::{
    Supervisor,
    ask::PendingAnswer,
    directory::two_of_one_name,
    plugin::{Plugin, Presence},
};
use crate::{
    CandidateView, Done, DrainingView, Endpoint, Failure, FailureView, Headline, Kind, LivePlugin, Overview,
    PinnedView, PluginKind, PluginView, ServingView, Stage, Use,
    generation::Phase,
    paths::without_paths,
    registry::Record,
    routes::{MOUNTS, Routed, Serving, Target, overlap},
    view::described,
};
use std::{collections::BTreeMap, mem, sync::Arc};
use tokio::sync::{oneshot, watch};

/// What was shown last, and what is to be shown next.
pub(super) struct ShownState {
    pub(super) views: BTreeMap<String, Arc<LivePlugin>>,
    ready: bool,
    pub(super) routes_changed: bool,
    pub(super) overview_changed: bool,
    /// Told once the routes are published.
    pub(super) when_published: Vec<oneshot::Sender<()>>,
    /// Given once everything is published and shown.
    pub(super) answers: Vec<PendingAnswer>,
}

impl Default for ShownState {
    fn default() -> Self {
        ShownState {
            views: BTreeMap::new(),
            ready: false,
            routes_changed: true,
            overview_changed: false,
            when_published: Vec::new(),
            answers: Vec::new(),
        }
    }
}

impl Supervisor {
    /// Publishes what changed, shows it, and then answers those who waited for it.
    pub(super) fn show(&mut self, overview: &watch::Sender<Arc<Overview>>) {
        let dirty = mem::take(&mut self.dirty);
        for name in &dirty {
            let Some(plugin) = self.plugins.get(name) else {
                self.shown.views.remove(name);
                continue;
            };
            let view = self.settings.as_seen(plugin.view());
            // What answers in place of a plugin that does not serve says why; how far its candidate is, the overview tells.
            let says_why = |view: &PluginView| view.serving.is_none() && view.state != Headline::Starting;
            let answer = |view: &PluginView| (view.state, says_why(view).then(|| view.reason.clone()));
            self.shown.routes_changed |= self.shown.views.get(name).is_none_or(|shown| answer(shown) != answer(&view));
            self.shown.views.insert(name.clone(), view);
        }
        if mem::take(&mut self.shown.routes_changed) {
            self.ports.publish.publish(self.routes());
        }
        for held in self.shown.when_published.drain(..) {
            let _ = held.send(());
        }
        let looked = self.looks.ended > 0 && self.looks.trouble.is_none();
        let starting = |plugin: &Arc<LivePlugin>| plugin.state == Headline::Starting;
        let ready = self.shown.ready || looked && self.records.known && !self.shown.views.values().any(starting);
        self.report_what_changed(&dirty.iter().cloned().collect::<Vec<_>>());
        if !dirty.is_empty() || ready != self.shown.ready || mem::take(&mut self.shown.overview_changed) {
            self.shown.ready = ready;
            let registry_trouble = self.registry_trouble().cloned();
            overview.send_replace(Arc::new(Overview {
                plugins: self.shown.views.values().cloned().collect(),
                // Whoever is cut off from the registry may miss what was decided.
                ready: ready && registry_trouble.is_none(),
                trouble: self.looks.trouble.clone(),
                registry_trouble,
            }));
        }
        for PendingAnswer { plugin, reply, outcome, gone } in self.shown.answers.drain(..) {
            if let Some(plugin) = self.shown.views.get(&plugin).cloned().or(gone) {
                let _ = reply.send(outcome.map(|stages| Done { plugin, stages }));
            }
        }
    }

    fn routes(&self) -> Vec<Routed<Target>> {
        let routed = |plugin: &Plugin| {
            let target = self.target(plugin)?;
            let mut claims = match &plugin.serving {
                Some(serving) => serving.artifact.manifest().camlock.routes.clone(),
                None => self.undisputed(plugin),
            };
            claims.retain(|claim| self.settings.grants_claim(&plugin.name, claim));
            Some(Routed { name: plugin.name.clone(), claims, target })
        };
        self.plugins.values().filter_map(routed).collect()
    }

    fn target(&self, plugin: &Plugin) -> Option<Target> {
        let limits = self.settings.limits(&plugin.name);
        if let Some(serving) = &plugin.serving {
            if serving.held {
                return Some(Target::Held(limits.quiesce + limits.start * 3));
            }
            return Some(Target::Serving(Serving {
                name: plugin.name.as_str().into(),
                generation: serving.generation,
                instance: serving.loaded.instance.clone(),
                lease: serving.loaded.leases.try_share(Use::Owner)?,
                limits: limits.requests,
                farewell: serving.farewell.subscribe(),
            }));
        }
        // Whose entry is gone is as if it had never been.
        if matches!(plugin.directory.presence, Presence::Absent) && !plugin.is_there() {
            return None;
        }
        let state = plugin.headline();
        let reason = match self.ending {
            Some(_) => "the server is ending".to_owned(),
            None if state == Headline::Starting => "it is on its way, and does not serve yet".to_owned(),
            // Whoever sends requests need not know where things lie here.
            None => plugin.reason().map(|reason| without_paths(&reason)).unwrap_or_default(),
        };
        Some(Target::Unavailable { name: plugin.name.as_str().into(), state, reason })
    }

    /// The claims of a plugin that does not serve, as far as nobody else's are in the way.
    fn undisputed(&self, plugin: &Plugin) -> Vec<String> {
        let disputed = |claim: &String| {
            self.plugins.values().any(|other| {
                let stronger = other.serving.is_some() || other.registered() < plugin.registered();
                other.name != plugin.name && stronger && self.granted_claims(other).any(|theirs| overlap(claim, theirs))
            })
        };
        plugin.claims().iter().filter(|claim| !disputed(claim)).cloned().collect()
    }
}

impl Plugin {
    /// What people see of it.
    pub(super) fn view(&self) -> Arc<LivePlugin> {
        let serving = self.serving.as_ref();
        let manifest = serving.map(|serving| serving.artifact.manifest()).or(self.past.manifest.as_ref());
        let claims = manifest.map_or(&[][..], |manifest| &manifest.camlock.routes);
        let mount = format!("{MOUNTS}{}/", self.name);
        let lies = self.entry().filter(|entry| entry.kind != Kind::BuiltIn);
        // Whose entry is gone is not to be reached.
        let there = self.is_there() || serving.is_some();
        let urls = std::iter::once(mount.clone()).chain(claims.iter().cloned()).filter(|_| there).collect();
        let entry = self.entry().map(|entry| entry.kind);
        let openapi = serving.and_then(|serving| serving.loaded.instance.description().openapi.as_deref());
        let draining = self.leaving.iter().filter(|(_, leaving)| leaving.phase == Phase::Draining);
        let view = PluginView {
            name: self.name.clone(),
            version: manifest.map(|manifest| manifest.version.clone()).unwrap_or_default(),
            description: manifest.map(|manifest| manifest.description.clone()).unwrap_or_default(),
            category: manifest
                .and_then(|manifest| manifest.camlock.category)
                .map(|category| category.word().to_owned()),
            kind: if entry == Some(Kind::BuiltIn) { PluginKind::Static } else { PluginKind::Dynamic },
            path: lies.map(|entry| entry.path.display().to_string()),
            enabled: self.enabled(),
            revision: self.record().map_or(0, |record| record.revision),
            config: Some(self.shown_config()),
            stages: None,
            isolation: self.record().and_then(|record| record.isolation),
            state: self.headline(),
            reason: self.reason(),
            serving: serving.map(|serving| ServingView {
                generation: serving.generation,
                version: serving.artifact.manifest().version.clone(),
                artifact: serving.artifact.digest(),
                since: serving.since.into(),
                in_flight: 0,
                left_behind_bytes: self.past.left_behind,
                memory_bytes: None,
                descriptors: None,
                isolation: serving.loaded.instance.isolation(),
                process: None,
            }),
            candidate: self.candidate.as_ref().map(|candidate| CandidateView {
                generation: candidate.head.generation,
                stage: candidate.word().into(),
                doing: candidate.doing.clone(),
                queued: candidate.head.times.is_queued(),
                since: candidate.head.since.into(),
            }),
            failed: self.failure_view(),
            draining: draining
                .map(|(generation, leaving)| DrainingView {
                    generation: *generation,
                    in_flight: 0,
                    why: String::new(),
                    deadline: leaving.deadline.into(),
                })
                .collect(),
            pinned: self
                .leaving
                .iter()
                .filter_map(|(generation, leaving)| match &leaving.phase {
                    Phase::Pinned { reason } => Some(PinnedView { generation: *generation, reason: reason.clone() }),
                    _ => None,
                })
                .collect(),
            endpoints: if there { endpoints(&mount, claims, openapi) } else { Vec::new() },
            urls,
        };
        let held = self.leaving.iter().map(|(generation, leaving)| (*generation, leaving.leases.clone()));
        let held = held.filter(|(generation, _)| view.draining.iter().any(|it| it.generation == *generation));
        let serves = serving.map(|serving| (serving.generation, serving.loaded.leases.clone()));
        let leases = held.chain(serves).collect();
        let mut live = LivePlugin::new(view, entry, leases);
        live.instance = serving.map(|serving| Arc::downgrade(&serving.loaded.instance));
        live.agreed_elsewhere = self.agreed_on().filter(|agreed| !self.is_of_entry(agreed)).map(|agreed| agreed.digest);
        live.grants = self.grants_view();
        live.secrets_in = self.record().map(|record| self.with_secrets(record));
        live.openapi = openapi.map(Into::into);
        live.config_schema = self.schema_text();
        live.subscriptions = serving
            .map(|serving| serving.artifact.manifest().camlock.subscriptions.as_slice().into())
            .unwrap_or_default();
        live.builds = self.past.builds.iter().cloned().collect();
        Arc::new(live)
    }

    /// Its configuration with what is secret in it, if that can be opened here, for who asks.
    fn with_secrets(&self, record: &Record) -> Arc<dyn Fn() -> serde_json::Value + Send + Sync> {
        let (sealer, plugin) = (self.on_record.sealer.clone(), self.name.clone());
        let (shown, secrets) = (record.config.clone(), record.secrets.clone());
        Arc::new(move || sealer.put_back(&plugin, &shown, &secrets).unwrap_or_else(|_| shown.clone()))
    }

    fn failure_view(&self) -> Option<FailureView> {
        let rival = || {
            let ((rival, since), entry) = (self.directory.rival.as_ref()?, self.entry()?);
            let reason = two_of_one_name(&self.name, &entry.path.display().to_string(), rival);
            let failure = Failure::new(Stage::Manifest, reason);
            Some(failure.view(0, *since))
        };
        let failed = self.failed.as_ref().map(|failed| failed.failure.view(failed.generation, failed.at));
        failed.or_else(rival)
    }
}

/// What a plugin answers, as far as it can be known: its OpenAPI document's paths, its claims, and its mount.
fn endpoints(mount: &str, claims: &[String], openapi: Option<&str>) -> Vec<Endpoint> {
    let mut endpoints = described(mount, openapi);
    let any = |path: &str, source: &'static str| Endpoint {
        method: "*".to_owned(),
        path: path.to_owned(),
        source: source.into(),
    };
    endpoints.extend(claims.iter().map(|claim| any(claim, "manifest")));
    if endpoints.iter().all(|endpoint| endpoint.source != "openapi") {
        endpoints.push(any(&format!("{mount}*"), "mount"));
    }
    endpoints
}
