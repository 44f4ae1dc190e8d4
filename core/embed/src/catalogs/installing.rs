//! An install: planned, fetched, verified, placed, serving, and done or undone. How far it is stands on record before each step, so
//! whoever is killed in the middle goes on, or takes back, when it starts again: what comes of it is wholly old or wholly new.
//!
//! Everything is proved before anything is placed; what is placed goes in by the supervisor's act, like any upload. What must not
//! live here: which versions are chosen, and whose word counts.

use super::{
    CatalogsInside, ServerCatalogs,
    offers::OpenCatalogs,
    planning::{Planned, PlannedStep, StoredPlan},
    preparing::unwritten,
    words::unavailable,
};
use camlock_api::{CatalogInstallView, InstallPlanView};
use camlock_policy::{
    Act, CatalogInstallOrder, CatalogRefusal, CatalogRefused, Done, Headline, Installation, NotInstalled, Order,
    Overview, Placement, PluginSource, Refused, Source, registry::Actor,
};
use camlock_store::{CatalogInstall, CatalogIntent};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// How long it may take until it is known what comes of one plugin: longer than any build may.
const OUTCOME: Duration = Duration::from_secs(20 * 60);

/// The file with the configuration that was there before.
const CONFIG_BEFORE: &str = "config-before.json";

/// Somebody installs.
pub(super) struct Installing {
    pub(super) catalogs: ServerCatalogs,
    pub(super) by: Actor,
}

impl ServerCatalogs {
    /// What goes on now.
    pub(super) async fn going_on(&self) -> Result<Vec<CatalogInstallView>, CatalogRefusal> {
        let unfinished = self.0.records.unfinished().await.map_err(unavailable)?;
        let view = |CatalogIntent { id, state, plan, actor }: CatalogIntent| {
            let plan: StoredPlan = serde_json::from_str(&plan).ok()?;
            let step = |step: &PlannedStep| format!("{} {}", step.plugin, step.version);
            let steps = plan.steps.iter().map(step).collect();
            Some(CatalogInstallView { id, plugin: plan.wanted, state, by: actor, steps })
        };
        Ok(unfinished.into_iter().filter_map(view).collect())
    }

    /// Goes on with what was begun before the server ended.
    pub(super) async fn go_on(&self) {
        let alone = self.0.installing.clone().lock_owned().await;
        let unfinished = match self.0.records.unfinished().await {
            Ok(unfinished) => unfinished,
            Err(why) => {
                tracing::warn!("installs that were begun are not known for now: {why}");
                return;
            }
        };
        self.clear(unfinished.iter().map(|intent| intent.id).collect()).await;
        drop(alone);
        if unfinished.is_empty() {
            return;
        }
        // What lies in the directory is looked at first: an act on what is not known yet would be refused.
        let _ = self.0.manager.watch().wait_for(|overview| overview.ready).await;
        for CatalogIntent { id, state, plan, actor } in unfinished {
            let installing = Installing { catalogs: self.clone(), by: Actor::from(actor.as_str()) };
            let outcome = installing.resume(id, &state, &plan).await;
            match outcome {
                Ok(()) => tracing::info!(id, "an install that was begun before the server ended is over"),
                Err(why) => {
                    tracing::warn!(id, "an install that was begun before the server ended was taken back: {why}")
                }
            }
        }
    }

    /// Takes away what lies aside for installs that are over: whoever ended them may have been killed before that.
    async fn clear(&self, unfinished: BTreeSet<u64>) {
        let cleared = self.aside(move |inside| {
            for entry in fs::read_dir(&inside.folder).into_iter().flatten().flatten() {
                let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
                if id.is_some_and(|id| !unfinished.contains(&id)) {
                    fs::remove_dir_all(entry.path()).map_err(unwritten(&entry.path()))?;
                }
            }
            Ok(())
        });
        if let Err(why) = cleared.await {
            tracing::warn!("what installs left that are over: {why}");
        }
    }
}

impl Installing {
    fn inside(&self) -> &CatalogsInside {
        &self.catalogs.0
    }

    fn folder(&self, id: u64) -> PathBuf {
        self.inside().folder.join(id.to_string())
    }

    /// Installs: all of it, or nothing.
    pub(super) async fn install(&self, order: CatalogInstallOrder) -> Result<InstallPlanView, CatalogRefusal> {
        let _alone = self.inside().installing.clone().lock_owned().await;
        let Planned { mut plan, view } = self.catalogs.planned(&order).await?;
        if plan.steps.is_empty() {
            return Ok(view);
        }
        let id = self.inside().records.begin(text(&plan), self.by.clone()).await.map_err(unavailable)?;
        let outcome = self.carry_out(id, &mut plan, order.config).await;
        self.over(id, &plan, outcome).await?;
        Ok(view)
    }

    /// Everything until the last step but one: it is fetched, verified, placed, and serves.
    async fn carry_out(&self, id: u64, plan: &mut StoredPlan, config: Option<Value>) -> Result<(), NotCarriedOut> {
        let folder = self.folder(id);
        let offers = self.catalogs.offers().await.map_err(NotCarriedOut::Early)?;
        let mut fetching = plan.clone();
        let fetched = self.catalogs.aside(move |inside| {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).map_err(unwritten(&folder))?;
            let open = OpenCatalogs::new(inside, &offers);
            for step in &mut fetching.steps {
                inside.fetch(&open, step, &folder)?;
                inside.put_aside(step, &folder)?;
            }
            // What the plan has become, and the configuration, which may have secrets in it: not for the registry.
            let before = inside.manager.plugin(&fetching.wanted).and_then(|there| there.config.clone());
            let written = [
                ("plan.json", text(&fetching)),
                ("config.json", config.unwrap_or_default().to_string()),
                (CONFIG_BEFORE, before.unwrap_or_default().to_string()),
            ];
            for (name, text) in written {
                let path = folder.join(name);
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
                let put = file.and_then(|mut file| {
                    io::Write::write_all(&mut file, text.as_bytes())?;
                    file.sync_all()
                });
                put.map_err(unwritten(&path))?;
            }
            Ok(fetching)
        });
        *plan = fetched.await.map_err(NotCarriedOut::Early)?;
        self.advance(id, "verified").await.map_err(NotCarriedOut::Early)?;
        self.place(id, plan).await
    }

    /// Puts everything in its place, and waits until it serves.
    async fn place(&self, id: u64, plan: &StoredPlan) -> Result<(), NotCarriedOut> {
        self.advance(id, "placed").await.map_err(NotCarriedOut::Early)?;
        for step in &plan.steps {
            self.place_one(id, plan, step).await?;
        }
        self.configure(id, plan).await?;
        self.advance(id, "serving").await.map_err(NotCarriedOut::Late)
    }

    async fn place_one(&self, id: u64, plan: &StoredPlan, step: &PlannedStep) -> Result<(), NotCarriedOut> {
        let installation = Installation {
            source: step.source(&self.folder(id)),
            name: Some(step.plugin.clone()),
            // Also what an attempt that was broken off has placed already.
            replace: true,
            origin: PluginSource::Catalog(step.catalog.clone()),
            grants: plan.grants.clone().filter(|_| step.plugin == plan.wanted),
            by: self.by.clone(),
            held: None,
        };
        let awaits = plan.wanted == step.plugin && self.has_config(id);
        self.put(&step.plugin, installation, Some(self.placed(id, step)), awaits).await
    }

    /// The file that says where a step was placed.
    fn placed(&self, id: u64, step: &PlannedStep) -> PathBuf {
        self.folder(id).join(format!("{}.placed", step.plugin))
    }

    /// `awaits`: what it needs comes only now, so that it does not serve yet is no failure.
    async fn put(
        &self,
        plugin: &str,
        installation: Installation,
        noted_in: Option<PathBuf>,
        awaits: bool,
    ) -> Result<(), NotCarriedOut> {
        let placed = self.inside().manager.install(installation).await;
        let Placement { outcome, path, .. } = placed.map_err(|why| match why {
            NotInstalled::Ending => NotCarriedOut::Ending,
            why => failed(plugin, &why),
        })?;
        if let Some(noted_in) = noted_in {
            let noted = fs::write(&noted_in, path.as_os_str().as_encoded_bytes());
            noted.map_err(|error| failed(plugin, &unwritten(&noted_in)(error).reason))?;
        }
        let Ok(outcome) = timeout(OUTCOME, outcome).await else {
            return Err(failed(plugin, &"it is not known what comes of it"));
        };
        match outcome.unwrap_or(Err(Refused::Ending)) {
            Ok(_) | Err(Refused::Failed { .. }) if awaits => Ok(()),
            outcome => serves(plugin, outcome),
        }
    }

    fn has_config(&self, id: u64) -> bool {
        self.config(id).is_some()
    }

    fn config(&self, id: u64) -> Option<Value> {
        self.config_in(id, "config.json")
    }

    fn config_in(&self, id: u64, name: &str) -> Option<Value> {
        let text = fs::read(self.folder(id).join(name)).ok()?;
        serde_json::from_slice(&text).ok().filter(|config: &Value| config.is_object())
    }

    async fn configure(&self, id: u64, plan: &StoredPlan) -> Result<(), NotCarriedOut> {
        let Some(config) = self.config(id) else { return Ok(()) };
        let act = Act::Set { enabled: None, config: Some(config), isolation: None };
        let order = Order { plugin: plan.wanted.clone(), act, by: self.by.clone(), revision: None };
        serves(&plan.wanted, self.inside().manager.order(order).await)
    }

    /// Done, or undone.
    async fn over(&self, id: u64, plan: &StoredPlan, outcome: Result<(), NotCarriedOut>) -> Result<(), CatalogRefusal> {
        let outcome = match outcome {
            // It serves. What is missing is the record, which is written when the server starts again.
            Ok(()) => match self.complete(id, plan).await {
                Ok(()) => Ok(()),
                Err(CatalogRefusal { kind, reason }) => {
                    let reason = format!("{reason}; it serves, and is put on record when the server starts again");
                    return Err(CatalogRefusal { kind, reason });
                }
            },
            // Whoever ends goes on when it starts again.
            Err(NotCarriedOut::Ending) => {
                let reason = "the server is ending; it goes on when it starts again".to_owned();
                return Err(CatalogRefusal { kind: CatalogRefused::Unavailable, reason });
            }
            Err(NotCarriedOut::Late(why)) => Err(self.take_back(id, plan, why).await),
            Err(NotCarriedOut::Early(why)) => Err(why),
        };
        if let Err(why) = &outcome {
            let _ = self.inside().records.advance(id, "undone", Some(why.reason.clone())).await;
        }
        let folder = self.folder(id);
        let _ = tokio::task::spawn_blocking(move || fs::remove_dir_all(folder)).await;
        outcome
    }

    async fn complete(&self, id: u64, plan: &StoredPlan) -> Result<(), CatalogRefusal> {
        let install = |step: &PlannedStep| {
            let install = CatalogInstall {
                plugin: step.plugin.clone(),
                catalog: step.catalog.clone(),
                version: step.version.clone(),
                digest: step.digest.clone(),
                wanted: step.wanted.clone(),
                dependencies: step.dependencies.clone(),
            };
            (install, step.publisher.clone())
        };
        let installs = plan.steps.iter().map(install).collect();
        self.inside().records.complete(id, installs, self.by.clone()).await.map_err(unavailable)
    }

    /// Puts back what was there, in the other direction.
    async fn take_back(&self, id: u64, plan: &StoredPlan, why: CatalogRefusal) -> CatalogRefusal {
        let mut failed = Vec::new();
        failed.extend(self.configure_back(id, plan).await.err());
        for step in plan.steps.iter().rev() {
            if self.inside().manager.plugin(&step.plugin).is_none() {
                continue;
            }
            let aside = self.folder(id).join("aside").join(&step.plugin);
            let before = fs::read_dir(&aside).ok().and_then(|mut inside| inside.next()?.ok()).map(|entry| entry.path());
            let back = match (before, &step.from) {
                (Some(before), Some(_)) => {
                    let installation = Installation {
                        source: Source::Path(before),
                        name: Some(step.plugin.clone()),
                        replace: true,
                        origin: step.came_from.clone().unwrap_or_default(),
                        grants: None,
                        by: self.by.clone(),
                        held: None,
                    };
                    self.put(&step.plugin, installation, None, false).await.map_err(NotCarriedOut::reason)
                }
                (_, None) => {
                    let act = Act::Remove { purge: false };
                    let order = Order { plugin: step.plugin.clone(), act, by: self.by.clone(), revision: None };
                    self.inside().manager.order(order).await.map(drop).map_err(|why| why.to_string())
                }
                (None, Some(_)) => self.withdraw(id, step).await,
            };
            failed.extend(back.err());
        }
        let reason = match &*failed {
            [] => format!("{}; everything is as it was before", why.reason),
            failed => format!("{}; and it could not all be taken back: {}", why.reason, failed.join("; ")),
        };
        CatalogRefusal { reason, ..why }
    }

    /// The configuration that was there before what was installed got another one.
    async fn configure_back(&self, id: u64, plan: &StoredPlan) -> Result<(), String> {
        let before = self.config_in(id, CONFIG_BEFORE).filter(|_| self.has_config(id));
        let now = self.inside().manager.plugin(&plan.wanted).and_then(|there| there.config.clone());
        let Some(before) = before.filter(|before| now.is_some_and(|now| now != *before)) else { return Ok(()) };
        let act = Act::Set { enabled: None, config: Some(before), isolation: None };
        let order = Order { plugin: plan.wanted.clone(), act, by: self.by.clone(), revision: None };
        self.inside().manager.order(order).await.map(drop).map_err(|why| why.to_string())
    }

    /// All go back to what they served before, which did not come of anything that lay here; what was put here goes.
    async fn withdraw(&self, id: u64, step: &PlannedStep) -> Result<(), String> {
        let (manager, plugin) = (&self.inside().manager, &step.plugin);
        let serving = manager.plugin(plugin).and_then(|there| there.serving.as_ref().and_then(|it| it.artifact));
        if let Some(before) = step.before.filter(|before| serving.is_some_and(|serving| serving != *before)) {
            let act = Act::Rollback { to: Some(before), force: false };
            let order = Order { plugin: plugin.clone(), act, by: self.by.clone(), revision: None };
            manager.order(order).await.map_err(|why| why.to_string())?;
        }
        let Ok(placed) = fs::read(self.placed(id, step)) else { return Ok(()) };
        let path = self.inside().plugins.join(OsStr::from_bytes(&placed));
        let removed = tokio::task::spawn_blocking(move || {
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            let told = |error| format!("{} cannot be removed: {error}", path.display());
            gone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(told(error)) })
        });
        removed.await.unwrap_or_else(|error| Err(error.to_string()))?;
        manager.look();
        let mut seen = manager.watch();
        let has_entry = |overview: &Arc<Overview>| {
            overview.plugins.iter().any(|there| there.name == *plugin && there.path.is_some())
        };
        match timeout(OUTCOME, seen.wait_for(|overview| !has_entry(overview))).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(format!("the entry of `{plugin}` is removed, and the plugins directory was not looked at since")),
        }
    }

    /// Ends what was begun before the server ended.
    async fn resume(&self, id: u64, state: &str, plan: &str) -> Result<(), CatalogRefusal> {
        let _alone = self.inside().installing.clone().lock_owned().await;
        // What it had become when everything was fetched.
        let fetched = matches!(state, "verified" | "placed" | "serving");
        let stored = if fetched { fs::read_to_string(self.folder(id).join("plan.json")).ok() } else { None };
        let Ok(plan) = serde_json::from_str(stored.as_deref().unwrap_or(plan)) else {
            let unread = "what it was cannot be read any more; what was placed stays as it is".to_owned();
            self.inside().records.advance(id, "undone", Some(unread.clone())).await.map_err(unavailable)?;
            return Err(CatalogRefusal { kind: CatalogRefused::Failed, reason: unread });
        };
        let outcome = match state {
            "serving" => Ok(()),
            "placed" => self.place(id, &plan).await,
            _ => Err(NotCarriedOut::Early(CatalogRefusal {
                kind: CatalogRefused::Failed,
                reason: "the server ended before anything was placed".to_owned(),
            })),
        };
        self.over(id, &plan, outcome).await
    }

    async fn advance(&self, id: u64, state: &'static str) -> Result<(), CatalogRefusal> {
        self.inside().records.advance(id, state, None).await.map_err(unavailable)
    }
}

/// Why it was not carried out.
enum NotCarriedOut {
    /// Before anything was placed.
    Early(CatalogRefusal),
    /// Something may have been.
    Late(CatalogRefusal),
    /// The server ends: it goes on when it starts again.
    Ending,
}

impl NotCarriedOut {
    fn reason(self) -> String {
        match self {
            NotCarriedOut::Early(why) | NotCarriedOut::Late(why) => why.reason,
            NotCarriedOut::Ending => "the server is ending".to_owned(),
        }
    }
}

fn failed(plugin: &str, why: &dyn std::fmt::Display) -> NotCarriedOut {
    NotCarriedOut::Late(CatalogRefusal { kind: CatalogRefused::Failed, reason: format!("`{plugin}`: {why}") })
}

/// Whether what was placed is served, or waits for an operator's word.
fn serves(plugin: &str, outcome: Result<Done, Refused>) -> Result<(), NotCarriedOut> {
    let done = outcome.map_err(|why| match why {
        Refused::Ending => NotCarriedOut::Ending,
        why => failed(plugin, &why),
    })?;
    match done.plugin.state {
        Headline::Failed | Headline::Quarantined | Headline::Missing => {
            Err(failed(plugin, &done.plugin.reason.as_deref().unwrap_or("it does not serve")))
        }
        _ => Ok(()),
    }
}

fn text(plan: &StoredPlan) -> String {
    serde_json::to_string(plan).unwrap_or_default()
}
