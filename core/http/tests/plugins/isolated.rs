//! Plugins in processes of their own: what holds them, and what becomes of those that end.

mod fences;
mod hostile;

use crate::harness::{Host, Served, run};
use camlock_isolate::{FencePart, Runners};
use camlock_loader::Verdict;
use camlock_policy::{
    CpuShare, Ending, ExecutionOrder, ExecutionStatus, Executions, FaultKind, Isolation, Loaded, ProcessLimits,
    ProcessView, Publish, RequestLimits, routes::Serving,
};
use camlock_services::{ExecutionSettings, Executor, PluginData, SqliteFile};
use camlock_testing::{Fixtures, trial};
use http::Request;
use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const EPERM: &str = "1";
const ENOENT: &str = "2";
const EACCES: &str = "13";
const EAGAIN: &str = "11";
const EMFILE: &str = "24";
const EFBIG: &str = "27";
const EROFS: &str = "30";

/// Where this user may write, beside the temporary directory.
fn elsewhere() -> PathBuf {
    std::env::var_os("CAMLOCK_TEST_PLACE").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

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
    host.alter.set(|runners| runners.without(&[FencePart::Namespaces]));
    let seeing = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
    host.alter.set(|runners| runners);
    let free = host.serve_loaded(host.load_as(&library(), Isolation::None).await.unwrap()).await;
    for (what, upon, error) in attempts {
        let outcome = attempt(&held, what, upon).await;
        // In namespaces of its own it is not even there, or cannot be written by anybody.
        assert!([error, &ENOENT, &EROFS].contains(&&&*outcome), "{what} {upon}, held: {outcome}");
        assert_eq!(attempt(&seeing, what, upon).await, *error, "{what} {upon}, without namespaces");
        assert_eq!(attempt(&free, what, upon).await, "done", "{what} {upon}, free");
    }
    held.unload_wholly().await;
    seeing.unload_wholly().await;
    drop(free.unload().await);
}

#[trial]
fn files_of_others_are_out_of_reach() {
    run(async {
        let host = Host::new();
        // Not where the process has a directory of its own instead.
        let place = tempfile::tempdir_in(elsewhere()).unwrap();
        let secret = place.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        let (secret, dir) = (secret.to_str().unwrap(), place.path().to_str().unwrap());
        let new = place.path().join("new");
        let attempts = [
            ("read", secret, EACCES),
            ("read", "/etc/passwd", EACCES),
            ("list", dir, EACCES),
            ("list", "/", EACCES),
            ("write", new.to_str().unwrap(), EACCES),
            ("link", secret, EACCES),
            ("swap", secret, EACCES),
            ("device", "/dev/ptmx", EACCES),
            ("list", "/proc", EACCES),
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
    // It has one of its own, which others do not see.
    let own = std::env::temp_dir().join(format!("own-{}", std::process::id()));
    let seen = attempt(&held, "write", own.to_str().unwrap()).await;
    assert!(["done", EACCES].contains(&&*seen) && !own.exists(), "{seen}");
    held.unload_wholly().await;
}

#[trial]
fn the_network_and_sockets_of_others_are_out_of_reach() {
    run(async {
        let host = Host::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let name = format!("camlock-test-{}", std::process::id());
        let abstract_name =
            <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name);
        let _abstract = UnixListener::bind_addr(&abstract_name.unwrap()).unwrap();
        let socket = host.dir().join("socket");
        let _socket = UnixListener::bind(&socket).unwrap();
        let attempts = [
            ("connect", &*address, EPERM),
            ("listen", "", EPERM),
            ("udp", "", EPERM),
            ("unix", socket.to_str().unwrap(), EPERM),
            ("abstract", &*name, EPERM),
        ];
        fenced(&host, &attempts).await;
    });
}

#[trial]
fn other_processes_are_out_of_reach() {
    run(async {
        let host = Host::new();
        let server = std::process::id().to_string();
        let mut attempts = vec![
            ("signal", &*server, EPERM),
            ("signal-group", "", EPERM),
            ("memory", &server, EACCES),
            ("pidfd", &server, EPERM),
            ("program", "", EPERM),
            ("fork", "", EPERM),
            ("survive", "", EPERM),
            ("raised", "", EPERM),
            ("limits", "", EPERM),
        ];
        // An ordinary user has none of these rights to begin with.
        if rustix::process::geteuid().is_root() {
            attempts.push(("capable", "", EPERM));
        }
        fenced(&host, &attempts).await;
        let held = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
        for what in ["attach", "ring", "namespace", "keyring", "capable", "program", "fork", "signal", "signal-group"] {
            assert_eq!(attempt(&held, what, &server).await, EPERM, "{what}");
        }
        // What was refused is known by name, with the permission that would allow it.
        let refused = used(&held).refused;
        for (act, least) in [
            ("look into a process (no permission allows it)", 1),
            ("start another process (`process` would allow it)", 2),
            ("send a signal to another process (no permission allows it)", 2),
            ("use io_uring (no permission allows it)", 1),
            ("use the kernel's keyrings (no permission allows it)", 1),
        ] {
            assert!(refused.get(act).is_some_and(|count| *count >= least), "{act}: {refused:?}");
        }
        held.unload_wholly().await;
    });
}

/// What the server has open for whatever program it starts is not open for a plugin.
#[trial]
fn descriptors_are_not_inherited() {
    run(async {
        let host = Host::new();
        let inherited = std::fs::File::create(host.dir().join("inherited")).unwrap();
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
        let held = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
        let free = host.serve_loaded(host.load_as(&library(), Isolation::None).await.unwrap()).await;
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::CLOEXEC).unwrap();
        let own = host.dir().canonicalize().unwrap().join("runners");
        let own = own.to_str().unwrap();
        assert_eq!(attempt(&held, "descriptors", own).await, "done");
        assert!(attempt(&free, "descriptors", own).await.contains("inherited"));
        held.unload_wholly().await;
        drop(free.unload().await);
    });
}

fn used(served: &Served) -> ProcessView {
    served.instance.process().expect("it has a process of its own")
}

/// Looks until it is so.
async fn until(served: &Served, what: &str, is_so: impl Fn(&ProcessView) -> bool) -> ProcessView {
    loop {
        let now = used(served);
        if is_so(&now) {
            return now;
        }
        assert!(served.instance.health().await.is_ok(), "{what}: {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// With control groups and without, where each is held to by other means.
const BY_OTHER_MEANS: [fn(Runners) -> Runners; 2] = [|runners| runners, Runners::without_control_groups];

/// A host whose plugins have directories of their own, and these bounds.
fn bounded(bounds: ProcessLimits, alter: fn(Runners) -> Runners) -> Host {
    let mut host = Host::new();
    let dirs = Some(host.dir().join("plugins"));
    host.loader = host.loader.with_surroundings(camlock_loader::Surroundings { dirs, ..Default::default() });
    host.bounds = bounds;
    host.alter.set(alter);
    host
}

#[trial]
fn who_uses_more_memory_than_it_may_is_ended_and_it_is_said() {
    run(async {
        for alter in BY_OTHER_MEANS {
            let host = bounded(ProcessLimits { memory: Some(96 << 20), ..ProcessLimits::default() }, alter);
            let loaded = host.load_as(&library(), Isolation::Process).await.unwrap();
            let died = loaded.instance.died();
            let served = host.serve_loaded(loaded).await;
            assert_eq!(served.post("/end/memory", "text/plain", "").await.status().as_u16(), 502);
            let told = died.await;
            assert!(told.starts_with("it used the 96 MiB that it may have (it was ended by SIG"), "{told}");
            served.unload_wholly().await;
        }
    });
}

#[trial]
fn who_uses_more_of_the_processor_than_it_may_is_slowed_and_it_is_said() {
    run(async {
        for alter in BY_OTHER_MEANS {
            let cpu = Some(CpuShare { percent: 10, burst: Duration::ZERO });
            let host = bounded(ProcessLimits { cpu, ..ProcessLimits::default() }, alter);
            let served = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
            assert_eq!(attempt(&served, "spin", "20000").await, "done");
            let now = until(&served, "slowed", |now| now.waited_milliseconds > 500).await;
            let told = now.states.iter().find(|state| state.starts_with("slowed: waited "));
            assert!(
                told.is_some_and(|told| told.ends_with(" % of the last 10 s, for it may have 10 % of a core")),
                "{now:?}"
            );
            assert!(now.memory_bytes > 0 && now.processes > 1 && now.id > 0 && now.cpu_milliseconds > 0, "{now:?}");
            assert_eq!(served.text("/fine").await, "fine");
            served.unload_wholly().await;
        }
    });
}

#[trial]
fn files_processes_and_disk_are_limited() {
    run(async {
        for alter in BY_OTHER_MEANS {
            let bounds =
                ProcessLimits { processes: Some(64), open_files: 80, disk: Some(2 << 20), ..ProcessLimits::default() };
            let host = bounded(bounds, alter);
            let loaded = host.load_as(&library(), Isolation::Process).await.unwrap();
            let died = loaded.instance.died();
            let served = host.serve_loaded(loaded).await;
            assert_eq!(attempt(&served, "files", "50").await, "done");
            assert_eq!(attempt(&served, "files", "90").await, EMFILE);
            // What lies there of the server's is not the plugin's.
            assert_eq!(attempt(&served, "store", "1100").await, "done");
            let now = until(&served, "counted", |now| now.disk_bytes >= 1100 << 10).await;
            assert!(now.disk_bytes < 2 << 20 && now.states.is_empty(), "{now:?}");
            // One file that is too long; then many that are together.
            assert_eq!(attempt(&served, "store", "3000").await, EFBIG);
            for _ in 0..3 {
                attempt(&served, "store", "900").await;
            }
            let now = until(&served, "full", |now| now.states.iter().any(|state| state.starts_with("full: "))).await;
            assert!(now.disk_bytes > 2 << 20, "{now:?}");
            assert_eq!(attempt(&served, "store", "1").await, EFBIG);
            // Threads and processes count alike.
            assert_eq!(attempt(&served, "threads", "20").await, "done");
            let outcome = attempt(&served, "threads", "100").await;
            if outcome == EAGAIN {
                assert_eq!(served.text("/fine").await, "fine");
            } else {
                // Root's are not counted by the kernel, and the one that counts them looks now and then.
                attempt(&served, "threads", "100000").await;
                let told = died.await;
                assert!(told.starts_with("it used more than the 64 processes and threads"), "{outcome}; {told}");
            }
            served.unload_wholly().await;
        }
    });
}

/// What it starts is held as it is, ends with it, and counts.
#[trial]
fn who_may_start_programs_starts_no_more_than_it_may() {
    run(async {
        let secret = tempfile::NamedTempFile::new_in(elsewhere()).unwrap();
        let secret = secret.path().to_str().unwrap();
        for alter in BY_OTHER_MEANS {
            let host = bounded(ProcessLimits { processes: Some(64), ..ProcessLimits::default() }, alter);
            *host.asks.lock().unwrap() = Some(vec!["process".to_owned()]);
            let loaded = host.load_as(&library(), Isolation::Process).await.unwrap();
            let died = loaded.instance.died();
            let served = host.serve_loaded(loaded).await;
            assert_eq!(attempt(&served, "program", "").await, "done");
            assert_eq!(attempt(&served, "program-reads", "/dev/null").await, "done");
            assert_eq!(attempt(&served, "program-reads", secret).await, EACCES);
            assert_eq!(attempt(&served, "programs", "10").await, "done");
            let outcome = attempt(&served, "programs", "300").await;
            if outcome == EAGAIN {
                assert_eq!(served.text("/fine").await, "fine");
            } else {
                // Root's are not counted by the kernel, and the one that counts them looks now and then.
                attempt(&served, "programs", "10000").await;
                let told = died.await;
                assert!(told.starts_with("it used more than the 64 processes and threads"), "{outcome}; {told}");
            }
            served.unload_wholly().await;
        }
    });
}

/// What `camlock doctor` tells is what a plugin's process would tell of itself.
#[trial]
fn what_there_is_can_be_asked_for() {
    run(async {
        let host = Host::new();
        let served = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
        let found = camlock_isolate::examine_fences().unwrap();
        assert_eq!(found.lacking, used(&served).lacking);
        served.unload_wholly().await;
    });
}

/// A library that is hostile already while it is verified.
#[trial]
fn what_is_verified_reaches_nobody() {
    run(async {
        let mut host = Host::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let elsewhere = host.dir().join("elsewhere");
        let attempts =
            format!("signal-parent connect={address} udp program fork ring survive write={}", elsewhere.display());
        let of = move |_: &str| [("ATTEMPTS".to_owned(), attempts.clone())].into_iter().collect();
        host.verifier = host.verifier.with_variables(Arc::new(of));
        let artifact = host.staging.stage(&library()).unwrap();
        let verdict = host.verifier.verify(&artifact).await.unwrap();
        assert!(matches!(&verdict, Verdict::Good(_)), "{verdict:?}");
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

/// What an execution failed at is known by what its process was refused meanwhile.
#[trial]
fn an_execution_that_is_refused_something_ends_by_that() {
    run(async {
        let host = Host::new();
        let served = host.serve_loaded(host.load_as(&library(), Isolation::Process).await.unwrap()).await;
        let data = PluginData::Sqlite(SqliteFile::at(host.dir().join("plugins.db")));
        let (plugins, settings) = (Arc::new(served.dispatch.deliveries(None)), ExecutionSettings::default());
        let runtime = tokio::runtime::Handle::current();
        let executor = Executor::new(plugins, camlock_loader::read_schema, data, settings, &runtime);
        let came = |attempt: &str| executor.execute(ExecutionOrder::new("escapes", attempt.into()));
        let refused = came("fork").await.unwrap();
        assert_eq!(refused.status, ExecutionStatus::SecurityViolation, "{:?}", refused.error);
        let told = refused.error.unwrap();
        assert!(
            told.ends_with("its process was refused to start another process (`process` would allow it)"),
            "{told}"
        );
        let failed = came("nothing").await.unwrap();
        assert_eq!(failed.status, ExecutionStatus::Error, "{:?}", failed.error);
        drop(executor);
        served.unload_wholly().await;
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
            ("hang-up", "it was ended by the server, because it closed its sockets to it"),
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
            assert_eq!(served.dispatch.meters().of("escapes").all_lost(), 2, "{how}");
            let body = String::from_utf8_lossy(answer.body()).into_owned();
            assert!(body.contains("\"plugin\":\"escapes\"") && body.contains("process ended"), "{body}");
            let told = tokio::time::timeout(Duration::from_secs(120), died).await.expect("it is told");
            assert!(told.starts_with(why), "{how}: {told}");
            // What comes later was never sent to it: it is for whatever takes its place.
            let next = host.load_as(&library(), Isolation::Process).await.unwrap();
            next.instance.start().await.unwrap();
            let (farewell, told) = tokio::sync::watch::channel(false);
            let serving = Serving::of(&next, 2, RequestLimits::default(), told).unwrap();
            let replacing = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                served.dispatch.publish(vec![serving.routed(Vec::new())]);
            };
            let begun = std::time::Instant::now();
            let (later, ()) = tokio::join!(served.get("/fine"), replacing);
            assert!(
                later.status().as_u16() == 200 && begun.elapsed() >= Duration::from_millis(300),
                "{how}: {later:?}"
            );
            served.dispatch.publish(Vec::new());
            let Loaded { instance, mut ending, .. } = next;
            instance.shutdown().await.unwrap();
            drop((instance, farewell));
            ending.wait_for(|ending| matches!(ending, Ending::Unmapped { .. })).await.unwrap();
            assert_eq!(served.instance.health().await.unwrap_err().kind, FaultKind::Ended);
            assert!(matches!(served.unload().await, Ending::Unmapped { .. }));
        }
        let left = std::fs::read_dir(host.dir().join("runners")).unwrap().count();
        assert_eq!(left, 0, "nothing of them is left");
    });
}
