//! A fault in the process: the parent replaces the server, who waits is answered, and the culprit is known.

use crate::site;
use camlock_testing::{Server, Site, request, single};
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

/// A plugin that does what a file tells it to, when it is created, started and shut down; and at paths what these are called.
fn fatal(site: &Site, version: u32) -> String {
    let act = site.path("act");
    let act = format!("{:?}", act.display().to_string());
    include_str!("contained/fatal.rs.txt").replace("ACT", &act).replace("VERSION", &version.to_string())
}

/// What waits until it is told to go on, and what answers at once.
fn slow(text: &str) -> String {
    single(text).replace(
        r#".route("/","#,
        r#".route("/slow", get(|| async { std::future::pending::<&str>().await })).route("/","#,
    )
}

/// What a command prints.
fn printed(site: &Site, arguments: &[&str]) -> String {
    let output = site.command().args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The server's own process, the child of the one that was started.
fn process(server: &Server) -> u32 {
    let health = server.get_as_admin("/_/health").json();
    assert_eq!(health["parent"], server.pid(), "{health}");
    u32::try_from(health["process"].as_u64().unwrap()).unwrap()
}

fn signal(signal: &str, process: u32) {
    std::process::Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
}

/// Waits until another process serves, and the plugin is under quarantine for this reason, wherever one looks.
fn expect_quarantined(site: &Site, server: &Server, before: u32, reason: &str) {
    server.until_text("/api/v1/p/steady/", "steady");
    assert_ne!(process(server), before);
    let plugin = server.until_plugin("fatal", |plugin| plugin["state"] == "quarantined");
    let told = plugin["failed"]["reason"].as_str().unwrap();
    assert!(told.contains(reason), "{told}");
    assert!(told.contains("`camlock isolate fatal process`"), "{told}");
    for command in [&["events", "--plugin", "fatal"][..], &["show", "fatal"], &["list"], &["doctor"]] {
        let printed = printed(site, command);
        assert!(printed.contains(reason), "camlock {}: {printed}", command.join(" "));
    }
}

/// An operator has it tried again.
fn pardon(server: &Server) {
    let answer = server.post("/api/v1/plugins/fatal/reload");
    assert_eq!(answer.status, 200, "{}", answer.text);
    server.until_status("/api/v1/p/fatal/", 200);
}

#[test]
fn each_kind_of_fault_costs_a_moment_and_puts_one_plugin_out() {
    let site = site();
    site.write("plugins/steady.rs", &slow("steady"));
    site.write("plugins/fatal.rs", &fatal(&site, 1));
    let server = site.start_with_parent(|_| {});
    server.until_text("/api/v1/p/steady/", "steady");
    server.until_text("/api/v1/p/fatal/", "1");
    for (how, reason) in [
        ("segment", "the server ended with SIGSEGV in its code while it served"),
        ("abort", "the server ended with SIGABRT in its code while it served"),
        ("jump", "the server ended with SIGSEGV in its code while it served"),
        ("overflow", "the server ended with SIGSEGV in its code while it served"),
        ("exit", "the server was ended by a call of `exit` in its code while it served"),
        ("thread", "the server ended with SIGSEGV in its code while it served"),
        ("thread-overflow", "the server ended with SIGSEGV in its code while it served"),
    ] {
        let before = process(&server);
        // What is under way is lost; who waits to be let in is not.
        let mut lost = TcpStream::connect(server.address).unwrap();
        write!(lost, "GET /api/v1/p/steady/slow HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        server.until_plugin("steady", |plugin| plugin["serving"]["in_flight"] == 1);
        let load = (how == "segment").then(|| server.load("/api/v1/p/steady/"));
        let _ = request(server.address, "GET", &format!("/api/v1/p/fatal/fail/{how}"), &[]);
        assert_eq!(lost.read(&mut [0]).unwrap_or_default(), 0, "it was answered");
        expect_quarantined(&site, &server, before, reason);
        // What was lost is counted by plugin, and told.
        let told = printed(&site, &["events", "--plugin", "steady"]);
        assert!(told.contains("lost") && told.contains("requests: "), "{told}");
        if load.is_none() {
            let metrics = server.get_as_admin("/metrics").text;
            assert!(metrics.contains("camlock_plugin_requests_lost_total{plugin=\"steady\"} 1\n"), "{metrics}");
        }
        if let Some(load) = load {
            let (good, bad) = load.end();
            // Each of its two may have had one under way.
            assert!(good > 0 && bad.len() <= 2, "{good} {bad:#?}");
        }
        pardon(&server);
    }
    // It leaves no word: whose code ran is known, and twice is once too often.
    for times in 1..=2 {
        let before = process(&server);
        let _ = request(server.address, "GET", "/api/v1/p/fatal/fail/exit-at-once", &[]);
        server.until(process_if_any, |now| now.is_some_and(|now| now != before));
        if times == 1 {
            server.until_text("/api/v1/p/fatal/", "1");
        } else {
            let reason = "the server exited with status 4, 2 times within 10 minutes while code of it was running";
            expect_quarantined(&site, &server, before, reason);
            pardon(&server);
        }
    }
    // It is let run where it ends nobody else.
    let before = process(&server);
    let _ = request(server.address, "GET", "/api/v1/p/fatal/fail/abort", &[]);
    expect_quarantined(&site, &server, before, "the server ended with SIGABRT");
    let isolated = printed(&site, &["isolate", "fatal", "process"]);
    assert!(isolated.contains("process"), "{isolated}");
    server.until_text("/api/v1/p/fatal/", "1");
    let before = process(&server);
    let answer = request(server.address, "GET", "/api/v1/p/fatal/fail/segment", &[]).unwrap();
    assert_eq!(answer.status, 502, "{}", answer.text);
    server.until_text("/api/v1/p/fatal/", "1");
    assert_eq!(process(&server), before);
    let (status, printed) = server.end();
    assert!(status.success(), "{status}: {printed}");
}

#[test]
fn at_each_moment_of_its_life() {
    let site = site();
    site.write("plugins/steady.rs", &single("steady"));
    site.write("plugins/fatal.rs", &fatal(&site, 1));
    let server = site.start_with_parent(|_| {});
    server.until_text("/api/v1/p/steady/", "steady");
    server.until_text("/api/v1/p/fatal/", "1");
    // Nobody asks anything: a thread of its own.
    let before = process(&server);
    assert_eq!(server.get("/api/v1/p/fatal/fail/later").text, "well");
    server.until(process_if_any, |now| now.is_some_and(|now| now != before));
    expect_quarantined(&site, &server, before, "the server ended with SIGSEGV in its code while it served");
    pardon(&server);
    for (when, reason) in [
        ("create", "the server ended with SIGSEGV while it was loaded"),
        ("start", "the server ended with SIGSEGV while its `start` ran"),
        ("shutdown", "the server ended with SIGSEGV in its code while it served"),
    ] {
        let before = process(&server);
        site.write("act", when);
        // A new generation of the same bytes: while it is loaded, started; or the old one leaves.
        let _ = server.act_quietly("/api/v1/plugins/fatal/reload");
        server.until(process_if_any, |now| now.is_some_and(|now| now != before));
        site.write("act", "");
        expect_quarantined(&site, &server, before, reason);
        pardon(&server);
    }
    // While it leaves for good.
    let before = process(&server);
    site.write("act", "shutdown");
    let _ = server.act_quietly("/api/v1/plugins/fatal/disable");
    server.until(process_if_any, |now| now.is_some_and(|now| now != before));
    site.write("act", "");
    server.until_text("/api/v1/p/steady/", "steady");
    let (status, printed) = server.end();
    assert!(status.success(), "{status}: {printed}");
}

fn process_if_any(server: &Server) -> Option<u32> {
    let bearer = server.bearer();
    let health = request(server.address, "GET", "/_/health", &[("authorization", &bearer)]).ok()?;
    (health.status == 200).then(|| health.json()["process"].as_u64())?.map(|process| u32::try_from(process).unwrap())
}

#[test]
fn who_kills_and_who_stops() {
    let site = site();
    site.write("plugins/steady.rs", &single("steady"));
    let server = site.start_with_parent(|_| {});
    server.until_text("/api/v1/p/steady/", "steady");

    // Killed from outside, again and again: nobody is suspected.
    for _ in 0..3 {
        let before = process(&server);
        signal("-KILL", before);
        let mut waits = TcpStream::connect(server.address).unwrap();
        write!(waits, "GET /api/v1/p/steady/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        waits.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("steady"), "who waits is answered by the successor: {answer}");
        assert_ne!(process(&server), before);
    }
    // Stopped: it says nothing, and goes on.
    let child = process(&server);
    signal("-STOP", child);
    let waits = thread::spawn({
        let address = server.address;
        move || request(address, "GET", "/api/v1/p/steady/", &[]).unwrap().text
    });
    thread::sleep(Duration::from_millis(50));
    assert!(!waits.is_finished());
    signal("-CONT", child);
    assert_eq!(waits.join().unwrap(), "steady");
    assert_eq!(process(&server), child);
    assert_eq!(server.generation("steady"), 1);

    // The parent is killed: the child ends what it began, with status 1, and its successor finds all as it should be.
    let address = server.address;
    server.kill();
    let gone = |_: &()| request(address, "GET", "/_/live", &[]).is_err();
    let began = std::time::Instant::now();
    while !gone(&()) {
        assert!(began.elapsed() < Duration::from_secs(60), "the child does not end");
        thread::sleep(Duration::from_millis(10));
    }
    crate::processes::expect_only(&site, None);
    let server = site.start_with_parent(|_| {});
    server.until_text("/api/v1/p/steady/", "steady");
    let (status, printed) = server.end();
    assert!(status.success(), "{status}: {printed}");
}
