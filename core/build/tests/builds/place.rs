//! Where a test has its plugins and builds them.

use camlock_build::{Builder, BuilderOptions, Identified, Identify, Inspect, LibraryIdentity};
use camlock_policy::{BuildPriority, BuildProgress, Built, Entry, Failure, Progress, Sources, Stage};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once},
    time::Duration,
};
use tokio::runtime::Runtime;

pub struct Place {
    dir: tempfile::TempDir,
    data: PathBuf,
    pub runtime: Runtime,
    pub builder: Builder,
}

/// A plugin as the guide has it.
pub const PLUGIN: &str = r#"use camlock_plugin::prelude::*;

struct Hello;

impl Plugin for Hello {
    async fn create(_host: Host) -> Result<Self> {
        Ok(Hello)
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/hello", get(|| async { "Hello!" }))
    }
}

export!(Hello);
"#;

/// A library that needs nothing, with its identity where [`plainly`] finds it.
pub const PLAIN: &str = r#"
#[unsafe(no_mangle)]
pub static IDENTITY: &str = concat!("identity of ", env!("CARGO_PKG_NAME"), " is ", env!("CAMLOCK_BUILD_FINGERPRINT"), ".");
"#;

impl Place {
    /// For plugins that need the SDK.
    pub fn shared() -> Self {
        static CLEAN: Once = Once::new();
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("builds-data");
        // What is dear stays: the target directory. What earlier runs taught does not.
        CLEAN.call_once(|| {
            for part in ["src", "known", "out", "running"] {
                let _ = fs::remove_dir_all(data.join("builds").join(part));
            }
        });
        Place::with(Some(data), Arc::new(really), |_| {})
    }

    /// For libraries that need nothing, apart from all others.
    pub fn apart() -> Self {
        Place::apart_with(|_| {})
    }

    pub fn apart_with(change: impl FnOnce(&mut BuilderOptions)) -> Self {
        Place::with(None, Arc::new(plainly), change)
    }

    fn with(data: Option<PathBuf>, inspect: Inspect, change: impl FnOnce(&mut BuilderOptions)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = data.unwrap_or_else(|| dir.path().join("data"));
        let identify: Identify =
            Arc::new(|path| plainly(path).map(|identity| Identified { name: identity.name, claims: Vec::new() }));
        let mut options = BuilderOptions::new(dir.path().join("plugins"), &data, identify, inspect);
        options.limit = Arc::new(|_| Duration::from_secs(400));
        // The cargo that runs the tests has said some things to them.
        change(&mut options);
        fs::create_dir_all(&options.plugins).expect("a directory");
        let builder = Builder::new(options);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Place { dir, data, runtime: runtime.expect("a runtime"), builder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().expect("it is there").join(name)
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }

    /// Writes a crate into the plugins directory, with more in its manifest.
    pub fn write_crate(&self, name: &str, more: &str, source: &str) {
        self.write(&format!("plugins/{name}/Cargo.toml"), &manifest(name, more));
        self.write(&format!("plugins/{name}/src/lib.rs"), source);
    }

    /// Waits until the clock that stamps files has gone on since a file was written.
    pub fn settle(&self, name: &str) {
        let written = fs::metadata(self.path(name)).and_then(|file| file.modified()).expect("a file");
        while written.elapsed().is_ok_and(|age| age < Duration::from_millis(50)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn entry(&self, name: &str) -> Entry {
        let scan = self.builder.scan();
        assert_eq!(scan.trouble, None);
        let found = scan.entries.iter().find(|entry| entry.name == name);
        found.unwrap_or_else(|| panic!("there is no {name} among {:?}", scan.entries)).clone()
    }

    pub fn try_build(&self, name: &str) -> Result<Built, Failure> {
        self.build_telling(name, Arc::new(drop))
    }

    pub fn build_telling(&self, name: &str, progress: Progress) -> Result<Built, Failure> {
        let entry = self.entry(name);
        self.runtime.block_on(self.builder.build(&entry, BuildPriority::Rest, progress))
    }

    /// Builds what must be good, and whose fingerprint must hold.
    pub fn build(&self, name: &str) -> Built {
        let built =
            self.try_build(name).unwrap_or_else(|failure| panic!("{name}: {failure}\n{:#?}", failure.diagnostics));
        assert_eq!(
            self.entry(name).fingerprint,
            built.fingerprint,
            "the fingerprint of what was built is the next scan's"
        );
        built
    }

    pub fn fail(&self, name: &str) -> Failure {
        match self.try_build(name) {
            Ok(built) => panic!("{name} was built: {built:?}"),
            Err(failure) => failure,
        }
    }

    /// Everything in a directory, with contents.
    pub fn everything(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut directories = vec![self.path(name)];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("a directory").flatten() {
                if entry.path().is_dir() {
                    directories.push(entry.path());
                } else {
                    all.insert(entry.path(), fs::read(entry.path()).expect("a file"));
                }
            }
        }
        all
    }
}

pub fn manifest(name: &str, more: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n{more}"
    )
}

/// All that a build told.
pub fn listener() -> (Progress, Arc<Mutex<Vec<BuildProgress>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listens = Arc::clone(&told);
    (Arc::new(move |progress| listens.lock().expect("no panic").push(progress)), told)
}

/// Reads a plugin as the server does.
pub fn really(path: &Path) -> Result<LibraryIdentity, Failure> {
    let failed = |why: String| Failure::new(Stage::Verify, why);
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let sections = camlock_loader::inspect(&bytes).map_err(|unfit| failed(unfit.to_string()))?;
    Ok(LibraryIdentity { name: sections.manifest.name, fingerprint: sections.fingerprint })
}

/// Reads a library made of [`PLAIN`].
pub fn plainly(path: &Path) -> Result<LibraryIdentity, Failure> {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let identity =
        text.split_once("identity of ").and_then(|(_, rest)| rest.split_once('.')).map(|(identity, _)| identity);
    let identity = identity.and_then(|identity| identity.split_once(" is "));
    let (name, fingerprint) = identity.ok_or_else(|| Failure::new(Stage::Verify, "it has no identity"))?;
    Ok(LibraryIdentity { name: name.to_owned(), fingerprint: fingerprint.to_owned() })
}
