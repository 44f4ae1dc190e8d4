//! Directories for a real `camlock serve`.

use crate::{Server, repository};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tempfile::TempDir;

/// The variable by which the processes of a site are known; builds see it.
pub(crate) const MARK: &str = "TEST_SITE";

/// Who owns nothing.
const NOBODY: u32 = 65534;

/// Directories for a server. Builds go to a place that all tests share, one test at a time.
#[derive(Debug)]
pub struct Site {
    program: &'static str,
    root: PathBuf,
    #[allow(dead_code, reason = "it is removed with the site")]
    temporary: Option<TempDir>,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Site {
    /// An empty plugins directory, to be served by this program.
    pub fn new(program: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Site::at(program, dir.path().to_owned());
        site.temporary = Some(dir);
        site
    }

    /// A place that stays, with what is in it.
    pub fn at(program: &'static str, root: PathBuf) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Site::made(program, root, Some(turn))
    }

    /// Another place, for one more server of the same test. It lies inside of this one, and must not outlive it.
    pub fn beside(&self, name: &str) -> Self {
        Site::made(self.program, self.path(name), None)
    }

    fn made(program: &'static str, root: PathBuf, turn: Option<MutexGuard<'static, ()>>) -> Self {
        let site = Site { program, root, temporary: None, _turn: turn };
        fs::create_dir_all(site.plugins()).unwrap();
        let builds = repository().join("target/builds");
        site.write("camlock.toml", &format!("build.dir = {:?}\n", builds.display().to_string()));
        site
    }

    /// Adds a line to the configuration.
    pub fn configure(&self, line: &str) {
        let mut text = fs::read_to_string(self.path("camlock.toml")).unwrap();
        text.push_str(line);
        text.push('\n');
        self.write("camlock.toml", &text);
    }

    /// A path of the site.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The plugins directory.
    pub fn plugins(&self) -> PathBuf {
        self.path("plugins")
    }

    /// Writes a file in place.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A command of the program, in this site.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command
            .current_dir(&self.root)
            .env(MARK, &self.root)
            .env("CAMLOCK_BUILD_ENVIRONMENT", MARK)
            .env_remove("CAMLOCK_ADMIN_TOKEN")
            .env_remove("CAMLOCK_SECRETS_KEY");
        command
    }

    /// Starts the server.
    pub fn start(&self) -> Server {
        self.start_with(|_| {})
    }

    /// Starts the server, with a change of its command.
    pub fn start_with(&self, change: impl FnOnce(&mut Command)) -> Server {
        let mut command = self.command();
        // Its process is the server, as trials expect that kill it or look at it.
        command
            .args(["serve", "--no-parent", "--listen", "127.0.0.1:0"])
            .env("CAMLOCK_LOG", "warn")
            .stdout(Stdio::piped());
        change(&mut command);
        if !command.get_args().any(|argument| argument == "--profile") {
            command.args(["--profile", "quick"]);
        }
        Server::new(command.spawn().unwrap(), self.path(".camlock"))
    }

    /// Starts the server as operators do: as the child of a parent, which is what [`Server::pid`] tells then.
    pub fn start_with_parent(&self, change: impl FnOnce(&mut Command)) -> Server {
        self.start_with(|command| {
            let mut parent = self.command();
            parent.args(command.get_args().filter(|argument| *argument != "--no-parent"));
            parent.env("CAMLOCK_LOG", "warn").stdout(Stdio::piped());
            change(&mut parent);
            *command = parent;
        })
    }

    /// Starts the server as an ordinary user, who owns the data directory and nothing else. Root would be let in anywhere.
    pub fn start_as_nobody(&self) -> Server {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return self.start();
        }
        // Where the program was built need not be open to others.
        let program = self.path("camlock");
        fs::copy(self.program, &program).unwrap();
        fs::create_dir_all(self.path(".camlock")).unwrap();
        chown(self.path(".camlock"), Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o755)).unwrap();
        self.start_with(|command| {
            let mut as_nobody = Command::new(program);
            as_nobody.args(command.get_args()).current_dir(&self.root).env_remove("CAMLOCK_ADMIN_TOKEN");
            // With it go all further groups.
            as_nobody.uid(NOBODY).gid(NOBODY).stdout(Stdio::piped());
            *command = as_nobody;
        })
    }

    /// The processes that belong to it, by number: its servers, and whatever these started.
    pub fn processes(&self) -> Vec<u32> {
        let root = self.root.to_str().unwrap();
        let fingerprint = format!("{MARK}={root}");
        let belongs = |id: &u32| {
            let read = |what: &str| fs::read(format!("/proc/{id}/{what}")).unwrap_or_default();
            // A verifying process has no environment, but is told of an artifact.
            let below = format!("{root}/.camlock/");
            read("environ").split(|byte| *byte == 0).any(|variable| variable == fingerprint.as_bytes())
                || String::from_utf8_lossy(&read("cmdline")).contains(&below)
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|process| process.file_name().to_str()?.parse().ok()).filter(belongs).collect()
    }
}
