//! A real PostgreSQL for tests: in a temporary directory, on loopback, ended with the test program, however that ends.

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Who runs it if we are root, whom PostgreSQL refuses.
const NOBODY: u32 = 65534;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server. It is ended when dropped, and when this program ends.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    root: PathBuf,
    port: u16,
    server: Mutex<Option<Child>>,
    /// When this closes the guard ends the server and removes the directory.
    guard: Option<(Child, ChildStdin)>,
    databases: AtomicU32,
}

/// Speed before safety, as far as a crash of the machine goes. What was committed survives that of the server.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nfsync = off\nfull_page_writes = off\n\
     shared_buffers = 32MB\nmax_connections = 200\nautovacuum = off\n";

/// Users: `camlock` may do anything, `guarded` needs the password `right`.
const USERS: &str =
    "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n";

/// It waits for the end of its input, which is the end of the test program.
const GUARD: &str = r#"
read -r line
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && {
    kill -CONT "$pid"; kill -QUIT "$pid"
    for turn in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" || break; sleep 0.1; done
    kill -KILL "$pid"
} 2>/dev/null
rm -rf "$1"
"#;

impl Postgres {
    /// The one that all tests of this program share.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Postgres::start)
    }

    /// A server of one's own: one that may be killed.
    pub fn start() -> Postgres {
        let programs = programs();
        let root = tempfile::Builder::new().prefix("camlock-postgres-").tempdir().unwrap().keep();
        if is_root() {
            chown(&root, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut guard = ordinary("sh");
        guard.args(["-c", GUARD, "guard"]).arg(&root).stdin(Stdio::piped()).process_group(0);
        let mut guard = guard.spawn().unwrap();
        let input = guard.stdin.take().unwrap();
        let port = port();
        let postgres = Postgres {
            programs,
            root,
            port,
            server: Mutex::default(),
            guard: Some((guard, input)),
            databases: AtomicU32::new(0),
        };
        let mut initdb = ordinary(postgres.programs.join("initdb"));
        initdb.args(["--no-sync", "--no-instructions", "--auth=trust", "--username=camlock", "--encoding=UTF8", "-D"]);
        let made = initdb.arg(postgres.data()).current_dir(&postgres.root).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let configuration = postgres.data().join("postgresql.conf");
        let given = fs::read_to_string(&configuration).unwrap();
        let place = format!("port = {port}\nunix_socket_directories = '{}'\n", postgres.root.display());
        fs::write(configuration, given + SETTINGS + &place).unwrap();
        fs::write(postgres.data().join("pg_hba.conf"), USERS).unwrap();
        postgres.start_again();
        let url = postgres.url("postgres");
        postgres.sql(&url, "CREATE USER guarded PASSWORD 'right'");
        postgres
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Has it speak TLS with this certificate and key, in PEM, and let users in as `users` says, in the form of `pg_hba.conf`; the
    /// socket in its directory stays open to all.
    pub fn secure(&self, certificate: &str, key: &str, users: &str) {
        for (name, text) in [
            ("server.crt", certificate),
            ("server.key", key),
            ("pg_hba.conf", &format!("{users}\nlocal all all trust\n")),
            ("postgresql.auto.conf", "ssl = on\n"),
        ] {
            let path = self.data().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        self.sql(&self.local_url("postgres"), "SELECT pg_reload_conf()");
    }

    /// Where a database is, for its owner, by the socket in its directory.
    pub fn local_url(&self, database: &str) -> String {
        let directory = self.root.display().to_string().replace('/', "%2F");
        format!("postgres://camlock@{directory}:{}/{database}", self.port)
    }

    /// Where a database is, for its owner.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://camlock@127.0.0.1:{}/{database}", self.port)
    }

    /// Where a database is, for a user who needs a password; the right one is `right`.
    pub fn guarded_url(&self, database: &str, password: &str) -> String {
        format!("postgres://guarded:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// A fresh database.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Runs SQL as an operator would, with psql: what it prints, without decoration.
    pub fn sql(&self, url: &str, sql: &str) -> String {
        self.try_sql(url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same; what psql says if it fails.
    pub fn try_sql(&self, url: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.psql(url);
        psql.args(["-v", "ON_ERROR_STOP=1", "-c", sql]);
        let done = psql.stdin(Stdio::null()).output().map_err(|error| format!("psql was not started: {error}"))?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// psql, for a database, without decoration.
    pub fn psql(&self, url: &str) -> Command {
        let beside = self.programs.join("psql");
        let mut psql = Command::new(if beside.exists() { beside } else { PathBuf::from("psql") });
        psql.args(["-X", "-q", "-t", "-A", "-d", url]);
        psql
    }

    /// Starts it again after it was killed, on the same port with the same data.
    pub fn start_again(&self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.root.join("log")).unwrap();
        let mut server = ordinary(self.programs.join("postgres"));
        server.arg("-D").arg(self.data()).current_dir(&self.root).stdin(Stdio::null());
        // Ctrl-C in a terminal is for the test program alone; the guard sees to the rest.
        server.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        let mut server = server.spawn().unwrap();
        let began = Instant::now();
        loop {
            let status = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            let mut lines = status.lines();
            let ours = lines.next().and_then(|pid| pid.parse().ok()) == Some(server.id());
            if ours && lines.nth(6).is_some_and(|status| status.trim() == "ready") {
                break;
            }
            let ended = server.try_wait().unwrap();
            if ended.is_some() && began.elapsed() < PATIENCE / 4 && self.log().contains("is still in use") {
                // Processes of the one that was killed have yet to find out.
                let _ = fs::remove_file(self.root.join("log"));
                thread::sleep(Duration::from_millis(50));
                return self.start_again();
            }
            if ended.is_some() || began.elapsed() > PATIENCE {
                panic!("PostgreSQL did not start ({ended:?}): {}", self.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(&self) {
        let theirs = self.signal("-KILL");
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut server) = server {
            server.wait().unwrap();
        }
        // Those that are still dying hold memory that the next one asks for.
        let began = Instant::now();
        while theirs.iter().any(|pid| state(*pid).is_some_and(|state| state != "Z")) && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
    }

    /// All of it stands still, and connections stay open.
    pub fn pause(&self) {
        drop(self.signal("-STOP"));
    }

    /// It goes on.
    pub fn resume(&self) {
        drop(self.signal("-CONT"));
    }

    /// To the server and all its processes, the server first, so that it starts no more of them.
    fn signal(&self, signal: &str) -> Vec<u32> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Child::id);
        let Some(server) = server else { return Vec::new() };
        let send =
            |pid: u32| drop(Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status());
        let children: Vec<u32> = children(server);
        send(server);
        children.iter().copied().for_each(send);
        children
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.resume();
        let Some((mut guard, input)) = self.guard.take() else { return };
        drop(input);
        let _ = guard.wait();
        if let Some(mut server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = server.wait();
        }
    }
}

/// The processes that one started.
fn children(parent: u32) -> Vec<u32> {
    let belongs = |pid: &u32| field(*pid, 1).and_then(|ppid| ppid.parse().ok()) == Some(parent);
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|process| process.file_name().to_str()?.parse().ok()).filter(belongs).collect()
}

/// A process's state, in a letter; none if it is gone.
fn state(pid: u32) -> Option<String> {
    field(pid, 0)
}

/// What the kernel says of a process, after its name.
fn field(pid: u32, place: usize) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = status.rsplit_once(") ")?;
    fields.split(' ').nth(place).map(str::to_owned)
}

/// A free port that no client is given either, for it is to be free again when the server is started again.
pub(crate) fn port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first: u16 = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    // Programs that look at the same time begin at different places.
    let (from, count) =
        (first.saturating_sub(16_000).max(1_024), u32::from(first.saturating_sub(1_024).clamp(1, 16_000)));
    // Servers of one program that are started at the same time, too.
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let mine = STARTED.fetch_add(1, Ordering::Relaxed).wrapping_mul(997);
    let first = std::process::id().wrapping_mul(61).wrapping_add(mine);
    let ports = (0..count).map(|step| from + (first.wrapping_add(step) % count) as u16);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.into_iter().find(free).expect("a free port")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A command that does not run as root.
fn ordinary(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Where `initdb` and `postgres` lie: in the search path, or where distributions hide them; of those the newest.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let version = |name: &str| name.trim_start_matches("pgsql-").parse::<u32>().ok();
    let mut hidden: Vec<(u32, PathBuf)> = ["/usr/lib/postgresql", "/usr"]
        .iter()
        .flat_map(|parent| fs::read_dir(parent).into_iter().flatten().flatten())
        .filter_map(|found| Some((version(found.file_name().to_str()?)?, found.path().join("bin"))))
        .collect();
    hidden.sort();
    let candidates = std::env::split_paths(&path).chain(hidden.into_iter().rev().map(|(_, path)| path));
    let both = |directory: &PathBuf| ["initdb", "postgres"].iter().all(|program| directory.join(program).is_file());
    candidates.into_iter().find(both).expect(
        "PostgreSQL's programs `initdb` and `postgres` are neither in PATH nor where distributions put them: \
         scripts/databases brings them",
    )
}
