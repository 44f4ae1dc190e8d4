//! Plugins in processes of their own: what holds them, and what becomes of those that end.

use crate::harness::{Host, Served, run};
use camlock_policy::{Ending, FaultKind, Isolation};
use camlock_testing::{Fixtures, trial};
use http::Request;
use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    time::Duration,
};

const EPERM: &str = "1";
const EACCES: &str = "13";

fn library() -> PathBuf {
    Fixtures::quick().library("escapes")
}

async fn attempt(served: &Served, attempt: &str, upon: &str) -> String {
    let answer = served.post(&format!("/try/{attempt}"), "text/plain", upon.to_owned()).await;
    String::from_utf8_lossy(answer.body()).into_owned()
}

/// Tries it in a process that holds the plugin, and in one that does not: it must be the fence that makes the difference.
async fn fenced(host: &Host, attempts: &[(&str, &str, &str)]) {
    let held = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
    let free = host.serve_loaded(host.load_as(&library(), Isolation::None).await.unwrap()).await;
    for (what, upon, error) in attempts {
        let outcome = attempt(&held, what, upon).await;
        let refused: Vec<&str> = error.split('|').collect();
        assert!(refused.contains(&&*outcome), "{what} {upon}, held: {outcome}");
        assert_eq!(attempt(&free, what, upon).await, "done", "{what} {upon}, free");
    }
    held.unload_wholly().await;
    drop(free.unload().await);
}

#[trial]
fn files_of_others_are_out_of_reach() {
    run(async {
        let host = Host::new();
        let secret = host.dir().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        let (secret, dir) = (secret.to_str().unwrap(), host.dir().to_str().unwrap());
        let new = host.dir().join("new");
        let attempts = [
            ("read", secret, EACCES),
            ("read", "/etc/passwd", EACCES),
            ("list", dir, EACCES),
            ("list", "/", EACCES),
            ("write", new.to_str().unwrap(), EACCES),
            ("link", secret, EACCES),
            ("list", "/tmp", EACCES),
        ];
        fenced_with_dirs(&attempts, &host).await;
    });
}

/// The same where plugins have directories of their own.
async fn fenced_with_dirs(attempts: &[(&str, &str, &str)], other: &Host) {
    let mut host = Host::new();
    let dirs = other.dir().join("plugins");
    let around = camlock_loader::Surroundings { dirs: Some(dirs), ..Default::default() };
    host.loader = host.loader.with_surroundings(around);
    fenced(&host, attempts).await;
    let held = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
    // What it is for works.
    assert_eq!(attempt(&held, "own", "").await, "done");
    assert_eq!(attempt(&held, "temporary", "").await, "done");
    held.unload_wholly().await;
}

#[trial]
fn the_network_and_sockets_of_others_are_out_of_reach() {
    run(async {
        let host = Host::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let socket = host.dir().join("socket");
        let _socket = UnixListener::bind(&socket).unwrap();
        let attempts = [
            ("connect", &*address, EPERM),
            ("listen", "", EPERM),
            ("udp", "", EPERM),
            ("unix", socket.to_str().unwrap(), EPERM),
        ];
        fenced(&host, &attempts).await;
    });
}

#[trial]
fn other_processes_are_out_of_reach() {
    run(async {
        let host = Host::new();
        let server = std::process::id().to_string();
        let attempts = [
            ("signal", &*server, EPERM),
            ("signal-group", "", EPERM),
            ("memory", &server, EACCES),
            ("pidfd", &server, EPERM),
            ("program", "", EPERM),
            ("fork", "", EPERM),
            ("survive", "", EPERM),
        ];
        fenced(&host, &attempts).await;
        let held = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
        // These are refused for other reasons too, depending on the machine.
        for what in ["attach", "ring", "namespace", "keyring"] {
            assert_eq!(attempt(&held, what, &server).await, EPERM, "{what}");
        }
        let own = host.dir().canonicalize().unwrap().join("runners");
        assert_eq!(attempt(&held, "descriptors", own.to_str().unwrap()).await, "done");
        held.unload_wholly().await;
    });
}

#[trial]
fn memory_is_limited() {
    run(async {
        let host = Host::new();
        let held = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
        assert_eq!(attempt(&held, "fill", "").await, "12");
        assert_eq!(held.text("/fine").await, "fine");
        held.unload_wholly().await;
    });
}

#[trial]
fn the_environment_is_empty() {
    run(async {
        let host = Host::new();
        let held = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
        assert_eq!(held.text("/variable/PATH").await, "none");
        assert_eq!(held.text("/variable/HOME").await, "none");
        assert!(Path::new(&held.text("/variable/TMPDIR").await).starts_with(host.dir().canonicalize().unwrap()));
        held.unload_wholly().await;
    });
}

/// Whatever ends the process ends that one, and what was under way in it, and is told.
#[trial]
fn crashes() {
    run(async {
        let host = Host::new();
        for (how, why) in [
            ("segfault", "it was ended by SIGSEGV"),
            ("abort", "it was ended by SIGABRT"),
            ("exit", "it exited with status 7"),
            ("overflow", "it was ended by SIG"),
        ] {
            let loaded = host.load_as(&library(), Isolation::Process).await.unwrap();
            let died = loaded.instance.died();
            let served = host.serve_loaded(loaded).await;
            assert_eq!(served.instance.isolation(), Isolation::Process);
            let hanging = served.open(Request::get("/hang").body(http_body_util::Empty::new()).unwrap());
            let ending = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                served.post(&format!("/end/{how}"), "text/plain", "").await
            };
            let (hung, answer) = tokio::join!(hanging, ending);
            assert_eq!((hung.status().as_u16(), answer.status().as_u16()), (502, 502), "{how}");
            let body = String::from_utf8_lossy(answer.body()).into_owned();
            assert!(body.contains("\"plugin\":\"escapes\"") && body.contains("process ended"), "{body}");
            let told = tokio::time::timeout(Duration::from_secs(5), died).await.expect("it is told");
            assert!(told.starts_with(why), "{how}: {told}");
            assert_eq!(served.get("/fine").await.status().as_u16(), 502);
            assert_eq!(served.instance.health().await.unwrap_err().kind, FaultKind::Ended);
            assert!(matches!(served.unload().await, Ending::Unmapped { .. }));
        }
        let left = std::fs::read_dir(host.dir().join("runners")).unwrap().count();
        assert_eq!(left, 0, "nothing of them is left");
    });
}
