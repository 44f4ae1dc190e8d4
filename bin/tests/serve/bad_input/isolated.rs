//! Libraries that are hostile to whoever opens them, each in a process of its own: that one ends, or is refused, with its sentence, and
//! the server and all others go on.

use crate::site;
use camlock_testing::{Altered, Fixtures, Server};
use std::fs;

/// What becomes of one: its stage and what its reason begins with, or that it serves.
#[derive(Clone, Copy)]
enum HostileOutcome {
    Fails(&'static str, &'static str),
    Serves,
}
use HostileOutcome::{Fails, Serves};

/// By what they do. What is done `later` is not done where they are verified, so that it comes to a process of their own.
const BY_MODE: &[(&str, HostileOutcome)] = &[
    // Verification finds these, in either mode.
    ("constructor crashes", Fails("verify", "it crashed with SIGSEGV while the library was opened")),
    ("constructor exits well", Fails("verify", "it ended the process with status 0 while the library was opened")),
    ("constructor exits badly", Fails("verify", "it ended the process with status 3 while the library was opened")),
    ("constructor hangs", Fails("verify", "it did not come to an end within 4 s while the library was opened")),
    ("fails", Fails("verify", "`create` failed: its disk is full")),
    ("panics", Fails("verify", "`create` panicked: there is no way (")),
    ("aborts", Fails("verify", "it crashed with SIGABRT while its `create` ran")),
    ("exits well", Fails("verify", "it ended the process with status 0 while its `create` ran")),
    ("exits badly", Fails("verify", "it ended the process with status 3 while its `create` ran")),
    ("blocks", Fails("verify", "it did not come to an end within 4 s while its `create` ran")),
    ("recurses", Fails("verify", "it crashed with SIGABRT while its `create` ran")),
    ("is killed", Fails("verify", "it could not be verified: the verifying process was killed from outside")),
    ("talks without end", Fails("verify", "`create` failed: \\u{1b}[31mno no ")),
    ("routes panic", Fails("verify", "`routes` panicked: no routes today (")),
    ("routes overlap", Fails("verify", "`routes` panicked: Overlapping method route. ")),
    ("shutdown panics", Fails("verify", "`shutdown` panicked: not yet (")),
    ("drop crashes", Fails("verify", "it crashed with SIGABRT while it was dropped")),
    // These are let in.
    (
        "later constructor crashes",
        Fails("load", "its process ended before it had an instance: it was ended by SIGSEGV"),
    ),
    (
        "later constructor exits well",
        Fails("load", "its process ended before it had an instance: it exited with status 0"),
    ),
    (
        "later constructor exits badly",
        Fails("load", "its process ended before it had an instance: it exited with status 3"),
    ),
    ("later constructor hangs", Fails("load", "its constructors did not come to an end within 2 s")),
    ("later fails", Fails("load", "`create` failed: its disk is")),
    ("later panics", Fails("load", "`create` panicked: there is no way (")),
    ("later aborts", Fails("load", "its process ended before it had an instance: it was ended by SIGABRT")),
    ("later exits well", Fails("load", "its process ended before it had an instance: it exited with status 0")),
    ("later exits badly", Fails("load", "its process ended before it had an instance: it exited with status 3")),
    ("later blocks", Fails("load", "`create` did not come to an end within 2 s")),
    ("later computes", Fails("load", "`create` did not come to an end within 2 s")),
    ("later waits", Fails("load", "`create` did not come to an end within 2 s")),
    ("sleeps in a server", Fails("load", "`create` did not come to an end within 2 s")),
    ("later eats", Fails("load", "its process ended before it had an instance: it used the 128 MiB that it may have")),
    ("later recurses", Fails("load", "its process ended before it had an instance: it was ended by SIG")),
    ("later is killed", Fails("load", "its process ended before it had an instance: it was ended by SIGKILL")),
    ("later hangs up", Fails("load", "its process ended before it had an instance: ")),
    ("later talks without end", Fails("load", "`create` failed: ")),
    ("later spawns 3600", Fails("load", "`create` failed: Operation not permitted")),
    ("later writes /etc/hostile", Fails("load", "`create` failed: ")),
    ("later routes panic", Fails("load", "`routes` panicked: no routes today (")),
    ("later routes overlap", Fails("load", "`routes` panicked: Overlapping method route. ")),
    ("aborts in start", Fails("start", "`start` failed: the plugin's process has ended: it was ended by SIGABRT")),
    ("exits in start", Fails("start", "`start` failed: the plugin's process has ended: it exited with status 0")),
    (
        "faults in a thread in start",
        Fails("start", "`start` failed: the plugin's process has ended: it was ended by SIGSEGV"),
    ),
    ("is killed in start", Fails("start", "`start` failed: the plugin's process has ended: it was ended by SIGKILL")),
    ("later shouts", Serves),
    ("later shutdown panics", Serves),
    ("later shutdown hangs", Serves),
    ("later drop crashes", Serves),
    ("destructor blocks in a server", Serves),
];

/// By what they are: none of these is opened, in either mode, but for the last three.
fn by_file() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = |name: &str| Altered::good().meta("name", name);
    let named = |name: &str, key: &str, value: &str| good(name).meta(key, value).0;
    let manifest = |name: &str, lines: &str| {
        let text = format!("[package]\nname = \"{name}\"\n\n[package.metadata.camlock]\n{lines}\n");
        good(name).manifest(text).0
    };
    let lying = good("lying-header");
    let (programs, huge) = (lying.number(0x20), u64::MAX.to_le_bytes());
    let lying = lying.patch(programs + 0x08, &huge).patch(programs, &1_u32.to_le_bytes());
    let unmanifested = good("no-manifest");
    let header = unmanifested.header_of(".camlock.manifest");
    let (lacking, garbled) = (good("missing-library"), good("garbled"));
    let dynamic = garbled.number(garbled.header_of(".dynamic") + 0x18);
    let needed = b"\0libc.so.6\0";
    let at = lacking.0.windows(needed.len()).position(|bytes| bytes == needed).expect("it needs libc");
    let half = lying.0.len() / 2;
    vec![
        ("text", b"#!/bin/sh\necho hello\n".to_vec(), "it is not an ELF file"),
        ("empty", Vec::new(), "it is not an ELF file"),
        ("truncated", good("truncated").cut(half).0, "it is truncated: "),
        ("another-machine", good("another-machine").patch(0x12, &243_u16.to_le_bytes()).0, "it is built for RISC-V"),
        ("of-32-bits", good("of-32-bits").patch(4, &[1]).0, "it is a 32-bit library"),
        ("object-file", good("object-file").patch(0x10, &1_u16.to_le_bytes()).0, "it is not a shared library"),
        ("executable", good("executable").patch(0x10, &2_u16.to_le_bytes()).0, "it is an executable"),
        ("lying-header", lying.0, "it is truncated: a segment lies beyond its end"),
        ("plain-library", Altered::candidate("plain").0, "it has no section `.camlock.meta`"),
        ("another-contract", named("another-contract", "abi", "2.0"), "it was built for version 2.0 of the contract"),
        ("no-contract", named("no-contract", "abi", "one"), "`one` is no version of the contract"),
        ("lacking-feature", named("lacking-feature", "requires", "fly,log"), "it requires `fly` of the host"),
        ("panic-abort", named("panic-abort", "panic", "abort"), "it was built with `panic = \"abort\"`"),
        ("for-a-program", named("for-a-program", "intercepts", "no"), "it was built with the feature `program`"),
        ("no-entry", named("no-entry", "crate", "another"), "it does not export the symbol"),
        ("no-manifest", unmanifested.patch(header, &[0; 4]).0, "it has no section `.camlock.manifest`"),
        ("ringing", named("ringing", "description", "rings\x07"), "`description` has the control character"),
        ("unknown-key", manifest("unknown-key", "catgory = \"http\""), "Cargo.toml, line 5: unknown field `catgory`"),
        ("claims-ours", manifest("claims-ours", "routes = [\"/_/live\"]"), "the claimed path `/_/live` belongs to"),
        (
            "undefined",
            Altered::candidate("undefined").meta("name", "undefined").0,
            "it cannot be opened: undefined symbol",
        ),
        ("missing-library", lacking.patch(at, b"\0libz.so.0\0").0, "it cannot be opened: libz.so.0: "),
        ("garbled", garbled.patch(dynamic, &[0xff; 64]).0, "it "),
    ]
}

/// A name of a plugin.
fn named(mode: &str) -> String {
    let words = mode.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// The processes of plugins that this server has.
fn runners(server: &Server) -> usize {
    let is_one = |id: &str| {
        let read = |what: &str| fs::read_to_string(format!("/proc/{id}/{what}")).unwrap_or_default();
        read("cmdline").starts_with("camlock-runner\0")
            && read("status").contains(&format!("\nPPid:\t{}\n", server.pid()))
    };
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_one)).count()
}

#[test]
fn whatever_a_library_does_it_ends_one_process_at_most() {
    let site = site();
    site.configure("plugins.isolation = \"process\"\nplugin.faults.isolation = \"none\"");
    site.configure(
        "limits.verify = \"4s\"\nlimits.create = \"2s\"\nlimits.start = \"2s\"\nlimits.memory = \"128 MiB\"",
    );
    let put = |name: &str, bytes: &[u8]| {
        site.write("arriving", "");
        fs::write(site.path("arriving"), bytes).unwrap();
        fs::rename(site.path("arriving"), site.plugins().join(format!("{name}.so"))).unwrap();
    };
    // One of each mode, to whom nothing happens.
    for name in ["escapes", "faults"] {
        put(name, &fs::read(Fixtures::quick().library(name)).unwrap());
    }
    let server = site.start();
    let steady = ["/api/v1/p/escapes/fine", "/api/v1/p/faults/fine"];
    steady.iter().for_each(|path| server.until_text(path, "fine"));
    assert_eq!(runners(&server), 1);

    let mut expected: Vec<(String, HostileOutcome)> = Vec::new();
    for (name, bytes, reason) in by_file() {
        put(name, &bytes);
        expected.push((name.to_owned(), Fails("verify", reason)));
    }
    for (mode, outcome) in BY_MODE {
        let name = named(mode);
        put(&name, &Altered::good().mode(mode).meta("name", &name).0);
        expected.push((name, *outcome));
    }
    assert!(expected.len() >= 70, "{}", expected.len());
    for (name, outcome) in &expected {
        let is_so = |plugin: &serde_json::Value| {
            let failed = &plugin["failed"];
            match outcome {
                Serves => plugin["state"] == "serving" && failed.is_null(),
                Fails(stage, reason) => {
                    let told = failed["reason"].as_str().unwrap_or_default();
                    let is_so = failed["stage"] == *stage && told.starts_with(reason);
                    // Where the machine is busy anything may take too long, and is tried again.
                    let is_late = told.contains("did not come to an end within");
                    assert!(is_so || is_late || failed.is_null(), "{name}: {failed}");
                    plugin["state"] == "failed" && is_so
                }
            }
        };
        server.until_plugin(name, is_so);
        let status = if matches!(outcome, Serves) { 404 } else { 503 };
        assert_eq!(server.get(&format!("/api/v1/p/{name}/")).status, status, "{name}");
        for path in steady {
            assert_eq!(server.get(path).text, "fine", "{path}, after {name}");
        }
        fs::remove_file(site.plugins().join(format!("{name}.so"))).unwrap();
    }
    for (name, _) in &expected {
        server.until_plugin(name, |plugin| plugin.is_null() || plugin["state"] == "missing");
    }
    server.until(runners, |count| *count == 1);
    for name in ["escapes", "faults"] {
        assert_eq!(server.generation(name), 1, "{name}");
    }
    let (status, printed) = server.end();
    assert!(status.success(), "{status}: {printed}");
}
