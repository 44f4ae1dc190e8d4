//! `camlock doctor`.

use crate::{
    Ended, command, end,
    fake::{Answer, on_socket, plugin},
    site,
};
use camlock_testing::{Site, single};
use serde_json::{Value, json};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// What is wrong, each with its remedy.
fn wrong(ended: &Ended) -> Vec<String> {
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] == "wrong");
    let told = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    findings.map(|it| format!("{}: {} → {}", told(it, "about"), told(it, "found"), told(it, "remedy"))).collect()
}

fn doctor(site: &Site, arguments: &[&str], path: Option<&Path>) -> Ended {
    let mut command = command(site, &[&["doctor", "--json", "--listen", "127.0.0.1:0"], arguments].concat());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    end(command)
}

#[track_caller]
fn one_wrong(ended: &Ended, expected: &[&str]) {
    ended.failed(1);
    let wrong = wrong(ended);
    assert!(wrong.len() == 1 && expected.iter().all(|part| wrong[0].contains(part)), "{wrong:#?}");
}

/// A directory of programs for `PATH`: links to some, and scripts.
fn programs(site: &Site, name: &str, links: &[&str], scripts: &[(&str, &str)]) -> PathBuf {
    let dir = site.path(name);
    fs::create_dir(&dir).unwrap();
    let found = |program: &str| {
        let path = std::env::var_os("PATH").unwrap();
        std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file()).unwrap()
    };
    for program in links {
        symlink(found(program), dir.join(program)).unwrap();
    }
    for (program, text) in scripts {
        fs::write(dir.join(program), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(dir.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

#[test]
fn where_all_is_well_it_says_so() {
    let site = site();
    site.write("plugins/hello.rs", &single("x"));
    let ended = doctor(&site, &[], None);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &report["good"]), (0, &true.into()), "{report:#}");
    for about in [
        "platform",
        "cargo",
        "compiler",
        "linker",
        "settings",
        "data directory",
        "disk",
        "plugins",
        "server",
        "address",
    ] {
        assert!(
            report["findings"].as_array().unwrap().iter().any(|finding| finding["about"] == about),
            "{about} {report:#}"
        );
    }
    let text = end(command(&site, &["doctor", "--listen", "127.0.0.1:0"])).done();
    assert!(text.contains("a library was linked") && !text.contains('\x1b'), "{text}");
    // It looks, and leaves nothing.
    assert!(!site.path(".camlock").exists());
    // No plugins yet: a warning, and no failure.
    let ended = doctor(&site, &["--plugins", "none"], None);
    assert_eq!(ended.code, 0);
    assert!(ended.stdout.contains("camlock new NAME --in"), "{}", ended.stdout);
}

#[test]
fn tools_that_are_missing_or_wrong() {
    let site = site();
    let nothing = programs(&site, "nothing", &[], &[]);
    let ended = doctor(&site, &[], Some(&nothing));
    ended.failed(1);
    let told = wrong(&ended);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("cargo: cargo is not in the PATH → install Rust from https://rustup.rs"), "{told:#?}");
    assert!(told[1].starts_with("compiler: rustc is not in the PATH"), "{told:#?}");

    let unlinked = programs(&site, "unlinked", &["cargo", "rustc"], &[]);
    let ended = doctor(&site, &[], Some(&unlinked));
    one_wrong(&ended, &["linker: no library can be linked: ", "`cc` not found", "→ install a C compiler"]);

    let version = format!(
        "echo 'rustc 1.80.0'; echo 'release: 1.80.0'; echo 'host: {}-unknown-linux-gnu'",
        std::env::consts::ARCH
    );
    let old = programs(&site, "old", &["cargo"], &[("rustc", &version)]);
    let ended = doctor(&site, &[], Some(&old));
    one_wrong(&ended, &["compiler: rustc 1.80.0 is older than 1.95.0", "→ `rustup update stable`"]);

    let broken = programs(
        &site,
        "broken",
        &["rustc", "cc", "ld"],
        &[("cargo", "echo 'error: no default toolchain' >&2; exit 1")],
    );
    let ended = doctor(&site, &[], Some(&broken));
    one_wrong(&ended, &["cargo: ", "does not work: error: no default toolchain → `rustup default stable`"]);
}

#[test]
fn places_that_cannot_be_used() {
    let site = site();
    site.write("file", "");
    one_wrong(
        &doctor(&site, &["--data", "file/data"], None),
        &["data directory: ", "cannot be written to: not a directory", "--data"],
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = end(command(&site, &["doctor", "--json", "--listen", &address]));
    one_wrong(&ended, &["address: ", "is taken by another program → end it (`ss -ltnp", "--listen"]);

    site.write("plugins/hello/Cargo.toml", "[package]\nname = \"hello\"\n");
    one_wrong(&doctor(&site, &[], None), &["plugins: ", "hello: Cargo.toml", "→ mend it, or remove it"]);
    site.write("plugins/hello/Cargo.toml", &camlock_testing::manifest("twice"));
    site.write("plugins/twice.rs", &single("x"));
    one_wrong(&doctor(&site, &[], None), &["plugins: `twice` lies there twice: ", "→ rename or remove one"]);
}

#[test]
fn names_that_would_mislead_are_quoted() {
    let site = site();
    for folder in ["a\nb", "txt.\u{202e}sr", "<script>"] {
        site.write(&format!("plugins/{folder}/Cargo.toml"), "[package]\nname = \"hello\"\n");
    }
    site.write("plugins/forgotten/src/lib.rs", "");
    site.write("plugins/_mine/src/lib.rs", "");
    let ended = doctor(&site, &[], None);
    let told = wrong(&ended).join("\n");
    for part in ["`camlock check $'/", "/plugins/a\\nb'`", "/plugins/txt.\\342\\200\\256sr'`", "/plugins/<script>'`"] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    for text in [ended.stdout, end(command(&site, &["doctor", "--listen", "127.0.0.1:0"])).stdout] {
        assert!(text.contains("plugins/forgotten is ignored: there is no Cargo.toml in it") && !text.contains("_mine"));
        assert!(!text.contains('\u{202e}'), "{text}");
    }
}

#[test]
fn each_directory_has_its_disk() {
    let site = site();
    site.write("camlock.toml", "build.dir = \"builds\"\n");
    let ended = doctor(&site, &[], None);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let disks = report["findings"].as_array().unwrap().iter().filter(|finding| finding["about"] == "disk");
    let disks: Vec<_> = disks.map(|finding| finding["found"].as_str().unwrap()).collect();
    for what in [
        "the data directory (",
        "the plugins directory (",
        "the build directory (",
        "temporary files (",
        "what cargo downloads (",
    ] {
        assert_eq!(disks.iter().filter(|disk| disk.contains(what)).count(), 1, "{what} {disks:#?}");
    }
}

#[test]
fn the_server_that_runs_is_asked() {
    let site = site();
    site.write(".camlock/admin-token", "secret");
    let _asked = on_socket(&site.path(".camlock/control.sock"), |request| match &*request.line {
        "GET /_/health" => Answer::json(&json!({ "version": "0.9.0", "abi": "1.0", "blocked": [
            { "plugin": "slow", "generation": 2, "method": "GET", "route": "/slow", "seconds": 12.4 },
        ] })),
        "GET /_/ready" => Answer::problem(503, &json!({ "detail": "not ready: waiting for `young` (building)" })),
        _ => {
            let (mut pinned, mut crashed) = (plugin("hello", "serving"), plugin("crashed", "quarantined"));
            pinned["pinned"] = json!([{ "generation": 1, "reason": "a thread of it still runs" }]);
            crashed["reason"] = "it crashed the server".into();
            Answer::json(&json!({ "next": null, "items": [pinned, crashed] }))
        }
    });
    let ended = doctor(&site, &[], None);
    assert_eq!(ended.code, 0, "warnings alone: {}", ended.stdout);
    for part in [
        "one runs, with 2 plugins",
        "the server is camlock 0.9.0 (contract 1.0), and this program is camlock ",
        "hello: generation 1 cannot leave: a thread of it still runs",
        "slow: GET /slow has blocked its thread for 12 s (generation 2)",
        "not ready: waiting for `young` (building)",
        "crashed is under quarantine: it crashed the server",
    ] {
        assert!(ended.stdout.contains(part), "{part}\n{}", ended.stdout);
    }
}
