//! Values that plugins keep, while servers and databases are killed: what was acknowledged is there, and every batch is whole or not
//! there at all.

use crate::world::*;
use camlock_testing::{Fixtures, Server, request_with, rounds};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

const PATH: &str = "/api/v1/p/keeping";
const PARTS: [&str; 3] = ["a", "b", "c"];

fn put_there(world: &World) {
    fs::copy(Fixtures::quick().library("keeping"), world.site.path("plugins/keeping.so")).unwrap();
}

/// Writes batches, each with a number of its own, until one is not acknowledged: that one's number. Some were acknowledged when this is
/// back.
fn write(address: SocketAddr, first: u32) -> JoinHandle<u32> {
    let (tell, told) = mpsc::channel();
    let writing = thread::spawn(move || {
        let headers = [("content-type", "application/json")];
        for number in first.. {
            let value = number.to_string();
            let batch = PARTS.map(|part| json!({ "key": format!("{number:06}/{part}"), "value": value }));
            match request_with(address, "POST", &format!("{PATH}/batch"), &headers, &json!(batch).to_string()) {
                Ok(answer) if answer.status == 200 => drop(tell.send(())),
                _ => return number,
            }
        }
        0
    });
    told.iter().take(3).count();
    writing
}

/// The one after the last that was acknowledged may be there or not.
fn all_are_there(server: &Server, first: u32, unknown: u32) {
    for number in first..=unknown {
        let keys = server
            .until(|server| server.get(&format!("{PATH}/values?prefix={number:06}/")), |answer| answer.status == 200);
        let whole = PARTS.map(|part| format!("{number:06}/{part}")).join(" ") + " | ";
        assert!(keys.text == whole || number == unknown && keys.text == " | ", "{number}: {:?}", keys.text);
    }
}

pub(crate) fn killed_in_the_middle_of_batches(world: &World) {
    put_there(world);
    let mut server = world.serve();
    let (mut next, mut acknowledged) = (0, 0);
    for round in 0..rounds(10) {
        server.until_serving("keeping");
        let writing = write(server.address, next);
        // Not always at the same place.
        thread::sleep(Duration::from_millis(40 + 13 * (round as u64 % 7)));
        server.kill();
        let unknown = writing.join().unwrap();
        acknowledged += unknown - next;
        server = world.serve();
        server.until_serving("keeping");
        all_are_there(&server, next, unknown);
        next = unknown + 1;
    }
    assert!(acknowledged > 20, "only {acknowledged} batches were done");
}

#[test]
fn of_a_database_that_is_killed() {
    let world = World::apart();
    put_there(&world);
    let server = world.serve();
    server.until_serving("keeping");
    let mut next = 0;
    for round in 0..rounds(3) {
        let writing = write(server.address, next);
        thread::sleep(Duration::from_millis(40 + 13 * (round as u64 % 7)));
        world.server().kill();
        let unknown = writing.join().unwrap();
        world.server().start_again();
        all_are_there(&server, next, unknown);
        next = unknown + 1;
    }
}
