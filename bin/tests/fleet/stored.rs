//! Values that a plugin keeps are the fleet's: in PostgreSQL, under one count of revisions.

use crate::Fleet;
use camlock_testing::{Fixtures, Server, request_with};
use std::{fs, thread};

const PATH: &str = "/api/v1/p/keeping";

fn ask(server: &Server, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = request_with(server.address, method, &format!("{PATH}{path}"), &[], body).unwrap();
    (answer.status, answer.text)
}

#[test]
fn what_one_keeps_all_have() {
    let fleet = Fleet::of(2, &[]);
    for node in &fleet.nodes {
        fs::create_dir_all(node.site.path("plugins")).unwrap();
        fs::copy(Fixtures::quick().library("keeping"), node.site.path("plugins/keeping.so")).unwrap();
    }
    let [one, two] = &fleet.nodes[..] else { panic!("there are two") };
    one.server.until_serving("keeping");
    two.server.until_serving("keeping");
    // Of all that want to be first one is, wherever they ask.
    let first = thread::scope(|scope| {
        let asks: Vec<_> = (0..16)
            .map(|number| {
                let server = if number % 2 == 0 { &one.server } else { &two.server };
                scope.spawn(move || ask(server, "PUT", "/values/first?absent=1", &number.to_string()).0)
            })
            .collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).filter(|status| *status == 200).count()
    });
    assert_eq!(first, 1);
    assert_eq!(ask(&one.server, "GET", "/values/first", ""), ask(&two.server, "GET", "/values/first", ""));

    // What the one puts the other is told.
    let address = two.server.address;
    let watching =
        thread::spawn(move || request_with(address, "GET", &format!("{PATH}/watch/3"), &[], "").unwrap().text);
    assert_eq!(ask(&one.server, "PUT", "/values/second", "x").0, 200);
    assert_eq!(ask(&one.server, "DELETE", "/values/first", "").0, 200);
    assert_eq!(ask(&one.server, "PUT", "/values/third", "x").0, 200);
    let told = watching.join().unwrap();
    assert!(told.ends_with("+third") && told.contains("-first") || told == "+first +second -first", "{told}");
    assert_eq!(fleet.sql("SELECT count(*) FROM camlock.plugin_storage WHERE plugin = 'keeping'"), "3");
}
