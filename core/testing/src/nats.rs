//! A real NATS server with JetStream for tests: in a temporary directory, on loopback, ended with the test program, however that ends.

use crate::postgres::port;
use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// It waits for the end of its input, which is the end of the test program.
const GUARD: &str = r#"
read -r line
pid=$(cat "$1/pid" 2>/dev/null) && kill -KILL "$pid" 2>/dev/null
rm -rf "$1"
"#;

/// How often it is looked whether it is still there.
const LOOK: Duration = Duration::from_millis(50);

/// A server. It is ended when dropped, and when this program ends. If it ends by itself it is started again, as whoever looks after
/// services does: 2.9 crashes when it is asked for a message of a stream that it is just making.
#[derive(Debug)]
pub struct NatsServer(Arc<NatsProcess>);

#[derive(Debug)]
struct NatsProcess {
    root: PathBuf,
    port: u16,
    server: Mutex<Option<Child>>,
    /// When this closes the guard ends the server and removes the directory.
    guard: Option<(Child, ChildStdin)>,
    names: AtomicU32,
}

impl NatsServer {
    /// The one that all tests of this program share.
    pub fn shared() -> &'static NatsServer {
        static SHARED: OnceLock<NatsServer> = OnceLock::new();
        SHARED.get_or_init(NatsServer::start)
    }

    /// A server of one's own: one that may be killed.
    pub fn start() -> NatsServer {
        let root = tempfile::Builder::new().prefix("camlock-nats-").tempdir().unwrap().keep();
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(&root).stdin(Stdio::piped()).process_group(0);
        let mut guard = guard.spawn().unwrap();
        let input = guard.stdin.take().unwrap();
        let guard = Some((guard, input));
        let process = NatsProcess { root, port: port(), server: Mutex::default(), guard, names: AtomicU32::new(0) };
        let server = NatsServer(Arc::new(process));
        server.start_again();
        let process = Arc::downgrade(&server.0);
        thread::spawn(move || {
            while let Some(process) = process.upgrade() {
                process.start_again_if_it_ended();
                drop(process);
                thread::sleep(LOOK);
            }
        });
        server
    }

    /// Where it is, with a name of its own for what is kept there.
    pub fn url(&self) -> String {
        let name = self.0.names.fetch_add(1, Ordering::Relaxed);
        format!("nats://127.0.0.1:{}/test{name}", self.0.port)
    }

    /// Starts it again after it was killed, on the same port with the same data.
    pub fn start_again(&self) {
        *self.0.server() = Some(self.0.launch());
    }

    /// Removes all that it keeps, while it does not run: as a disk that was exchanged.
    pub fn wipe(&self) {
        fs::remove_dir_all(self.0.root.join("data")).unwrap();
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(&self) {
        if let Some(mut server) = self.0.server().take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
        let _ = fs::remove_file(self.0.root.join("pid"));
    }
}

impl NatsProcess {
    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_again_if_it_ended(&self) {
        let mut server = self.server();
        if let Some(ended) = server.as_mut().and_then(|server| server.try_wait().unwrap()) {
            println!("nats-server ended by itself ({ended}), and is started again");
            *server = Some(self.launch());
        }
    }

    fn launch(&self) -> Child {
        let mut server = Command::new(program());
        server.args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js"]);
        server.arg("-sd").arg(self.root.join("data")).arg("-P").arg(self.root.join("pid"));
        server.arg("-l").arg(self.root.join("log")).stdin(Stdio::null()).process_group(0);
        let mut server = server.spawn().expect("nats-server is started");
        let began = Instant::now();
        // It takes connections once JetStream is there.
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = server.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
                panic!("nats-server did not start ({ended:?}): {log}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Drop for NatsProcess {
    fn drop(&mut self) {
        let Some((mut guard, input)) = self.guard.take() else { return };
        drop(input);
        let _ = guard.wait();
        if let Some(mut server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = server.wait();
        }
    }
}

/// Where `nats-server` lies: in the search path, or where distributions put what administrators start.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = directories.map(|directory| directory.join("nats-server")).find(|program| program.is_file());
    found.expect("`nats-server` is neither in PATH nor in /usr/sbin: scripts/nats brings it")
}
