//! Directories for a real `camlock serve`.

use crate::{Server, repository};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tempfile::TempDir;

/// Directories for a server. Builds go to a place that all tests share, one test at a time.
#[derive(Debug)]
pub struct Site {
    program: &'static str,
    root: PathBuf,
    #[allow(dead_code, reason = "it is removed with the site")]
    temporary: Option<TempDir>,
    _turn: MutexGuard<'static, ()>,
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
        command.current_dir(&self.root).env_remove("CAMLOCK_ADMIN_TOKEN");
        command
    }

    /// Starts the server.
    pub fn start(&self) -> Server {
        self.start_with(|_| {})
    }

    /// Starts the server, with a change of its command.
    pub fn start_with(&self, change: impl FnOnce(&mut Command)) -> Server {
        let mut command = self.command();
        command.args(["serve", "--listen", "127.0.0.1:0"]).env("CAMLOCK_LOG", "warn").stdout(Stdio::piped());
        change(&mut command);
        if !command.get_args().any(|argument| argument == "--profile") {
            command.args(["--profile", "quick"]);
        }
        Server::new(command.spawn().unwrap(), self.path(".camlock"))
    }
}
