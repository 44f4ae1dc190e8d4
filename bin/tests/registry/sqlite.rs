//! What only a file can suffer: a full disk, another process that holds it, damage, and two servers on it.

use crate::world::*;
use camlock_testing::{Server, single};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

const HELLO: &str = "/api/v1/p/hello/";

fn begin() -> (World, Server) {
    let world = World::sqlite();
    world.site.write("plugins/hello.rs", &single("hello"));
    let server = world.serve();
    server.until_text(HELLO, "hello");
    (world, server)
}

/// Files that this server writes may not grow beyond so many bytes.
fn limit_files(server: &Server, bytes: Option<u64>) {
    let pid = Pid::from_raw(server.pid().cast_signed());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[test]
fn the_disk_is_full() {
    let (world, server) = begin();
    under_load(&server, &[STEADY], || {
        limit_files(&server, Some(4_096));
        for act in ["disable", "disable"] {
            let answer = server.act("POST", &format!("/api/v1/plugins/hello/{act}"));
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(detail(&answer).contains("disk is full"), "{answer:?}");
        }
        assert_eq!((server.get(HELLO).text.as_str(), server.get("/plugins").status), ("hello", 200));
        // For others there is room: what they decide can still be read.
        world.sql("UPDATE plugins SET enabled = false WHERE name = 'hello'");
        server.until_status(HELLO, 503);
        world.site.write("plugins/newcomer.rs", &single("new"));
        server.until_plugin("newcomer", |plugin| !plugin.is_null());
        assert_eq!(server.act("POST", "/api/v1/plugins/newcomer/enable").status, 503);

        limit_files(&server, None);
        server.until_text("/api/v1/p/newcomer/", "new");
        server.until_status("/_/ready", 200);
        let answer = server.act("POST", "/api/v1/plugins/hello/enable");
        assert_eq!(answer.status, 200, "{answer:?}");
    });
    assert_eq!(server.generation("steady"), 1);
    assert_eq!(world.sql("PRAGMA integrity_check"), "ok");
    world.until_sql("SELECT state FROM node_plugins WHERE plugin = 'newcomer'", "serving");
}

/// An empty file where there was a registry is not a new one: what was disabled stays so, and nothing is written.
#[test]
fn the_file_was_emptied() {
    let (world, server) = begin();
    assert_eq!(server.act("POST", "/api/v1/plugins/hello/disable").status, 200);
    assert!(server.end().0.success());
    let backup = fs::read(world.file()).unwrap();
    fs::write(world.file(), "").unwrap();
    let said = refused(&world);
    assert!(said.contains("registry.db is empty, and ") && said.contains("last-known.json remembers "), "{said}");
    assert!(said.contains("put a backup in its place, or move both files away"), "{said}");
    assert_eq!(fs::read(world.file()).unwrap(), b"");

    fs::write(world.file(), backup).unwrap();
    let server = world.serve();
    server.until_plugin("hello", |plugin| plugin["state"] == "disabled");
    assert!(server.end().0.success());

    // Whoever wants to begin anew says so with both files.
    fs::remove_file(world.file()).unwrap();
    fs::remove_file(world.site.path(".camlock/last-known.json")).unwrap();
    world.serve().until_text(HELLO, "hello");
}

/// A shell with a transaction open.
struct Shell(Child);

impl Shell {
    fn say(world: &World, sql: &str) -> Self {
        let mut shell = Command::new("sqlite3");
        shell.arg(world.file()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        writeln!(shell.stdin.as_mut().unwrap(), ".timeout 60000\n{sql};\n.print done").unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "done");
        Shell(shell)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_file_is_locked() {
    let (world, server) = begin();
    under_load(&server, &[STEADY, HELLO], || {
        let shell = Shell::say(&world, "BEGIN EXCLUSIVE");
        let answer = server.act("POST", "/api/v1/plugins/hello/disable");
        assert_eq!(answer.status, 503, "{answer:?}");
        // Whichever limit is reached first.
        let told = ["is locked by another process", "is busy for too long; see which other process uses it"];
        assert!(told.iter().any(|told| detail(&answer).contains(told)), "{answer:?}");
        assert_eq!(server.get("/plugins").status, 200);
        drop(shell);
    });
    assert_eq!(server.act("POST", "/api/v1/plugins/hello/disable").status, 200);
    server.until_status("/_/ready", 200);
    assert!(server.end().0.success());

    // From the beginning.
    let shell = Shell::say(&world, "BEGIN EXCLUSIVE");
    let server = world.start();
    server.until_text(STEADY, "steady");
    under_load(&server, &[STEADY], || {
        until_not_ready(&server, "is locked by another process");
        assert_eq!(server.plugin("hello")["state"], "disabled");
        drop(shell);
        server.until_status("/_/ready", 200);
        assert_eq!(server.act("POST", "/api/v1/plugins/hello/enable").status, 200);
    });
    assert_eq!(server.generation("steady"), 1);
}

/// A server that is not to come up: what it says.
fn refused(world: &World) -> String {
    let mut command = world.site.command();
    let done = command.args(["serve", "--listen", "127.0.0.1:0"]).env("CAMLOCK_LOG", "off").output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    said
}

#[test]
fn the_file_is_damaged() {
    let (world, server) = begin();
    assert!(server.end().0.success());
    let good = fs::read(world.file()).unwrap();

    let mut damaged = good.clone();
    damaged[4_096..4_096 * 9].iter_mut().for_each(|byte| *byte ^= 0x5a);
    for (bytes, what) in
        [(damaged, "is damaged"), (b"Notes, and by no means a database. ".repeat(99), "is no SQLite database")]
    {
        fs::write(world.file(), &bytes).unwrap();
        let said = refused(&world);
        assert!(said.contains(what), "{said}");
        assert!(said.contains("It is kept as it is: put a backup in its place, or move it away"), "{said}");
        assert!(fs::read(world.file()).unwrap() == bytes, "it was changed");
        // Also if it could do without.
        assert!(world.site.path(".camlock/last-known.json").exists());
    }
    // The backup.
    fs::write(world.file(), &good).unwrap();
    let server = world.serve();
    server.until_text(HELLO, "hello");

    // While it is used.
    under_load(&server, &[STEADY, HELLO], || {
        let mut bytes = fs::read(world.file()).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        let writes = |file: &std::path::Path| fs::OpenOptions::new().write(true).open(file).unwrap();
        writes(&world.file()).write_all(&bytes).unwrap();
        let log = world.site.path(".camlock/registry.db-wal");
        let length = fs::metadata(&log).map_or(0, |log| log.len());
        if length > 0 {
            writes(&log).write_all(&vec![0x5a; length as usize]).unwrap();
        }
        let answer = server.act("POST", "/api/v1/plugins/hello/disable");
        assert_eq!(answer.status, 503, "{answer:?}");
        until_not_ready(&server, "It is kept as it is");
        assert!(fs::read(world.file()).unwrap()[..64] == bytes[..64], "nothing was begun afresh over it");
    });
    assert!(server.end().0.success());
    assert!(refused(&world).contains("It is kept as it is"));
}

/// Each with directories of its own; together they are a fleet.
#[test]
fn two_servers_on_one_file() {
    let world = World::sqlite();
    world.site.write("plugins/hello.rs", &single("one"));
    let other = world.site.beside("other");
    for name in ["steady", "hello"] {
        other.write(
            &format!("plugins/{name}.rs"),
            &fs::read_to_string(world.site.path(&format!("plugins/{name}.rs"))).unwrap(),
        );
    }
    let url = format!("sqlite://{}", world.file().display());
    let first = world.serve();
    let second = other.start_with(|command| {
        let log = fs::OpenOptions::new().append(true).open(world.site.path("log")).unwrap();
        command.args(["--database-url", &url]).stderr(log);
    });
    let both = [&first, &second];
    let all = |wanted: &str| both.iter().for_each(|server| server.until_text(HELLO, wanted));
    second.until_text(STEADY, "steady");
    all("one");
    under_load(&first, &[STEADY], || {
        under_load(&second, &[STEADY], || {
            for _ in 0..3 {
                world.sql("UPDATE plugins SET enabled = false WHERE name = 'hello'");
                both.iter().for_each(|server| _ = server.until_status(HELLO, 503));
                world.sql("UPDATE plugins SET enabled = true WHERE name = 'hello'");
                all("one");
            }
            // An edit in the directory of one of them serves on both; so does the next, in the other's.
            world.site.write("plugins/hello.rs", &single("two"));
            all("two");
            other.write("plugins/hello.rs", &single("three"));
            all("three");
            // An act at one of them, and the way back.
            assert_eq!(second.act("POST", "/api/v1/plugins/hello/rollback").status, 200);
            all("two");
            assert_eq!(first.act("POST", "/api/v1/plugins/hello/disable").status, 200);
            both.iter().for_each(|server| _ = server.until_status(HELLO, 503));
        });
    });
    assert_eq!(world.sql("SELECT count(*) FROM nodes"), "2");
    assert_eq!((first.generation("steady"), second.generation("steady")), (1, 1));
    // One goes, and the other is alone.
    second.kill();
    assert_eq!(first.act("POST", "/api/v1/plugins/hello/enable").status, 200);
    assert_eq!(first.get(HELLO).text, "two");
    assert_eq!(world.sql("PRAGMA integrity_check"), "ok");
}
