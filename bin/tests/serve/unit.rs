//! The systemd unit: its command is run as it stands there, with its environment, by an ordinary user without privileges.

use crate::{site, sources::Form};
use camlock_policy::Limits;
use camlock_testing::{Server, Site, repository};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The user `nobody`, in the place of the unit's own.
const NOBODY: u32 = 65534;

struct Unit(String);

impl Unit {
    fn read() -> Self {
        Unit(fs::read_to_string(repository().join("packaging/camlock.service")).unwrap())
    }

    /// All values of a key.
    fn all(&self, key: &str) -> Vec<&str> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
    }

    fn one(&self, key: &str) -> &str {
        let [value] = self.all(key)[..] else { panic!("{key} stands there {} times", self.all(key).len()) };
        value
    }

    /// Its command, of which the program, as systemd does, is the first word; `$` begins names of variables.
    fn command(&self, variable: impl Fn(&str) -> String) -> (String, Vec<String>) {
        let command = self.one("ExecStart");
        assert!(!command.contains(['"', '\'', '\\', '%']), "this reader knows no quotes and no specifiers: {command}");
        let mut words = command.split_whitespace().map(|word| match word.strip_prefix("${") {
            Some(name) => variable(name.strip_suffix('}').expect("a variable is a word of its own")),
            None => word.to_owned(),
        });
        (words.next().unwrap(), words.collect())
    }
}

/// Starts what the unit says, in a site's directories.
fn start(unit: &Unit, site: &Site) -> Server {
    // Another user need not be able to get at the place where it was built.
    let program = site.path("camlock");
    fs::copy(env!("CARGO_BIN_EXE_camlock"), &program).unwrap();
    let (state, cache) = (site.path(".camlock"), site.path("cache"));
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    for directory in [&state, &cache] {
        fs::create_dir_all(directory).unwrap();
        if root {
            chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).unwrap();

    let (told, arguments) = unit.command(|name| match name {
        "STATE_DIRECTORY" => state.to_str().unwrap().to_owned(),
        other => panic!("systemd sets no {other}"),
    });
    assert_eq!(Path::new(&told).file_name().unwrap(), "camlock");
    assert_eq!(unit.one("NoNewPrivileges"), "yes");
    assert_eq!(unit.one("CapabilityBoundingSet"), "");
    let mut command = Command::new("setpriv");
    command.args(["--no-new-privs", "--inh-caps=-all"]);
    if root {
        command.args(["--bounding-set=-all", "--clear-groups"]);
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]);
    }
    command.args(["sh", "-c", &format!("umask {} && exec \"$0\" \"$@\"", unit.one("UMask"))]);
    command.arg(program).args(arguments).current_dir(site.path("")).env_clear().stdout(Stdio::piped());
    for (name, value) in unit.all("Environment").iter().map(|pair| pair.split_once('=').unwrap()) {
        command.env(name, value);
    }
    command.env("STATE_DIRECTORY", &state).env("CAMLOCK_PLUGINS", site.plugins()).env("CAMLOCK_LISTEN", "127.0.0.1:0");
    command.env("CARGO_HOME", cache.join("cargo"));
    site.start_with(|place| *place = command)
}

#[test]
fn its_command_runs_with_as_little_as_it_gives() {
    let (unit, site) = (Unit::read(), site());
    Form::Prebuilt.create(&site, "one");
    let server = start(&unit, &site);
    server.until_text("/api/v1/p/hello/", "one");
    server.until_status("/_/ready", 200);
    let mode = |path: &str| fs::metadata(site.path(path)).unwrap().mode() & 0o777;
    assert_eq!((mode(".camlock"), mode(".camlock/admin-token")), (0o700, 0o600));
    assert_eq!(server.post("/api/v1/plugins/hello/reload").status, 200);

    let began = Instant::now();
    server.signal(&unit.one("KillSignal").replace("SIG", "-"));
    let (status, printed) = server.wait();
    assert!(status.success(), "{status}: {printed}");
    assert!(began.elapsed() < Duration::from_secs(unit.one("TimeoutStopSec").parse().unwrap()));
    // What it kept is found again.
    let server = start(&unit, &site);
    server.until_text("/api/v1/p/hello/", "one");
    let (status, _) = server.end();
    assert!(status.success());
}

#[test]
fn it_has_the_patience_and_comes_back_as_its_comments_say() {
    let unit = Unit::read();
    let limits = Limits::default();
    let needed = limits.drain + limits.farewell + limits.start;
    assert!(Duration::from_secs(unit.one("TimeoutStopSec").parse().unwrap()) > needed, "{needed:?}");
    assert_eq!((unit.one("Restart"), unit.one("StartLimitIntervalSec")), ("always", "0"));
    // The exit codes for wrong usage and wrong configuration.
    let site = site();
    let command = |arguments: &[&str]| site.command().args(arguments).stderr(Stdio::null()).status().unwrap().code();
    let stays = [command(&["serve", "--no-such-flag"]), command(&["serve", "--config", "nowhere.toml"])];
    let told: Vec<_> = unit.one("RestartPreventExitStatus").split(' ').map(|code| code.parse().ok()).collect();
    assert_eq!(told, stays);
}
