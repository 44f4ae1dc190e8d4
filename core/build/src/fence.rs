//! What a build may reach where builds are sandboxed: the toolchain, what cargo fetched, the sources, and where it writes.
//!
//! Neither the server's data directory nor anybody's home is in it, but for what cargo and rustup keep there and a build needs. It is told
//! to the guard, which closes itself before it starts anything. What must not live here: how that is done.

use crate::tools::Tools;
use serde::{Deserialize, Serialize};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The variable in which the guard finds it.
pub(crate) const FENCE: &str = "CAMLOCK_BUILD_FENCE";

/// What is open to a build; all else is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFence {
    /// Files and directories that it may read.
    pub read: Vec<PathBuf>,
    /// Files and directories that it may read, and start programs of.
    pub run: Vec<PathBuf>,
    /// Files and directories that it may change, and start programs of.
    pub write: Vec<PathBuf>,
}

/// Closes the process that calls it, and all that it starts, but for what the fence leaves open. Or says why it cannot.
pub type CloseBuild = fn(&BuildFence) -> Result<(), String>;

static CLOSES: OnceLock<CloseBuild> = OnceLock::new();

/// Where programs and their libraries lie.
const PROGRAMS: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/snap"];
/// What compilers, linkers and cargo's network look up, and nobody keeps a secret in.
const LOOKED_UP: [&str; 26] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
];
/// What cargo keeps beneath its home, and changes when it fetches. Not its tokens.
const FETCHED: [&str; 2] = ["registry", "git"];
const LOCKED: [&str; 3] = [".package-cache", ".package-cache-mutate", ".global-cache"];
const SETTINGS: [&str; 3] = ["config.toml", "config", "env"];

impl BuildFence {
    /// For builds of these plugins, with these tools, in this data directory.
    pub(crate) fn of(tools: &Tools, plugins: &Path, data: &Path) -> Self {
        let mut fence = BuildFence::default();
        fence.run.extend(PROGRAMS.map(PathBuf::from));
        fence.read.extend(LOOKED_UP.map(PathBuf::from));
        fence.read.push(plugins.to_owned());
        fence.read.push(data.join("sdk"));
        fence.write.push(data.join("builds/tmp"));
        fence.write.push("/dev/null".into());
        fence.read.extend(["/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"].map(PathBuf::from));
        let home = tools.variable("HOME").map(PathBuf::from);
        if let Some(cargo) = tools.cargo_home() {
            fence.run.push(cargo.join("bin"));
            fence.read.extend(SETTINGS.map(|name| cargo.join(name)));
            // What is not there cannot be opened to it.
            for name in FETCHED {
                let _ = fs::create_dir_all(cargo.join(name));
            }
            fence.write.extend(FETCHED.iter().chain(&LOCKED).map(|name| cargo.join(name)));
        }
        fence.run.extend(tools.rustup_settings().parent().map(Path::to_owned));
        // Programs that somebody put elsewhere. A directory that holds a home, or is one, opens nothing.
        let path = tools.variable("PATH").map(env::split_paths).into_iter().flatten();
        let holds_home = |place: &Path| home.as_ref().is_some_and(|home| home.starts_with(place));
        fence.run.extend(path.filter(|place| place.is_absolute() && !holds_home(place) && !data.starts_with(place)));
        fence
    }

    /// Has the guard of this command close itself, with what is open beside: where it is started, to be read, and the directories that
    /// this one changes, which must be there. All of `builds/` is open to none: the server trusts what it keeps there.
    pub(crate) fn put(&self, command: &mut Command, directory: &Path, changes: &[&Path]) {
        let mut fence = self.clone();
        fence.write.extend(changes.iter().map(|place| (*place).to_owned()));
        fence.read.extend(directory.canonicalize().ok());
        command.env(FENCE, serde_json::to_string(&fence).unwrap_or_default());
    }
}

/// From here on a guard closes itself by this.
pub(crate) fn close_by(close: CloseBuild) {
    let _ = CLOSES.set(close);
}

/// Whether there is a fence to be put around this command.
pub(crate) fn is_around(command: &Command) -> bool {
    command.get_envs().any(|(name, value)| name == FENCE && value.is_some())
}

/// Closes this process, if it was told to.
pub(crate) fn close_if_told() -> Result<(), String> {
    let Some(told) = env::var_os(FENCE) else { return Ok(()) };
    let fence =
        told.to_str().and_then(|told| serde_json::from_str(told).ok()).ok_or("what is open to it is not told")?;
    match CLOSES.get() {
        Some(close) => close(&fence),
        None => Err("this program has nothing to close it with".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn neither_home_nor_data_is_open() {
        let home = tempfile::tempdir().unwrap();
        let (plugins, data) = (home.path().join("plugins"), home.path().join("data"));
        let path = env::join_paths([Path::new("/usr/bin"), &home.path().join(".cargo/bin"), home.path()]).unwrap();
        let tools = Tools::none().set("HOME", Some(home.path().as_os_str())).set("PATH", Some(&path));
        let fence = BuildFence::of(&tools, &plugins, &data);
        let all: Vec<_> = [&fence.read, &fence.run, &fence.write].into_iter().flatten().collect();
        assert!(all.contains(&&home.path().join(".cargo/registry")) && all.contains(&&data.join("builds/tmp")));
        for secret in [
            "",
            ".ssh/id",
            ".cargo/credentials.toml",
            "data",
            "data/admin-token",
            "data/registry.db",
            "data/builds/src/x",
        ] {
            let secret = home.path().join(secret);
            assert!(!all.iter().any(|open| secret.starts_with(open)), "{secret:?}: {fence:?}");
        }
        for key in ["/etc/ssl/private/server.key", "/etc/pki/tls/private/server.key", "/etc/pki/rpm-gpg/key"] {
            assert!(!all.iter().any(|open| Path::new(key).starts_with(open)), "{key}");
        }
        let mut command = Command::new("cargo");
        assert!(!is_around(&command));
        let shadow = data.join("builds/src/hello");
        fence.put(&mut command, Path::new("/"), &[&shadow]);
        assert!(is_around(&command));
        let told = command.get_envs().find(|(name, _)| *name == OsStr::new(FENCE)).unwrap().1.unwrap();
        let told: BuildFence = serde_json::from_str(told.to_str().unwrap()).unwrap();
        assert_eq!(told.write, [fence.write, vec![shadow]].concat());
    }
}
