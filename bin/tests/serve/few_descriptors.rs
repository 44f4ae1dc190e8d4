//! A server that may have few descriptors: more connections than it can hold keep nobody from controlling it.

use crate::site;
use camlock_testing::single;
use std::{
    net::TcpStream,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::Duration,
};

/// Hard and soft.
const DESCRIPTORS: u64 = 256;

#[test]
fn more_connections_than_it_can_hold() {
    let site = site();
    site.write("plugins/hello.rs", &single("hello"));
    let server = site.start_with(|command| {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\""));
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.current_dir(site.path("")).stdout(Stdio::piped()).process_group(0);
        *command = shell;
    });
    server.until_text("/api/v1/p/hello/", "hello");
    // The system takes on those that the server does not: all of them are made.
    let idle: Vec<_> = (0..2 * DESCRIPTORS)
        .map(|_| TcpStream::connect_timeout(&server.address, Duration::from_secs(120)).unwrap())
        .collect();
    for arguments in [&["list"][..], &["disable", "hello"], &["enable", "hello"], &["doctor"]] {
        let output = site.command().args(arguments).output().unwrap();
        // `doctor` may find something of this machine.
        let ends_well = output.status.success() || arguments[0] == "doctor" && output.status.code() == Some(1);
        assert!(ends_well, "{arguments:?}: {output:?}");
    }
    drop(idle);
    server.until_text("/api/v1/p/hello/", "hello");
    let (status, printed) = server.end();
    assert!(status.success(), "{status}: {printed}");
}
