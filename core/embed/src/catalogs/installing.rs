//! An install: planned, fetched, verified, placed, serving, and done or undone. How far it is stands on record before each step, so
//! whoever is killed in the middle goes on, or takes back, when it starts again: what comes of it is wholly old or wholly new.
//!
//! Everything is proved before anything is placed; what is placed goes in by the supervisor's act, like any upload. What must not
//! live here: which versions are chosen, and whose word counts.

use super::{
    CatalogsInside, ServerCatalogs, invalid,
    offers::{OfferedPlugin, OpenCatalogs},
    words::unavailable,
};
use camlock_api::{AdvisoryView, CatalogInstallView, InstallPlanView, InstallStepView};
use camlock_catalog::{
    CatalogTrouble, TroubleSort,
    package::PublisherKey,
    resolve::{InstalledVersion, PackagePreference, Request, TakenPart, choose},
};
use camlock_policy::{
    Act, CatalogInstallOrder, CatalogRefusal, CatalogRefused, Done, Grants, Headline, InstallPreference, Installation,
    NotInstalled, Order, Placement, PluginSource, Refused, Source, manifest::check_name, registry::Actor,
};
use camlock_store::{CatalogInstall, CatalogIntent};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

/// How long it may take until it is known what comes of one plugin: longer than any build may.
const OUTCOME: Duration = Duration::from_secs(20 * 60);

/// What is to be done, as it stands on record.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredPlan {
    /// The plugin that was asked for.
    wanted: String,
    /// What is granted to it.
    grants: Option<Grants>,
    steps: Vec<PlannedStep>,
}

/// One plugin of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PlannedStep {
    plugin: String,
    from: Option<String>,
    /// Where what it replaces came from.
    came_from: Option<PluginSource>,
    version: String,
    catalog: String,
    /// Its author's key; empty: nobody signed it.
    publisher: String,
    /// What its package is known by, once it was fetched.
    digest: String,
    /// The file of the package that is taken.
    file: String,
    is_source: bool,
    /// The range that was asked for.
    wanted: String,
    dependencies: BTreeMap<String, String>,
    permissions: Vec<String>,
}

/// A plan, and how it is shown.
pub(super) struct Planned {
    plan: StoredPlan,
    pub(super) view: InstallPlanView,
}

/// Somebody installs.
pub(super) struct Installing {
    pub(super) catalogs: ServerCatalogs,
    pub(super) by: Actor,
}

impl PlannedStep {
    fn view(&self, inside: &CatalogsInside) -> InstallStepView {
        InstallStepView {
            asks: inside.asks(&self.plugin, &self.catalog, &self.permissions),
            plugin: self.plugin.clone(),
            from: self.from.clone(),
            version: self.version.clone(),
            catalog: self.catalog.clone(),
            publisher: Some(self.publisher.clone()).filter(|key| !key.is_empty()),
            part: if self.is_source { "source" } else { "library" }.to_owned(),
            permissions: self.permissions.clone(),
        }
    }

    /// Where it lies until it is placed.
    fn prepared(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.{}", self.plugin, if self.is_source { "tar.gz" } else { "so" }))
    }

    fn source(&self, folder: &Path) -> Source {
        let path = self.prepared(folder);
        if self.is_source { Source::TarGz(path) } else { Source::Artifact(path) }
    }
}

/// The range that is asked for. A version alone means that one.
fn range_of(version: Option<&str>) -> Result<semver::VersionReq, CatalogRefusal> {
    let Some(text) = version else { return Ok(semver::VersionReq::STAR) };
    let exact = text.parse::<semver::Version>().is_ok();
    let range = if exact { format!("={text}").parse() } else { text.parse() };
    range.map_err(|error| invalid(format!("`version`: it is no version and no range: {error}")))
}

impl ServerCatalogs {
    /// What an install would do.
    pub(super) async fn planned(&self, order: &CatalogInstallOrder) -> Result<Planned, CatalogRefusal> {
        check_name(&order.plugin).map_err(|wrong| invalid(format!("`plugin_id`: {}", wrong.0)))?;
        let range = range_of(order.version.as_deref())?;
        let wanted = order.version.clone().unwrap_or_else(|| "*".to_owned());
        let (plugin, grants) = (order.plugin.clone(), order.grants.clone());
        let preference = match order.prefer {
            InstallPreference::Prebuilt => PackagePreference::Prebuilt,
            InstallPreference::Source => PackagePreference::Source,
            InstallPreference::SourceOnly => PackagePreference::SourceOnly,
        };
        self.catch_up().await?;
        let offers = self.offers().await?;
        let installs = self.installed().await?;
        let (steps, advisories) = self
            .aside(move |inside| {
                let open = OpenCatalogs::new(inside, &offers);
                inside.steps(&open, (&plugin, range, &wanted), preference, &installs)
            })
            .await?;
        let plan = StoredPlan { wanted: order.plugin.clone(), grants, steps };
        let steps = plan.steps.iter().map(|step| step.view(&self.0)).collect();
        let view = InstallPlanView { steps, advisories };
        Ok(Planned { plan, view })
    }

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
        let unfinished = match self.0.records.unfinished().await {
            Ok(unfinished) => unfinished,
            Err(why) => {
                tracing::warn!("installs that were begun are not known for now: {why}");
                return;
            }
        };
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
}

impl CatalogsInside {
    fn steps(
        &self,
        open: &OpenCatalogs<'_>,
        (plugin, range, wanted): (&str, semver::VersionReq, &str),
        preference: PackagePreference,
        installs: &[CatalogInstall],
    ) -> Result<(Vec<PlannedStep>, Vec<AdvisoryView>), CatalogTrouble> {
        let conflict = |reason: String| CatalogTrouble { sort: TroubleSort::Conflict, reason };
        let offered: RefCell<BTreeMap<String, OfferedPlugin>> = RefCell::default();
        let ask = |name: &str| {
            let found = open.offered(name)?;
            if let Some(found) = &found {
                offered.borrow_mut().insert(name.to_owned(), found.clone());
            }
            Ok(found.map(|found| found.document))
        };
        if ask(plugin)?.is_none() {
            return Err(super::offers::missing(plugin));
        }
        let mut installed = BTreeMap::new();
        for there in &self.manager.overview().plugins {
            let Ok(version) = there.version.parse() else { continue };
            let dependencies = installs.iter().find(|install| install.plugin == there.name);
            let dependencies = dependencies.map(|install| install.dependencies.clone()).unwrap_or_default();
            installed.insert(there.name.clone(), InstalledVersion { version, dependencies });
        }
        let is_ours = |name: &str| installs.iter().any(|install| install.plugin == name);
        if let Some(there) = installed.get(plugin) {
            if !is_ours(plugin) {
                return Err(conflict(format!(
                    "there is a plugin `{plugin}` {} that came otherwise, and it stays: remove it first, `camlock remove {plugin}`",
                    there.version
                )));
            }
            let newest = |version: &&semver::Version| range.matches(version);
            let documents = offered.borrow();
            let versions: Vec<_> = documents[plugin].document.versions.iter().filter_map(|one| one.semver()).collect();
            if let Some(best) = versions.iter().filter(newest).max().filter(|best| **best < there.version) {
                return Err(conflict(format!(
                    "`{plugin}` is {} here, and {best} is older: going back is `camlock rollback {plugin}`",
                    there.version
                )));
            }
        }
        let request = Request { wanted: BTreeMap::from([(plugin.to_owned(), range)]), installed, preference };
        let chosen = choose(&request, &self.server, &ask)?;
        let offered = offered.into_inner();
        let (mut steps, mut advisories) = (Vec::new(), Vec::new());
        for (name, chosen) in chosen {
            let there = self.manager.plugin(&name);
            if there.is_some() && !is_ours(&name) {
                return Err(conflict(format!(
                    "`{name}` {} is needed, and there is one that came otherwise, {}: update or remove that first",
                    chosen.version.version,
                    there.map(|there| there.version.clone()).unwrap_or_default()
                )));
            }
            let Some(offered) = offered.get(&name) else { return Err(super::offers::missing(&name)) };
            advisories.extend(self.advisories_on(&name, &chosen.version.version)?);
            let (file, is_source) = match &chosen.part {
                TakenPart::Source(file) => (file.clone(), true),
                TakenPart::Library(target) => (chosen.version.libraries[target].file.clone(), false),
            };
            steps.push(PlannedStep {
                from: there.as_ref().map(|there| there.version.clone()),
                came_from: there.and_then(|there| there.grants.source.parse().ok()),
                version: chosen.version.version.clone(),
                catalog: offered.catalog.clone(),
                publisher: offered.publisher.as_ref().map(ToString::to_string).unwrap_or_default(),
                digest: String::new(),
                file,
                is_source,
                wanted: if name == plugin { wanted.to_owned() } else { "*".to_owned() },
                dependencies: chosen.version.dependencies.clone(),
                permissions: chosen.version.permissions.clone(),
                plugin: name,
            });
        }
        Ok((steps, advisories))
    }

    /// Fetches what a step needs, and proves it.
    fn fetch(&self, open: &OpenCatalogs<'_>, step: &mut PlannedStep, folder: &Path) -> Result<(), CatalogTrouble> {
        let reader = open.reader(&step.catalog)?;
        let mut reader = reader.borrow_mut();
        let document = reader.document(&step.plugin)?;
        let version = document.version(&step.version).ok_or_else(|| super::offers::missing(&step.plugin))?;
        let part = reader.part(&step.plugin, version, &step.file)?;
        if !step.publisher.is_empty() {
            part.verify(&PublisherKey::read(&step.publisher)?)?;
        }
        if step.is_source {
            part.examine_source()?;
        } else {
            part.examine(&self.server.target, &self.read)?;
        }
        step.digest = part.digest();
        let path = step.prepared(folder);
        fs::write(&path, part.bytes()).map_err(unwritten(&path))
    }

    /// Copies what a step will replace, so that it can be put back.
    fn put_aside(&self, step: &PlannedStep, folder: &Path) -> Result<(), CatalogTrouble> {
        let Some(path) = self.manager.plugin(&step.plugin).and_then(|plugin| plugin.path.clone()) else {
            return Ok(());
        };
        let entry = self.plugins.join(path);
        let Some(name) = entry.file_name() else { return Ok(()) };
        let aside = folder.join("aside").join(&step.plugin);
        copied(&entry, &aside.join(name)).map_err(unwritten(&aside))
    }
}

fn unwritten(path: &Path) -> impl Fn(io::Error) -> CatalogTrouble {
    let path = path.display().to_string();
    move |error| CatalogTrouble { sort: TroubleSort::Unavailable, reason: format!("{path} cannot be written: {error}") }
}

/// A copy of an entry, without what a build leaves in it. Links are copied as what they lead to.
fn copied(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != "target" {
            copied(&entry.path(), &to.join(name))?;
        }
    }
    Ok(())
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
            let written = [("plan.json", text(&fetching)), ("config.json", config.unwrap_or_default().to_string())];
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
            // Also what an attempt that was broken off has placed already.
            replace: true,
            origin: PluginSource::Catalog(step.catalog.clone()),
            grants: plan.grants.clone().filter(|_| step.plugin == plan.wanted),
            by: self.by.clone(),
            held: None,
        };
        self.put(&step.plugin, installation, plan.wanted == step.plugin && self.has_config(id)).await
    }

    /// `awaits`: what it needs comes only now, so that it does not serve yet is no failure.
    async fn put(&self, plugin: &str, installation: Installation, awaits: bool) -> Result<(), NotCarriedOut> {
        let placed = self.inside().manager.install(installation).await;
        let Placement { outcome, .. } = placed.map_err(|why| match why {
            NotInstalled::Ending => NotCarriedOut::Ending,
            why => failed(plugin, &why),
        })?;
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
        let text = fs::read(self.folder(id).join("config.json")).ok()?;
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
            Ok(()) => self.complete(id, plan).await,
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
                        replace: true,
                        origin: step.came_from.clone().unwrap_or_default(),
                        grants: None,
                        by: self.by.clone(),
                        held: None,
                    };
                    self.put(&step.plugin, installation, false).await.map_err(NotCarriedOut::reason)
                }
                (_, None) => {
                    let act = Act::Remove { purge: false };
                    let order = Order { plugin: step.plugin.clone(), act, by: self.by.clone(), revision: None };
                    self.inside().manager.order(order).await.map(drop).map_err(|why| why.to_string())
                }
                (None, Some(_)) => Ok(()),
            };
            failed.extend(back.err());
        }
        let reason = match &*failed {
            [] => format!("{}; everything is as it was before", why.reason),
            failed => format!("{}; and it could not all be taken back: {}", why.reason, failed.join("; ")),
        };
        CatalogRefusal { reason, ..why }
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
