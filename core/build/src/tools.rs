//! Where `cargo` and `rustc` are, and how they are started.

use crate::{environment, fence::BuildFence};
use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// The environment of builds.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    variables: Vec<(OsString, OsString)>,
    /// What is open to what they run, if not everything.
    fence: Option<BuildFence>,
}

impl Tools {
    /// As the server was started.
    pub(crate) fn from_environment() -> Self {
        let more = env::var(environment::MORE).unwrap_or_default();
        let named: Vec<&OsStr> = environment::named(&more).map(OsStr::new).collect();
        let is_seen = |name: &OsStr| environment::is_seen(name) || named.contains(&name);
        let mut variables: Vec<_> = env::vars_os().filter(|(name, _)| is_seen(name)).collect();
        for (name, value) in environment::DEFAULTS {
            if !variables.iter().any(|(set, _)| set == name) {
                variables.push((name.into(), value.into()));
            }
        }
        Tools { variables, fence: None }
    }

    /// Nothing at all.
    pub(crate) fn none() -> Self {
        Tools { variables: Vec::new(), fence: None }
    }

    /// The same with another `PATH`.
    #[cfg(test)]
    pub(crate) fn with_path(path: &OsStr) -> Self {
        Tools::from_environment().set("PATH", Some(path))
    }

    /// The same with a variable changed.
    pub(crate) fn set(mut self, name: &str, value: Option<&OsStr>) -> Self {
        self.variables.retain(|(set, _)| set != name);
        self.variables.extend(value.map(|value| (name.into(), value.to_owned())));
        self
    }

    /// The same, with nothing open to what they run but what a build of these plugins needs.
    pub(crate) fn fenced(self, plugins: &Path, data: &Path) -> Self {
        let temporary = data.join("builds/tmp");
        // If it cannot be made, builds fail, and say so.
        let _ = std::fs::create_dir_all(&temporary);
        let tools = self.set("TMPDIR", Some(temporary.as_os_str()));
        let fence = Some(BuildFence::of(&tools, plugins, data));
        Tools { fence, ..tools }
    }

    /// A variable as builds see it.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.iter().find(|(set, _)| set == name).map(|(_, value)| &**value)
    }

    /// All places where a program of this name may be, in the order of `PATH`.
    pub(crate) fn places(&self, program: &str) -> impl Iterator<Item = PathBuf> {
        let path = self.variable("PATH").map(OsStr::to_owned).unwrap_or_default();
        env::split_paths(&path).map(|directory| directory.join(program)).collect::<Vec<_>>().into_iter()
    }

    /// The program that is found first.
    pub(crate) fn find(&self, program: &str) -> Option<PathBuf> {
        self.places(program).find(|path| {
            let metadata = path.metadata();
            path.is_absolute()
                && metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        })
    }

    /// A command with the environment of builds.
    pub(crate) fn command(&self, program: &Path, directory: &Path) -> Command {
        self.command_that_changes(program, directory, &[])
    }

    /// The same for one that changes what lies in these directories, which are there.
    pub(crate) fn command_that_changes(&self, program: &Path, directory: &Path, changes: &[&Path]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(fence) = &self.fence {
            fence.put(&mut command, directory, changes);
        }
        command
    }

    /// Where cargo keeps its things, `config.toml` among them.
    pub(crate) fn cargo_home(&self) -> Option<PathBuf> {
        self.variable("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(Path::new(self.variable("HOME")?).join(".cargo")))
    }

    /// Where rustup remembers which toolchain to use.
    pub(crate) fn rustup_settings(&self) -> PathBuf {
        let home = self.variable("RUSTUP_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(Path::new(self.variable("HOME")?).join(".rustup")));
        home.unwrap_or_default().join("settings.toml")
    }
}
