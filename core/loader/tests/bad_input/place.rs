//! Where a test stages, verifies and loads, and the look at what is left there.

use camlock_loader::{
    Artifact, LoadError, Loader, LoaderOptions, Staging, Verdict, Verifier, VerifierLimits, VerifyError,
};
use camlock_policy::{Ending, Loaded};
use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

static GENERATION: AtomicU64 = AtomicU64::new(1);

pub struct Place {
    dir: tempfile::TempDir,
    runtime: Runtime,
    pub staging: Staging,
    pub loader: Loader,
}

impl Place {
    pub fn new() -> Self {
        Place::with(LoaderOptions::default())
    }

    pub fn with(options: LoaderOptions) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let staging = Staging::at(dir.path().join("artifacts")).expect("a staging directory");
        let loader = Loader::new(dir.path().join("run"), options, Some(runtime.handle().clone())).expect("a loader");
        Place { dir, runtime, staging, loader }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a candidate.
    pub fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.path("candidate.so");
        fs::write(&path, bytes).expect("the candidate can be written");
        path
    }

    pub fn verifier(&self, limits: VerifierLimits) -> Verifier {
        Verifier::new(self.path("verdicts"), limits).expect("a verifier")
    }

    /// Stages what must be fit for it.
    pub fn stage(&self, bytes: &[u8]) -> Artifact {
        self.staging.stage(&self.file(bytes)).expect("it can be staged")
    }

    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(300), future).await.expect("it ends") })
    }

    pub fn verify(&self, bytes: &[u8], limits: VerifierLimits) -> Result<Verdict, VerifyError> {
        let artifact = self.stage(bytes);
        self.run(self.verifier(limits).verify(&artifact))
    }

    pub fn load(&self, artifact: &Artifact) -> Result<Loaded, LoadError> {
        self.run(self.loader.load(artifact, (GENERATION.fetch_add(1, Ordering::Relaxed), "{}")))
    }

    /// Lets go of an instance; its library must be gone.
    pub fn unload(&self, loaded: Loaded) {
        let Loaded { instance, mut ending, .. } = loaded;
        self.run(async {
            let _ = instance.shutdown().await;
            drop(instance);
            let ended = ending.wait_for(|ending| *ending != Ending::Alive).await.expect("the keeper tells").clone();
            assert!(matches!(ended, Ending::Unmapped { .. }), "{ended:?}");
        });
    }

    /// The names in one of the directories.
    pub fn names(&self, dir: &str) -> Vec<OsString> {
        fs::read_dir(self.path(dir))
            .map_or_else(|_| Vec::new(), |all| all.flatten().map(|one| one.file_name()).collect())
    }

    /// The private copies. Each loader has a directory of its own for them.
    pub fn copies(&self) -> Vec<PathBuf> {
        fn files(dir: &Path) -> Vec<PathBuf> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
            entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
        }
        files(&self.path("run"))
    }

    /// Nothing is left of what was refused: no temporary file, no private copy, no mapping, no descriptor, no process.
    pub fn expect_clean(&self) {
        for dir in ["artifacts", "verdicts"] {
            let temporary: Vec<_> =
                self.names(dir).into_iter().filter(|name| name.as_bytes().starts_with(b".")).collect();
            assert!(temporary.is_empty(), "temporary files are left in {dir}: {temporary:?}");
        }
        assert!(self.copies().is_empty(), "private copies are left: {:?}", self.copies());
        for dir in self.names("trying") {
            let left = self.names(&format!("trying/{}", dir.display()));
            assert!(left.is_empty(), "a verifying process left {left:?}");
        }
        let here = self.dir.path().to_str().expect("a plain path");
        let maps = fs::read_to_string("/proc/self/maps").expect("maps");
        assert!(!maps.contains(here), "something is still mapped");
        for descriptor in fs::read_dir("/proc/self/fd").expect("descriptors").flatten() {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            // A loader and a verifier keep their directories locked.
            let lock = ["run", "trying"].iter().any(|dir| target.parent() == Some(&self.path(dir)));
            assert!(lock || !target.starts_with(here), "{} is still open", target.display());
        }
        assert_eq!(processes_with(here), Vec::<String>::new(), "processes are left");
        expect_no_lasting_zombies();
    }

    /// As above, and not even staged.
    pub fn expect_nothing(&self) {
        assert!(self.names("artifacts").is_empty(), "something was staged: {:?}", self.names("artifacts"));
        self.expect_clean();
    }
}

/// The command lines in which a text occurs.
pub fn processes_with(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(text)).collect()
}

/// Other tests' children may be zombies for an instant; one that nobody waits for stays.
fn expect_no_lasting_zombies() {
    let mut left = zombies();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "nobody waited for the children {left:?}");
        thread::sleep(Duration::from_millis(1));
        left = left.intersection(&zombies()).copied().collect();
    }
}

fn zombies() -> HashSet<u32> {
    let own = std::process::id().to_string();
    let of_ours = |process: &Path| {
        let stat = fs::read_to_string(process.join("stat")).ok()?;
        // The name, in parentheses, may contain anything; the state and the parent follow.
        let (head, tail) = stat.rsplit_once(')')?;
        let mut fields = tail.split_whitespace();
        (fields.next()? == "Z" && fields.next()? == own).then(|| head.split(' ').next()?.parse().ok())?
    };
    fs::read_dir("/proc").expect("processes").flatten().filter_map(|process| of_ours(&process.path())).collect()
}
