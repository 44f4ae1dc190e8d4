//! The program in `examples/embedding`, built as somebody else would build it, and driven from outside: its own pages, state and
//! middleware, and plugins that come, change, break and go.

use camlock_testing::{Load, Server, repository, request, run_cargo, single};
use futures_util::StreamExt;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

fn program() -> PathBuf {
    let root = repository();
    let example = root.join("examples/embedding");
    // It has no lock file of its own: it begins with ours, so that a release elsewhere breaks nothing.
    fs::copy(root.join("Cargo.lock"), example.join("Cargo.lock")).unwrap();
    let target = root.join("target");
    let profile =
        ["--config", "profile.dev.debug='line-tables-only'", "--config", "profile.dev.package.sha2.opt-level=3"];
    run_cargo(&example, &[&["build", "--target-dir", target.to_str().unwrap()][..], &profile].concat());
    target.join("debug/embedding")
}

struct World {
    dir: TempDir,
    server: Server,
}

impl World {
    fn start() -> Self {
        let program = program();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("plugins")).unwrap();
        let child = Command::new(program)
            .arg(dir.path())
            .arg("127.0.0.1:0")
            .arg(repository().join("target/builds"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Server::new(child, dir.path().join("data"));
        World { dir, server }
    }

    fn plugin(&self, file: &str) -> PathBuf {
        self.dir.path().join("plugins").join(file)
    }

    /// How many private copies of libraries are mapped by the process.
    fn mapped(&self) -> usize {
        let run = self.dir.path().join("data/run");
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.server.pid())).unwrap();
        let mut mapped: Vec<_> =
            maps.lines().filter_map(|line| line.find(run.to_str().unwrap()).map(|at| &line[at..])).collect();
        mapped.sort_unstable();
        mapped.dedup();
        mapped.len()
    }

    fn until_mapped(&self, count: usize) {
        self.server.until(|_| self.mapped(), |mapped| *mapped == count);
    }
}

const HELLO: &str = "/api/v1/p/hello/";

/// A plugin with a page, and one that blocks its thread.
fn hello(text: &str) -> String {
    let blocks =
        r#".route("/block", get(|| async { std::thread::sleep(std::time::Duration::from_millis(4500)); "awake" }))"#;
    let (before, after) =
        single(text).split_once("\n    }\n}\n\nexport").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    format!("{before}{blocks}\n    }}\n}}\n\nexport{after}")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() && name != "target" => copy(&entry.path(), &to.join(name)),
            kind if kind.is_file() => drop(fs::copy(entry.path(), to.join(name)).unwrap()),
            _ => {}
        }
    }
}

fn unharmed(load: Load) {
    let (good, bad) = load.end();
    assert!(good > 0 && bad.is_empty(), "{good} {bad:#?}");
}

#[test]
fn its_own_pages_and_plugins_side_by_side() {
    let world = World::start();
    let World { server, .. } = &world;

    // Its own pages and state.
    assert_eq!(server.get("/").text, "A guest book. Plugins: \n");
    let signed = request(server.address, "POST", "/guests", &[]).unwrap();
    assert_eq!(signed.status, 201);
    assert_eq!(server.get("/guests").status, 200);
    let own = server.load("/guests");

    // A plugin comes. The program's middleware is around it too, and around Camlock's own answers.
    fs::write(world.plugin("hello.rs"), hello("one")).unwrap();
    server.until_text(HELLO, "one");
    for path in ["/", HELLO, "/plugins/hello", "/nothing"] {
        assert!(server.get(path).head.contains("x-answered: "), "{path}");
    }
    assert_eq!(server.get("/nothing").status, 404);
    assert_eq!(server.get("/").text, "A guest book. Plugins: hello (serving)\n");
    world.until_mapped(1);
    let served = server.load(HELLO);

    // It changes, is renewed by the program, breaks, and is mended.
    fs::write(world.plugin("hello.rs"), hello("two")).unwrap();
    server.until_text(HELLO, "two");
    let next = format!("generation {}", server.generation("hello") + 1);
    assert_eq!(server.post("/renew/hello").text, next);
    let refused = server.post("/renew/nobody");
    assert_eq!((refused.status, refused.text.as_str()), (409, "there is no plugin `nobody`"));
    fs::write(world.plugin("hello.rs"), hello("three").replace("get(", "got(")).unwrap();
    server.until_failed("hello", "build");
    assert_eq!(server.get(HELLO).text, "two");
    fs::write(world.plugin("hello.rs"), hello("three")).unwrap();
    server.until_text(HELLO, "three");
    assert_eq!(server.post("/api/v1/plugins/hello/disable").status, 200);
    assert_eq!(server.get(HELLO).status, 503);
    let (good, bad) = served.end();
    assert!(good > 0 && bad.iter().all(|told| told.contains("503")), "{good} {bad:#?}");
    assert_eq!(server.post("/api/v1/plugins/hello/enable").status, 200);
    server.until_text(HELLO, "three");

    // A handler that blocks a thread of the program's own runtime is told of.
    let address = server.address;
    let blocking = thread::spawn(move || request(address, "GET", "/api/v1/p/hello/block", &[]).unwrap().text);
    server.until(|server| server.get("/_/health").text, |told| told.contains("/api/v1/p/hello/block"));
    assert_eq!(blocking.join().unwrap(), "awake");

    // It goes, and leaves the process.
    fs::remove_file(world.plugin("hello.rs")).unwrap();
    server.until_status(HELLO, 404);
    let gone = server.until_plugin("hello", |plugin| plugin["draining"] == json!([]));
    assert_eq!((&gone["state"], &gone["pinned"]), (&json!("missing"), &json!([])));
    world.until_mapped(0);
    unharmed(own);
}

#[test]
fn websockets_and_streams_and_the_end() {
    let world = World::start();
    let World { server, .. } = &world;
    copy(&repository().join("plugins/ticker"), &world.plugin("ticker"));
    server.until_serving("ticker");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let url = format!("ws://{}/api/v1/p/ticker/ws?every=100", server.address);
    runtime.block_on(async {
        let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.expect("a WebSocket");
        for number in 1..=3 {
            let message = socket.next().await.expect("a tick").expect("a message");
            let tick: serde_json::Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            assert_eq!(tick["number"], number);
        }
        // A new generation: the old one's drain ends, and its client is told to come back.
        let next = format!("generation {}", server.generation("ticker") + 1);
        assert_eq!(server.post("/renew/ticker").text, next);
        let mut last = None;
        while let Some(Ok(message)) = socket.next().await {
            last = Some(message);
        }
        let Some(Message::Close(Some(frame))) = last else { panic!("{last:?}") };
        assert_eq!(frame.code, CloseCode::Restart);
    });
    world.until_mapped(1);

    // Events that never end do not hold up the end of the program.
    let address = server.address;
    let events = thread::spawn(move || request(address, "GET", "/api/v1/p/ticker/events?every=100", &[]).unwrap());
    server.until_plugin("ticker", |plugin| plugin["serving"]["in_flight"] != 0);
    let World { server, dir } = world;
    let begun = Instant::now();
    let (status, printed) = server.end();
    assert!(status.success(), "{status}");
    assert_eq!(printed, "ended\n");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let events = events.join().unwrap();
    assert!(events.status == 200 && events.text.contains("data: "), "{events:?}");
    assert!(!dir.path().join("data/control.sock").exists());
}
