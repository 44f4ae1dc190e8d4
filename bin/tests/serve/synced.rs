//! What was acknowledged is on the disk: a power cut takes nothing of it back. The server runs with a library before libc that
//! notes which files it has the system write through.

use crate::site;
use camlock_testing::{Server, Site, manifest, single};
use std::{fs, path::PathBuf, process::Command};

const NOTES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int pass(const char *name, int descriptor) {
    char link[64], path[4097];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    const char *notes = getenv("SYNC_NOTES");
    int file = notes && length > 0 ? open(notes, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file >= 0) {
        path[length] = '\n';
        if (write(file, path, length + 1) < 0) abort();
        close(file);
    }
    int (*function)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return function(descriptor);
}

int fsync(int descriptor) { return pass("fsync", descriptor); }
int fdatasync(int descriptor) { return pass("fdatasync", descriptor); }
"#;

struct Notes {
    file: PathBuf,
    site: PathBuf,
}

impl Notes {
    /// Which files of the site were written through since the last time, by their paths in it.
    fn taken(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let _ = fs::remove_file(&self.file);
        let within = |line: &str| line.strip_prefix(self.site.to_str()?).map(|path| path.trim_matches('/').to_owned());
        text.lines().filter_map(within).collect()
    }
}

fn start(site: &Site) -> (Server, Notes) {
    let (source, library) = (site.path("notes.c"), site.path("notes.so"));
    fs::write(&source, NOTES).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).status();
    assert!(made.expect("a C compiler").success());
    let notes = Notes { file: site.path("notes.txt"), site: fs::canonicalize(site.path("")).unwrap() };
    let server = site.start_with(|command| {
        command.env("LD_PRELOAD", &library).env("SYNC_NOTES", &notes.file);
    });
    (server, notes)
}

/// Installs what lies at a path, and waits until the server has answered.
fn install(site: &Site, server: &Server, path: &str) {
    let body = serde_json::json!({ "path": fs::canonicalize(site.path(path)).unwrap() });
    let answer = server.act_with("POST", "/api/v1/plugins", &body);
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[test]
fn what_was_acknowledged_is_on_the_disk() {
    let site = site();
    site.write("plugins/hello.rs", &single("hello"));
    site.write("elsewhere/fresh/Cargo.toml", &manifest("fresh"));
    site.write("elsewhere/fresh/src/lib.rs", &single("fresh"));
    let (server, notes) = start(&site);
    server.until_text("/api/v1/p/hello/", "hello");
    let began = notes.taken();
    // The file under its first name, and the directory in which it was renamed.
    assert!(began.iter().any(|path| path == ".camlock"), "{began:?}");
    assert!(began.iter().any(|path| path.starts_with(".camlock/") && path.contains("admin-token")), "{began:?}");

    // The journal of the database, before the answer.
    assert_eq!(server.post("/api/v1/plugins/hello/disable").status, 200);
    let decided = notes.taken();
    assert!(decided.iter().any(|path| path == ".camlock/registry.db-wal"), "{decided:?}");

    install(&site, &server, "elsewhere/fresh");
    let installed = notes.taken();
    for file in ["Cargo.toml", "src/lib.rs"] {
        assert!(installed.iter().any(|path| path.ends_with(file)), "{file}: {installed:?}");
    }
    assert!(installed.iter().any(|path| path == "plugins"), "its entry: {installed:?}");
    server.end();
}
