//! The program is exchanged while it serves; and what a service manager gives and hears.

use crate::site;
use camlock_testing::{Server, Site, single};
use std::{
    fs,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    process::{Command, Output, Stdio},
    time::Duration,
};

/// Puts a program where the site's lies.
fn install(site: &Site, make: impl FnOnce(&std::path::Path)) {
    let fresh = site.path("fresh");
    make(&fresh);
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&fresh, site.path("camlock")).unwrap();
}

fn install_real(site: &Site) {
    install(site, |path| _ = fs::copy(env!("CARGO_BIN_EXE_camlock"), path).unwrap());
}

/// The site's program, with the arguments and the environment of another command.
fn as_installed(site: &Site, command: &Command, mut ours: Command) -> Command {
    ours.args(command.get_args()).current_dir(site.path("")).stdout(Stdio::piped());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => ours.env(name, value),
            None => ours.env_remove(name),
        };
    }
    ours
}

fn process(server: &Server) -> u64 {
    let health = server.get_as_admin("/_/health").json();
    assert_eq!(health["parent"], server.pid(), "{health}");
    health["process"].as_u64().unwrap()
}

fn upgrade(site: &Site) -> Output {
    site.command().arg("upgrade").output().unwrap()
}

#[test]
fn another_program_in_its_place_and_no_request_lost() {
    let site = site();
    install_real(&site);
    site.write("plugins/steady.rs", &single("steady"));
    let server =
        site.start_with_parent(|command| *command = as_installed(&site, command, Command::new(site.path("camlock"))));
    server.until_text("/api/v1/p/steady/", "steady");
    let load = server.load("/api/v1/p/steady/");
    let first = process(&server);

    install_real(&site);
    let done = upgrade(&site);
    assert!(done.status.success(), "{done:?}");
    let second = process(&server);
    assert_ne!(first, second);

    // One that cannot start: what served goes on.
    install(&site, |path| fs::write(path, "#!/bin/sh\nexit 7\n").unwrap());
    let done = upgrade(&site);
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(told.contains("what served goes on: the new server exited with status 7"), "{told}");
    assert_eq!(process(&server), second);

    // By a signal to the parent too.
    install_real(&site);
    server.signal("-HUP");
    server.until(process, |now| *now != second);
    let (good, bad) = load.end();
    assert!(good > 0 && bad.is_empty(), "{good} {bad:#?}");

    // It is a parent as before: who dies is replaced, and it ends in order.
    let third = process(&server);
    Command::new("kill").args(["-KILL", &third.to_string()]).status().unwrap();
    server.until_text("/api/v1/p/steady/", "steady");
    assert_ne!(process(&server), third);
    let (status, printed) = server.end();
    assert!(status.success(), "{status}: {printed}");
    crate::processes::expect_only(&site, None);
}

#[test]
fn a_service_manager_gives_the_socket_and_is_told() {
    let site = site();
    install_real(&site);
    site.write("plugins/steady.rs", &single("steady"));
    let hears = UnixDatagram::bind(site.path("notify")).unwrap();
    hears.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    let told = || {
        let mut word = [0; 200];
        let count = hears.recv(&mut word).unwrap();
        String::from_utf8_lossy(&word[..count]).into_owned()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // As systemd does: the socket is the fourth descriptor, and the variables are those of this very process.
    let give = r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=camlock.socket exec "$0" "$@""#;
    let server = site.start_with_parent(|command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", give]).arg(site.path("camlock")).stdin(Stdio::from(OwnedFd::from(listener)));
        *command = as_installed(&site, command, shell);
        command.env("NOTIFY_SOCKET", site.path("notify"));
    });
    assert_eq!(server.address, address);
    assert_eq!(told(), "READY=1");
    server.until_text("/api/v1/p/steady/", "steady");
    let done = upgrade(&site);
    assert!(done.status.success(), "{done:?}");
    let word = told();
    assert!(word.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{word}");
    assert_eq!(told(), "READY=1");
    server.until_text("/api/v1/p/steady/", "steady");
    server.signal("-TERM");
    assert_eq!(told(), "STOPPING=1");
    let (status, printed) = server.wait();
    assert!(status.success(), "{status}: {printed}");
}
