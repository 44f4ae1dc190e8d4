//! Each act by which a plugin would get out, against each fence that holds it, with no other there; and without any.

use super::{attempt, bounded, elsewhere, library, used};
use crate::harness::{Host, Served, run};
use camlock_isolate::FencePart;
use camlock_policy::ProcessLimits;
use camlock_testing::trial;
use std::{
    net::TcpListener,
    os::{linux::net::SocketAddrExt, unix::net},
    process::{Child, Command},
};

const LANDLOCK: FencePart = FencePart::Landlock;
const SCOPES: FencePart = FencePart::LandlockScopes;
const SECCOMP: FencePart = FencePart::Seccomp;
const ASKING: FencePart = FencePart::SeccompAsking;
const NAMESPACES: FencePart = FencePart::Namespaces;
const MOUNTS: FencePart = FencePart::Mounts;

/// EPERM, ENOENT, ESRCH, EACCES, EROFS, ENETUNREACH, ECONNREFUSED.
const REFUSED: [&str; 7] = ["1", "2", "3", "13", "30", "101", "111"];

/// One fence, and what is absent where it stands alone.
const ALONE: [(FencePart, &[FencePart]); 4] = [
    (LANDLOCK, &[SCOPES, SECCOMP, NAMESPACES]),
    (SCOPES, &[SECCOMP, NAMESPACES]),
    (SECCOMP, &[LANDLOCK, NAMESPACES]),
    (NAMESPACES, &[LANDLOCK, SECCOMP]),
];

/// Ended when dropped.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn serve_without(host: &Host, absent: &[FencePart]) -> Served {
    host.serve_loaded(host.load_without(&library(), absent, false).await.unwrap()).await
}

#[trial]
fn each_holds_what_it_is_for_by_itself() {
    run(async {
        let host = bounded(ProcessLimits::default(), |runners| runners);
        let place = tempfile::tempdir_in(elsewhere()).unwrap();
        let [secret, new] = ["secret", "new"].map(|name| place.path().join(name));
        std::fs::write(&secret, "secret").unwrap();
        let (secret, new, dir) = (secret.to_str().unwrap(), new.to_str().unwrap(), place.path().to_str().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let name = format!("camlock-fences-{}", std::process::id());
        let _abstract = net::UnixListener::bind_addr(&net::SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let socket = host.dir().join("socket");
        let _socket = net::UnixListener::bind(&socket).unwrap();
        let socket = socket.to_str().unwrap();
        let victim = Victim(Command::new("sleep").arg("600").spawn().unwrap());
        let other = victim.0.id().to_string();
        // What the dropped capabilities of root refuse besides.
        let as_root = rustix::process::geteuid().is_root();
        let acts: [(&str, &str, &[FencePart]); 25] = [
            ("read", secret, &[LANDLOCK]),
            ("list", dir, &[LANDLOCK]),
            ("list", "/proc", &[LANDLOCK]),
            ("write", new, &[LANDLOCK, NAMESPACES]),
            ("link", secret, &[LANDLOCK]),
            ("swap", secret, &[LANDLOCK]),
            ("device", "/dev/ptmx", &[LANDLOCK]),
            ("connect", &address, &[LANDLOCK, SECCOMP, NAMESPACES]),
            ("listen", "", &[LANDLOCK, SECCOMP]),
            ("udp", "", &[SECCOMP]),
            ("unix", socket, &[SECCOMP, NAMESPACES]),
            ("abstract", &name, &[SCOPES, SECCOMP, NAMESPACES]),
            ("signal", &other, &[SCOPES, SECCOMP, NAMESPACES]),
            ("signal-group", "", &[SECCOMP]),
            ("memory", &other, &[LANDLOCK, NAMESPACES]),
            ("attach", &other, &[LANDLOCK, SECCOMP, NAMESPACES]),
            ("pidfd", &other, &[SECCOMP, NAMESPACES]),
            ("program", "", &[LANDLOCK, SECCOMP]),
            ("fork", "", &[SECCOMP]),
            ("survive", "", &[SECCOMP]),
            ("limits", "", &[SECCOMP]),
            ("ring", "", &[SECCOMP]),
            ("namespace", "", &[SECCOMP]),
            ("keyring", "", &[SECCOMP]),
            ("type", "", &[SECCOMP]),
        ];
        let open = serve_without(&host, &[LANDLOCK, SECCOMP, NAMESPACES]).await;
        for (fence, absent) in ALONE {
            let held = serve_without(&host, absent).await;
            for (act, upon, held_by) in acts {
                let outcome = attempt(&held, act, upon).await;
                // A fence that holds less than it might is no mistake; one that this test does not know of would be.
                let holds = held_by.contains(&fence);
                assert!(!holds || REFUSED.contains(&&*outcome), "{act} {upon}, by {fence:?} alone: {outcome}");
            }
            held.unload_wholly().await;
        }
        for (act, upon, _) in acts {
            let outcome = attempt(&open, act, upon).await;
            let by_rights = as_root && ["memory", "attach"].contains(&act);
            assert!(by_rights || !REFUSED.contains(&&*outcome), "{act} {upon}, without any: {outcome}");
        }
        // An older Landlock closes files and ports, and nothing else.
        let older = serve_without(&host, &[SCOPES, SECCOMP, NAMESPACES]).await;
        for (act, upon) in [("signal", &other), ("abstract", &name)] {
            assert_eq!(attempt(&older, act, upon).await, "done", "{act}");
        }
        older.unload_wholly().await;
        open.unload_wholly().await;
    });
}

/// Every combination of what a machine may lack: told, or not run at all, as was decided.
#[trial]
fn what_is_lacking_is_told_or_refused() {
    const LANDLOCKS: [&[FencePart]; 3] = [&[], &[SCOPES], &[LANDLOCK]];
    const SECCOMPS: [&[FencePart]; 3] = [&[], &[ASKING], &[SECCOMP]];
    const SPACES: [&[FencePart]; 3] = [&[], &[MOUNTS], &[NAMESPACES]];
    let words = |part: &FencePart| match part {
        FencePart::Landlock => "this kernel has no Landlock: files are not closed",
        FencePart::LandlockScopes => {
            "this kernel's Landlock is older than what closes ports, signals and abstract sockets"
        }
        FencePart::Seccomp => "system calls are not filtered (seccomp)",
        FencePart::SeccompAsking => "nobody hears of the system calls that are refused (seccomp)",
        FencePart::Namespaces => "no namespaces can be made",
        FencePart::Mounts => "mounts cannot be changed for it",
    };
    run(async {
        let (host, library) = (Host::new(), &library());
        let landlocks = LANDLOCKS.iter().flat_map(|one| SECCOMPS.map(|other| [*one, other].concat()));
        let combinations = landlocks.flat_map(|parts| SPACES.map(|spaces| [&*parts, spaces].concat()));
        let combinations: Vec<_> = combinations.filter(|absent| !absent.is_empty()).collect();
        assert_eq!(combinations.len(), 26);
        for absent in &combinations {
            let Err(why) = host.load_without(library, absent, true).await else {
                panic!("{absent:?} is not asked for")
            };
            let lacking = why.strip_prefix("it would not be held as `isolation.require` asks: ").expect(&why);
            assert!(absent.iter().all(|part| lacking.contains(words(part))), "{absent:?}: {why}");
            // One of them by itself, or all.
            if absent.len() == 1 || absent.len() == 3 && absent.contains(&LANDLOCK) && absent.contains(&SECCOMP) {
                let served = host.serve_loaded(host.load_without(library, absent, false).await.unwrap()).await;
                assert_eq!(used(&served).lacking.join("; "), lacking);
                assert_eq!(served.text("/fine").await, "fine", "{absent:?}");
                served.unload_wholly().await;
            }
        }
        host.load_without(library, &[], true).await.expect("this machine has all of it");
    });
}
