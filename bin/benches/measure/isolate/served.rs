//! With HTTP, as clients see it: servers with the same plugins, one that keeps them in its process and two that isolate them, with and
//! without a limit of the processor, in runs that alternate. And what is served while an isolated plugin is reloaded.

use super::{processes_used, swap};
use crate::common::{
    client::throughput,
    connection::Connection,
    household::beneath,
    memory::{private, resident},
    report::{Better, Row},
};
use camlock_testing::{Fixtures, Server, Site};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const PAIRS: usize = 20;
const WARM_UP: usize = 2;
const RUN: Duration = Duration::from_millis(250);
const ONE_BY_ONE: usize = 500;
const GIB: u64 = 1 << 30;
const RELOADED: u64 = 1_000_000;

/// A server, and the place where it lies.
struct Side {
    server: Server,
    _site: Site,
}

impl Side {
    fn start(site: Site, settings: &str) -> Self {
        site.configure(settings);
        site.write("plugins/burden.rs", include_str!("burden.rs.txt"));
        for name in ["hello", "features"] {
            let library = Fixtures::release().library(name);
            fs::copy(&library, site.plugins().join(library.file_name().expect("a name"))).expect("a copy");
        }
        let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error").args(["--profile", "release"]));
        server.until_status("/api/v1/p/burden/", 200);
        server.until_status("/api/v1/p/hello/hello", 200);
        server.until_serving("features");
        Side { server, _site: site }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Requests a second, and microseconds of the processor for each.
    fn run(&self, runtime: &Runtime, request: &[u8], at_once: usize) -> (f64, f64) {
        let processes = self.processes();
        let (began, used) = (Instant::now(), processes_used(&processes));
        let rate = runtime.block_on(throughput(self.address(), request, at_once, RUN));
        let busy = (processes_used(&processes) - used) / began.elapsed().as_secs_f64();
        (rate, busy / rate)
    }

    /// The median of requests one after the other, in microseconds.
    fn one_by_one(&self) -> f64 {
        let mut connection = Connection::new(self.address());
        let mut times: Vec<f64> = (0..ONE_BY_ONE)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(connection.get("/api/v1/p/hello/hello", "").0, 200);
                began.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[ONE_BY_ONE / 2]
    }

    /// The server's, and the plugins' where they have some.
    fn processes(&self) -> Vec<u32> {
        beneath(self.server.pid()).into_iter().collect()
    }

    /// The plugins' processes: those that have none beneath them, not those that made room for them.
    fn runners(&self) -> Vec<u32> {
        let all = self.processes().into_iter().filter(|process| *process != self.server.pid());
        all.filter(|process| beneath(*process).len() == 1).collect()
    }
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

pub fn rows() -> Vec<Row> {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    let inside = Side::start(site.beside("inside"), "plugins.isolation = \"none\"");
    let isolated = Side::start(site.beside("isolated"), "plugins.isolation = \"process\"\nlimits.cpu = \"unlimited\"");
    let limited = Side::start(site.beside("limited"), "plugins.isolation = \"process\"");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (hello, work, [_, echo]) =
        (request("/api/v1/p/hello/hello"), request("/api/v1/p/burden/work"), crate::dispatch::requests());
    let mut samples: [Vec<f64>; 6] = Default::default();
    for pair in 0..PAIRS + WARM_UP {
        // Each goes first half of the time.
        let both = |run: &dyn Fn(&Side) -> (f64, f64)| {
            if pair % 2 == 0 {
                let first = run(&inside);
                (first, run(&isolated))
            } else {
                let first = run(&isolated);
                (run(&inside), first)
            }
        };
        let (one, other) = both(&|side| side.run(&runtime, &hello, 32));
        let bounded = limited.run(&runtime, &hello, 32);
        let (alone, beside) = both(&|side| (side.one_by_one(), 0.0));
        let (works, works_beside) = both(&|side| side.run(&runtime, &work, 8));
        let (echoes, echoes_beside) = both(&|side| side.run(&runtime, &echo, 32));
        let of_pair = [
            other.1 - one.1,
            other.0 / one.0,
            bounded.0 / one.0,
            beside.0 - alone.0,
            (works.0 / works_beside.0 - 1.0) * 100.0,
            echoes_beside.0 / echoes.0,
        ];
        if pair >= WARM_UP {
            samples.iter_mut().zip(of_pair).for_each(|(samples, sample)| samples.push(sample));
        }
    }
    let [dearer, ratio, bounded, slower, overhead, echoes] = samples;
    let (lower, higher) = (Better::Lower, Better::Higher);
    let mut rows = vec![
        Row::median("hello, 32 at once: processor, over in process", "µs", lower, &dearer).must(4.0, 2.0),
        Row::median("hello, 32 at once ÷ in process", "×", higher, &ratio).must(0.8, 0.9),
        Row::median("the same with the usual limit of the processor", "×", higher, &bounded),
        Row::median("hello, one at a time, p50, over in process", "µs", lower, &slower).must(25.0, 15.0),
        Row::median("works for 100 µs, 8 at once, over in process", "%", lower, &overhead).must(10.0, 3.0),
        Row::median("4 KiB of JSON ÷ in process", "×", higher, &echoes).must(0.6, 0.8),
    ];
    rows.extend(bulk(&isolated));
    let memory: Vec<f64> = isolated.runners().into_iter().map(private).collect();
    rows.push(Row::median("private memory of a runner that served", "MB", lower, &memory).must(4.0, 2.0));
    rows.push(reloaded(&site.beside("reloaded")));
    rows
}

/// A gigabyte through a body: how fast, and by how much the server and the runner grew.
fn bulk(side: &Side) -> Vec<Row> {
    let all = || side.processes().into_iter().map(resident).sum::<f64>();
    let mut rates = Vec::new();
    let mut grown = 0.0_f64;
    for _ in 0..5 {
        let before = all();
        let mut stream = TcpStream::connect(side.address()).expect("a connection");
        write!(
            stream,
            "GET /api/v1/p/features/download/{GIB} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .expect("it can be sent");
        let (began, mut total, mut buffer) = (Instant::now(), 0_u64, vec![0; 256 * 1024]);
        loop {
            let count = stream.read(&mut buffer).expect("a body");
            if count == 0 {
                break;
            }
            total += count as u64;
        }
        assert!(total >= GIB, "{total} bytes");
        rates.push(GIB as f64 / began.elapsed().as_secs_f64() / 1e9);
        grown = grown.max(all() - before);
    }
    vec![
        Row::median("1 GiB through a body", "GB/s", Better::Higher, &rates).must(2.0, 4.0),
        Row::count("memory of both processes meanwhile, more by", "MB", Better::Lower, grown),
    ]
}

/// Requests of which none may fail, while their isolated plugin is reloaded again and again.
fn reloaded(site: &Site) -> Row {
    site.configure("plugins.isolation = \"process\"\nlimits.cpu = \"unlimited\"");
    let (requests, failed, reloads) = swap::until_answered(site, RELOADED);
    println!("isolated: {failed} of {requests} requests failed over {reloads} reloads");
    Row::count("failed of a million over reloads, isolated", "", Better::Lower, failed as f64).must(0.0, 0.0)
}
