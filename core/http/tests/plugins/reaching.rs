//! Which hosts a plugin in a process of its own reaches, by whatever it connects.

use crate::harness::{Host, Served, run};
use camlock_isolate::{FencePart, Runners};
use camlock_policy::Isolation;
use camlock_testing::{Fixtures, trial};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    thread,
};

const EPERM: &str = "1";
const REFUSED_BY_PEER: &str = "111";
const WAYS: [&str; 4] = ["std", "timeout", "tokio", "reqwest"];

fn library() -> PathBuf {
    Fixtures::quick().library("reaching")
}

/// A server that says this to everybody, whose thread ends with the program.
fn greeter(greeting: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            thread::spawn(move || {
                let mut asked = [0; 4096];
                if stream.read(&mut asked).is_ok_and(|count| count > 0) {
                    let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{greeting}", greeting.len());
                }
            });
        }
    });
    address
}

async fn with(host: &Host, asks: &[String], isolation: Isolation) -> Served {
    *host.asks.lock().unwrap() = Some(asks.to_vec());
    host.serve_loaded(host.load_as(&library(), isolation).await.unwrap()).await
}

async fn reach(served: &Served, how: &str, to: impl ToString) -> String {
    let answer = served.post(&format!("/{how}"), "text/plain", to.to_string()).await;
    String::from_utf8_lossy(answer.body()).into_owned()
}

fn refused(served: &Served) -> Vec<String> {
    served.instance.process().expect("it has a process of its own").refused.into_keys().collect()
}

/// In namespaces of its own, and where there are none.
const BOTH: [fn(Runners) -> Runners; 2] = [|runners| runners, |runners| runners.without(&[FencePart::Namespaces])];

#[trial]
fn hosts_that_were_granted_and_no_others() {
    run(async {
        let (granted, other) = (greeter("granted"), greeter("other"));
        let port = granted.port();
        let private = "network:private".to_owned();
        let host = Host::new();
        // It is the fence that makes the difference.
        let free = with(&host, &[], Isolation::None).await;
        for way in WAYS {
            assert_eq!(reach(&free, way, other).await, "other", "{way}");
        }
        drop(free.unload().await);
        for alter in BOTH {
            host.alter.set(alter);
            for name in ["127.0.0.1", "localhost"] {
                let asks = [format!("network:{name}:{port}"), private.clone()];
                let held = with(&host, &asks, Isolation::Process).await;
                for way in WAYS {
                    assert_eq!(reach(&held, way, format!("{name}:{port}")).await, "granted", "{way} {name}");
                    assert_eq!(reach(&held, way, other).await, EPERM, "{way}");
                }
                assert_eq!(reach(&held, "often", granted).await, "often");
                for (how, upon) in [("fast", granted.to_string()), ("listen", "127.0.0.1:0".to_owned())] {
                    assert_eq!(reach(&held, how, upon).await, EPERM, "{how}");
                }
                assert_eq!(reach(&held, "listen-anywhere", "").await, EPERM);
                assert_eq!(reach(&held, "udp", "127.0.0.1:0").await, EPERM);
                let told = refused(&held);
                let of_name = if name == "localhost" { "localhost:" } else { "" };
                let expected = if of_name.is_empty() {
                    format!("connect to {other} (`network:{other}` would allow it)")
                } else {
                    let port = other.port();
                    format!("connect to localhost:{port} (127.0.0.1) (`network:localhost:{port}` would allow it)")
                };
                assert!(told.contains(&expected), "{told:?}");
                held.unload_wholly().await;
            }
        }
    });
}

#[trial]
fn private_networks_are_a_permission_of_their_own() {
    run(async {
        let address = greeter("reached");
        let host = Host::new();
        for (asks, expected, told) in [
            (
                vec![format!("network:{address}")],
                EPERM,
                format!("connect to {address}, which lies in a private network (`network:private` would allow it)"),
            ),
            (vec!["network:private".to_owned()], EPERM, "use the network (`network:HOST` would allow it)".to_owned()),
            (
                vec!["network:*:1".to_owned(), "network:private".to_owned()],
                EPERM,
                format!("connect to {address} (`network:{address}` would allow it)"),
            ),
            (vec!["network:*".to_owned(), "network:private".to_owned()], "reached", String::new()),
        ] {
            let held = with(&host, &asks, Isolation::Process).await;
            for way in WAYS {
                assert_eq!(reach(&held, way, address).await, expected, "{way} {asks:?}");
            }
            let refused = refused(&held);
            assert!(told.is_empty() && refused.is_empty() || refused.contains(&told), "{asks:?}: {refused:?}");
            held.unload_wholly().await;
        }
    });
}

/// What goes wrong goes wrong as it would without anybody between.
#[trial]
fn nobody_who_answers() {
    run(async {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let host = Host::new();
        let asks = ["network:*".to_owned(), "network:private".to_owned()];
        let held = with(&host, &asks, Isolation::Process).await;
        for way in WAYS {
            assert_eq!(reach(&held, way, closed).await, REFUSED_BY_PEER, "{way}");
        }
        held.unload_wholly().await;
    });
}

/// The C library's resolver, which knows nothing of this.
#[trial]
fn names_that_were_granted_are_looked_up_and_no_others() {
    run(async {
        let host = Host::new();
        for alter in BOTH {
            host.alter.set(alter);
            let held = with(&host, &["network:localhost:1".to_owned()], Isolation::Process).await;
            assert_eq!(reach(&held, "look-up", "localhost").await, "[127, 0, 0, 1]");
            assert_eq!(reach(&held, "look-up", "secret.example").await, "nothing");
            let told = "look up secret.example (`network:secret.example` would allow it)".to_owned();
            assert!(refused(&held).contains(&told), "{:?}", refused(&held));
            assert_eq!(refused(&held).len(), 1, "{:?}", refused(&held));
            held.unload_wholly().await;
        }
    });
}

/// Where the kernel does not ask, ports are held to, and it is told that hosts are not.
#[trial]
fn without_anybody_to_ask() {
    run(async {
        let (granted, other) = (greeter("granted"), greeter("other"));
        let host = Host::new();
        host.alter.set(|runners| runners.without(&[FencePart::Seccomp]));
        let asks = [format!("network:203.0.113.7:{}", granted.port())];
        let held = with(&host, &asks, Isolation::Process).await;
        assert_eq!(reach(&held, "std", granted).await, "granted");
        assert_eq!(reach(&held, "std", other).await, "13");
        let lacking = held.instance.process().unwrap().lacking;
        assert!(lacking.iter().any(|told| told.ends_with("ports are held to, and hosts are not")), "{lacking:?}");
        held.unload_wholly().await;
    });
}
