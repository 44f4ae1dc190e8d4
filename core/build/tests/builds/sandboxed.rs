//! Builds that reach nothing but what a build needs.

use crate::place::{PLAIN, Place};
use camlock_testing::trial;
use std::{
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

/// A script that tries what it is told to, and writes down what came of each: `done`, or the number of the error.
const TRIES: &str = r#"
use std::{env, fs, io, net::TcpStream, os::unix::net::UnixStream, path::Path, process::Command};

fn tried(what: &str, upon: &str) -> io::Result<()> {
    match what {
        "read" => fs::read(upon).map(drop),
        "list" => fs::read_dir(upon).map(drop),
        "write" => fs::write(upon, "written by a build"),
        "link" => std::os::unix::fs::symlink("../..", upon),
        "connect" => TcpStream::connect(upon).map(drop),
        "unix" => UnixStream::connect(upon).map(drop),
        "signal" => {
            let status = Command::new("sh").args(["-c", &format!("kill -0 {upon}")]).status()?;
            if status.success() { Ok(()) } else { Err(io::Error::from_raw_os_error(1)) }
        }
        "program" => Command::new("/bin/true").status().map(drop),
        "temporary" => fs::write(env::temp_dir().join("mine"), "mine"),
        _ => Err(io::Error::other("there is no such attempt")),
    }
}

fn main() {
    let attempts = env::var("ATTEMPTS").unwrap();
    let mut told = String::new();
    for attempt in attempts.split_whitespace() {
        let (what, upon) = attempt.split_once('=').unwrap_or((attempt, ""));
        let outcome = match tried(what, upon) {
            Ok(()) => "done".to_owned(),
            Err(error) => error.raw_os_error().map_or_else(|| error.to_string(), |number| number.to_string()),
        };
        told.push_str(&format!("{what} {outcome}\n"));
    }
    // The library has it in it.
    fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("told"), format!("told[{told}]told")).unwrap();
    println!("cargo::rerun-if-env-changed=ATTEMPTS");
}
"#;

fn told_by(library: &Path) -> Vec<(String, String)> {
    let bytes = std::fs::read(library).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let told = text.split_once("told[").unwrap().1.split_once("]told").unwrap().0;
    told.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(what, came)| (what.to_owned(), came.to_owned()))
        .collect()
}

/// A script that tries, in a home of its own beside the toolchain's, with and without the sandbox.
#[trial]
fn a_script_sees_neither_home_nor_data_and_no_socket_of_others() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = home.path().join("socket");
    let _socket = UnixListener::bind(&socket).unwrap();
    let new = home.path().join("new");
    for is_sandboxed in [true, false] {
        let mut data = PathBuf::new();
        let place = Place::apart_with(|options| {
            options.sandbox = is_sandboxed;
            std::fs::create_dir_all(&options.data).unwrap();
            data = options.data.canonicalize().unwrap();
            std::fs::write(data.join("admin-token"), "secret").unwrap();
            let attempts = [
                format!("read={}", data.join("admin-token").display()),
                format!("list={}", data.display()),
                format!("read={}", secret.display()),
                format!("list={}", home.path().display()),
                format!("write={}", new.display()),
                // What the server makes builds of, and what it believes of them.
                format!("link={}", data.join("builds/src/next").display()),
                format!("write={}", data.join("builds/src/.tries.lock").display()),
                format!("write={}", data.join("builds/made").display()),
                format!("unix={}", socket.display()),
                format!("signal={}", std::process::id()),
                format!("connect={address} program temporary"),
            ];
            let home = home.path().to_str().unwrap().to_owned();
            // The toolchain lies where it lies.
            for (name, usual) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
                let there = std::env::var_os("HOME").map(|home| Path::new(&home).join(usual));
                let there = std::env::var_os(name).map(PathBuf::from).or(there).unwrap();
                options.environment.push((name.to_owned(), Some(there.to_str().unwrap().to_owned())));
            }
            options.environment.push(("HOME".to_owned(), Some(home)));
            options.environment.push(("ATTEMPTS".to_owned(), Some(attempts.join(" "))));
        });
        let source = format!(
            "{PLAIN}\n#[unsafe(no_mangle)]\npub static TOLD: &str = include_str!(concat!(env!(\"OUT_DIR\"), \"/told\"));\n"
        );
        place.write_crate("tries", "", &source);
        place.write("plugins/tries/build.rs", TRIES);
        let built = place.build("tries");
        let told = told_by(built.candidate.as_path());
        let closed =
            if is_sandboxed { ["13", "13", "13", "13", "13", "13", "13", "13", "1", "1"] } else { ["done"; 10] };
        let came: Vec<&str> = told.iter().map(|(_, came)| &**came).collect();
        assert_eq!(came, [&closed[..], &["done"; 3]].concat(), "{is_sandboxed}: {told:?}");
    }
}
