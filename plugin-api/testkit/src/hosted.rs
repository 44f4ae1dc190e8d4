//! What a server keeps for plugins, in a test: the server's own code, with SQLite in a directory of the test's own, for the package
//! whose tests run. What must not live here: anything that a server does otherwise.

use crate::queued::QueuedWork;
use axum::body::{Body, to_bytes};
use camlock_plugin::{Error, Event, HostError, HostErrorCode, Result};
use camlock_policy::{
    Asker, Body as AskBody, ERROR_CODE, Granted, Grants, MigrationFile, ReplacedDocument, Services, TableTerms,
    TablesNotReady, manifest, migrations,
};
use camlock_services::{
    AskLimits, HostServices, OpenApiService, PluginData, PluginStorage, ServiceSet, SqliteFile, StorageLimits,
    StorageService,
    database::{
        PluginTables,
        service::{DatabaseService, SessionLimits},
    },
};
use http::{Request, Response};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// So many connections for SQL.
const SESSIONS: usize = 4;

/// An answer with an error has no more words than this.
const MOST_WORDS: usize = 64 << 10;

/// The services of a server, for one plugin.
pub(crate) struct HostedServices {
    services: HostServices,
    asker: Asker,
    work: QueuedWork,
    ahead: Arc<Mutex<Duration>>,
    /// There until the last ask is answered.
    _directory: TempDir,
}

impl HostedServices {
    /// For the package whose tests run. It may what is granted to it of what it asks for; without, all of that.
    pub(crate) async fn open(granted: Option<&[String]>) -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let package = package.ok_or_else(|| Error::msg("the tests of a plugin are run by cargo"))?;
        let manifest = read_manifest(&package)?;
        let grants = match granted {
            None => Grants::Asked,
            Some(granted) => Grants::these(granted.iter().map(String::as_str)).map_err(sentence)?,
        };
        let directory = tempfile::tempdir()?;
        let file = SqliteFile::at(directory.path().join("plugins.db"));
        let ahead = Arc::new(Mutex::new(Duration::ZERO));
        let theirs = ahead.clone();
        let clock = Arc::new(move || SystemTime::now() + *theirs.lock());
        let storage =
            PluginStorage::new(PluginData::Sqlite(file.clone()), StorageLimits::default()).with_clock(clock.clone());
        let tables = PluginTables::in_file(file.clone(), SESSIONS, Handle::current());
        let name: Arc<str> = manifest.name.as_str().into();
        let files = read_migrations(&package)?;
        if let Some(why) = migrations::never_run(&manifest, &files) {
            return Err(Error::msg(why));
        }
        if migrations::has_tables(&manifest) {
            tables.make_ready(&name, &files, TableTerms::default()).await.map_err(|not| match not {
                TablesNotReady::Waits(why) => Error::msg(why),
                TablesNotReady::Failed { failure, .. } => Error::msg(failure.reason),
            })?;
        }
        let granted = Granted::new(manifest.camlock.permissions.iter().cloned(), &grants);
        let work = QueuedWork::new(file, &manifest, &granted, clock);
        let database = DatabaseService::new(tables, SessionLimits::default()).with_tasks(work.desk());
        let mut services = ServiceSet::default();
        services.add("storage/1", StorageService::new(storage)).map_err(sentence)?;
        services.add("database/1", database).map_err(sentence)?;
        services.add("events/1", work.event_service()).map_err(sentence)?;
        services.add("tasks/1", work.tasks_service()).map_err(sentence)?;
        services.add("openapi/1", OpenApiService::default()).map_err(sentence)?;
        Ok(HostedServices {
            services: HostServices::new(services, AskLimits::default()),
            asker: Asker { plugin: name, generation: 1, granted, document: ReplacedDocument::default() },
            work,
            ahead,
            _directory: directory,
        })
    }

    /// The plugin's events and tasks.
    pub(crate) fn work(&self) -> &QueuedWork {
        &self.work
    }

    /// The event as a subscription brings it.
    pub(crate) fn subscribed(&self, event: Event) -> Result<Event> {
        self.work.subscribed(event, &self.asker.granted)
    }

    /// It is later from now on.
    pub(crate) fn advance(&self, by: Duration) {
        *self.ahead.lock() += by;
    }

    /// Answers as a server does.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Result<Response<Body>, HostError> {
        let answer = self.services.ask(&self.asker, request.map(AskBody::stream)).await;
        if answer.status().is_success() {
            return Ok(answer.map(Body::new));
        }
        let code = answer.headers().get(ERROR_CODE).and_then(|code| code.to_str().ok()).map(str::to_owned);
        let words = to_bytes(Body::new(answer.into_body()), MOST_WORDS).await.unwrap_or_default();
        let code = HostErrorCode::of_word(code.as_deref().unwrap_or_default());
        Err(HostError::new(code, String::from_utf8_lossy(&words)))
    }
}

fn sentence(error: impl std::fmt::Display) -> Error {
    Error::msg(error.to_string())
}

fn read_manifest(package: &Path) -> Result<manifest::Manifest> {
    let variable = |name: &str| env::var(name).unwrap_or_default().into_bytes();
    let fields =
        [("name", "CARGO_PKG_NAME"), ("version", "CARGO_PKG_VERSION"), ("description", "CARGO_PKG_DESCRIPTION")];
    let fields: BTreeMap<_, _> = fields.map(|(key, name)| (key.to_owned(), variable(name))).into();
    manifest::read(&fields, &fs::read(package.join("Cargo.toml"))?).map_err(|invalid| Error::msg(invalid.0))
}

fn read_migrations(package: &Path) -> Result<Vec<MigrationFile>> {
    let folder = package.join("migrations");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    migrations::read(&files).map_err(|invalid| Error::msg(invalid.0))
}
