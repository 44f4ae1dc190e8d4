//! A one-line change of an axum plugin, saved: until the new code answers, against the bare incremental `cargo build` of the
//! same change with the same profile. Pairs that alternate.

use crate::common::report::{Better, Row, finish};
use camlock_build::Profile;
use camlock_testing::{Server, Site, manifest, repository, single};
use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

const PAIRS: usize = 30;

pub fn run() -> ExitCode {
    let rows = [Profile::Quick, Profile::Release].map(|profile| {
        let case = match profile {
            Profile::Quick => "save → answer from the new code ÷ bare cargo build, profile quick",
            Profile::Release => "save → answer from the new code ÷ bare cargo build, profile release",
        };
        let ratios = measure(profile);
        let row = Row::median(case, "×", Better::Lower, &ratios);
        if profile == Profile::Quick { row.must(1.2, 1.1) } else { row.must(1.5, 1.15) }
    });
    finish("edit-to-live", &rows)
}

fn measure(profile: Profile) -> Vec<f64> {
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    let name = if profile == Profile::Quick { "quick" } else { "release" };
    let server = site.start_with(|command| _ = command.args(["--profile", name]).env("CAMLOCK_LOG", "error"));
    site.write("plugins/edited/Cargo.toml", &manifest("edited"));
    live(&site, &server, "begin");
    let bare = Bare::new(profile);
    bare.build("begin");
    (0..PAIRS + 2)
        .map(|pair| {
            let text = format!("edit {pair}");
            if pair % 2 == 0 {
                let ours = live(&site, &server, &text);
                ours / bare.build(&text)
            } else {
                let theirs = bare.build(&text);
                live(&site, &server, &text) / theirs
            }
        })
        .skip(2)
        .collect()
}

/// Saves, and waits for the answer. Seconds.
fn live(site: &Site, server: &Server, text: &str) -> f64 {
    let began = Instant::now();
    site.write("plugins/edited/src/lib.rs", &single(text));
    server.until_text("/api/v1/p/edited/", text);
    began.elapsed().as_secs_f64()
}

/// The same crate for plain cargo, with the SDK by path.
struct Bare {
    dir: std::path::PathBuf,
    arguments: Vec<String>,
}

impl Bare {
    fn new(profile: Profile) -> Self {
        let dir = repository().join("target/bench/bare");
        let sdk = format!("camlock-plugin = {{ path = {:?} }}", repository().join("plugin-api").display().to_string());
        let manifest = manifest("edited").replace("camlock-plugin = \"1\"", &sdk) + "\n[workspace]\n";
        write(&dir.join("Cargo.toml"), &manifest);
        let lock = repository().join("core/loader/fixtures/Cargo.lock");
        fs::copy(lock, dir.join("Cargo.lock")).expect("a lock file");
        Bare { dir, arguments: profile.cargo_arguments() }
    }

    /// Saves and builds. Seconds.
    fn build(&self, text: &str) -> f64 {
        let began = Instant::now();
        write(&self.dir.join("src/lib.rs"), &single(text));
        let built = Command::new("cargo")
            .args(["build", "--quiet"])
            .args(&self.arguments)
            .current_dir(&self.dir)
            .env_remove("CARGO_TARGET_DIR")
            .status();
        assert!(built.expect("cargo runs").success());
        began.elapsed().as_secs_f64()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, text).expect("it can be written");
}
