//! Servers to compare.

use super::{
    client::throughput,
    report::{Better, Row},
};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

const PAIRS: usize = 40;
const RUN: Duration = Duration::from_millis(250);

/// A server in a process of its own, which prints its address first and ends when its standard input does.
pub struct Peer {
    child: Child,
    pub address: SocketAddr,
}

impl Peer {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("its address");
        Peer { address: line.trim().parse().expect("an address"), child }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The median ratio of requests a second, from short runs that alternate.
pub fn compare(case: &'static str, request: &[u8], ours: SocketAddr, theirs: SocketAddr) -> Row {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = |server| runtime.block_on(throughput(server, request, 32, RUN));
    let ratios: Vec<f64> = (0..PAIRS + 2)
        .map(|pair| {
            // Each goes first half of the time.
            if pair % 2 == 0 {
                let ours = run(ours);
                ours / run(theirs)
            } else {
                let theirs = run(theirs);
                run(ours) / theirs
            }
        })
        .skip(2)
        .collect();
    Row::median(case, "×", Better::Higher, &ratios)
}
