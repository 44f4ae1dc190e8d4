//! Dispatch with 10,000 routes in 1,000 mounts, against dispatch with one: the same loaded plugin, the same server, short runs
//! that alternate.

use crate::common::{
    client::throughput_of,
    host::Host,
    pin,
    report::{Better, Row, finish},
    servers::Peer,
};
use camlock_http::{Dispatch, Front, FrontOptions};
use camlock_loader::on_thread_park;
use camlock_policy::{Publish, RequestLimits, routes::Serving};
use camlock_testing::Fixtures;
use std::{
    io::Read,
    process::{Command, ExitCode},
    time::Duration,
};
use tokio::sync::watch;

const PAIRS: usize = 40;
const RUN: Duration = Duration::from_millis(250);
const MOUNTS: usize = 1_000;
const CLAIMS: usize = 10;

pub fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    if arguments.get(2).map(String::as_str) == Some("--serve") {
        serve_mounts(arguments[3].parse().expect("a number of mounts"));
        return ExitCode::SUCCESS;
    }
    let _ = Fixtures::release();
    pin(0);
    let start = |mounts: usize| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        Peer::start(command.args(["routes", "--serve", &mounts.to_string()]))
    };
    let (many, one) = (start(MOUNTS), start(1));
    pin(1);
    // Requests of one length, which go round the mounts.
    let requests = |mounts: usize| -> Vec<Vec<u8>> {
        let path = |mount: usize| format!("/api/v1/p/mount{:04}/hello", mount);
        (0..MOUNTS)
            .map(|index| format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(index % mounts)).into_bytes())
            .collect()
    };
    let (to_many, to_one) = (requests(MOUNTS), requests(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = |peer: &Peer, requests: &[Vec<u8>]| runtime.block_on(throughput_of(peer.address, requests, 32, RUN));
    let ratios: Vec<f64> = (0..PAIRS + 2)
        .map(|pair| {
            if pair % 2 == 0 {
                let many = run(&many, &to_many);
                many / run(&one, &to_one)
            } else {
                let one = run(&one, &to_one);
                run(&many, &to_many) / one
            }
        })
        .skip(2)
        .collect();
    let row = Row::median("10,000 claimed paths in 1,000 mounts ÷ 1 mount", "×", Better::Higher, &ratios);
    finish("routes", &[row.must(0.97, 1.0)])
}

fn serve_mounts(mounts: usize) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let host = Host::new();
        let artifact = host.verified(&Fixtures::release().library("hello")).await;
        let loaded = host.loader.load(&artifact, (1, "{}")).await.expect("it can be loaded");
        let (_farewell, told) = watch::channel(false);
        let routed = (0..mounts).map(|index| {
            let serving = Serving::of(&loaded, 1, RequestLimits::default(), told.clone()).expect("it is alive");
            let serving = Serving { name: format!("mount{index:04}").as_str().into(), ..serving };
            serving.routed((0..CLAIMS).map(|claim| format!("/claim{index:04}/{claim}/*")).collect())
        });
        let dispatch = Dispatch::default();
        dispatch.publish(routed.collect());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let options = FrontOptions { threads: 1, on_thread_park: Some(on_thread_park), ..FrontOptions::default() };
        let front = Front::start(listener, dispatch, options).expect("a front");
        println!("{}", front.address());
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        ended.await.expect("no panic").expect("an end");
    });
}
