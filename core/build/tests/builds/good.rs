//! Sources of which a plugin comes.

use crate::place::{PLAIN, PLUGIN, Place, listener, manifest, really};
use camlock_policy::Sources;
use camlock_testing::trial;
use std::{fs, path::Path};

#[trial]
fn a_crate() {
    let place = Place::shared();
    place.write_crate("whole", "[dependencies]\ncamlock-plugin = \"1\"\n", PLUGIN);
    let before = place.everything("plugins");
    let first = place.entry("whole");
    let (progress, told) = listener();
    let built = place.build_telling("whole", progress).expect("it is built");
    assert_eq!(built.fingerprint, first.fingerprint);
    let identity = really(&built.candidate).expect("a plugin");
    assert_eq!((identity.name.as_str(), &identity.fingerprint), ("whole", &first.fingerprint.0));
    let units = told.lock().unwrap().last().expect("something was told").done;
    assert!(told.lock().unwrap().iter().all(|progress| progress.total.is_none()) && units > 20, "{units}");

    // The author's folder is as it was, and what the build left anywhere changes no fingerprint.
    assert_eq!(place.everything("plugins"), before);
    assert_eq!(place.entry("whole"), first);

    // An edit is another build, of which is known how long it is.
    place.write("plugins/whole/src/lib.rs", &PLUGIN.replace("Hello!", "Good day!"));
    let (progress, told) = listener();
    let built = place.build_telling("whole", progress).expect("it is built");
    assert_ne!(built.fingerprint, first.fingerprint);
    let by_cargo: Vec<_> = told.lock().unwrap().iter().skip_while(|progress| progress.done == 0).cloned().collect();
    assert!(!by_cargo.is_empty() && by_cargo.iter().all(|progress| progress.total == Some(units)), "{by_cargo:?}");
    let doing: Vec<String> = told.lock().unwrap().iter().map(|progress| progress.doing.clone()).collect();
    assert!(doing.iter().any(|doing| doing.starts_with("Compiling whole v0.1.0")), "{doing:?}");
    assert!(fs::read(&built.candidate).unwrap().windows(9).any(|bytes| bytes == b"Good day!"));
}

#[trial]
fn a_single_file() {
    let place = Place::shared();
    let source = format!(
        "#!/usr/bin/env camlock\n---\n[package]\nversion = \"2.1.0\"\n[package.metadata.camlock]\nroutes = [\"/hi\"]\n---\n{}",
        PLUGIN.replace(
            "\"Hello!\"",
            "Json(serde_json::json!({ \"serde\": tokio::time::Duration::from_secs(1).as_secs() }))"
        )
    );
    place.write("plugins/lonely.rs", &source);
    let built = place.build("lonely");
    let sections = camlock_loader::inspect(&fs::read(&built.candidate).unwrap()).expect("a plugin");
    assert_eq!((&*sections.manifest.version, &*sections.manifest.camlock.routes), ("2.1.0", &["/hi".to_owned()][..]));
    assert_eq!(place.everything("plugins").len(), 1);
}

/// What is compiled takes no time from what serves.
#[trial]
fn a_build_gives_way() {
    let place = Place::apart();
    place.write_crate("meek", "", PLAIN);
    let script = "fn main() {\n    let stat = std::fs::read_to_string(\"/proc/self/stat\").unwrap();\n    \
                  let nice: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap();\n    \
                  assert!(nice >= 10, \"{nice}\");\n}\n";
    place.write("plugins/meek/build.rs", script);
    place.build("meek");
}

#[trial]
fn a_workspace_above() {
    let place = Place::apart();
    place.write("Cargo.toml", "[workspace]\nmembers = [\"nothing-here\"]\n");
    place.write_crate("lost", "", PLAIN);
    place.build("lost");
    // Nor does one that the plugin names itself.
    place.write(
        "plugins/lost/Cargo.toml",
        &manifest("lost", "").replace("\n\n[lib]", "\nworkspace = \"../..\"\n\n[lib]"),
    );
    place.build("lost");
    assert!(!place.path("Cargo.lock").exists());
}

/// What an author sets holds, except where it would break the server.
#[trial]
fn settings_of_the_author() {
    let place = Place::apart();
    let checks = "#[cfg(panic = \"abort\")]\ncompile_error!(\"aborts\");\n\
                  #[cfg(not(of_the_author))]\ncompile_error!(\"no flag\");\n\
                  pub const SET: &str = env!(\"SET_BY_THE_AUTHOR\");\n";
    place.write_crate("settled", "[profile.dev]\npanic = \"abort\"\n", &format!("{checks}{PLAIN}"));
    place.write(
        "plugins/settled/.cargo/config.toml",
        "[build]\ntarget-dir = \"out\"\ntarget = \"wasm32-unknown-unknown\"\nrustflags = [\"--cfg\", \"of_the_author\"]\n\
         [env]\nSET_BY_THE_AUTHOR = \"yes\"\n",
    );
    place.write("plugins/settled/Cargo.lock", "version = 4\n\n[[package]]\nname = \"settled\"\nversion = \"0.1.0\"\n");
    let before = place.everything("plugins");
    let built = place.build("settled");
    assert!(fs::read(&built.candidate).unwrap().starts_with(b"\x7fELF"));
    assert_eq!(place.everything("plugins"), before);
    let fingerprint = built.fingerprint;
    place.write("plugins/settled/.cargo/config.toml", "");
    assert_ne!(place.entry("settled").fingerprint, fingerprint);
    assert!(place.fail("settled").reason.contains("no flag"));
}

#[trial]
fn a_crate_behind_a_link() {
    let place = Place::apart();
    place.write("home/linked/Cargo.toml", &manifest("linked", ""));
    let includes = "pub const NEAR: &str = include_str!(\"../near.txt\");\n\
                    pub const FAR: &str = include_str!(\"../../far.txt\");\n";
    place.write("home/linked/src/lib.rs", &format!("{includes}{PLAIN}"));
    place.write("home/linked/near.txt", "near");
    place.write("home/far.txt", "far");
    std::os::unix::fs::symlink(Path::new("../home/linked"), place.path("plugins/linked")).unwrap();
    // Of a file that nobody knew, and that is as young as the build, one cannot tell.
    place.settle("home/far.txt");
    let built = place.build("linked");
    assert_eq!(
        place.builder.outside().into_iter().collect::<Vec<_>>(),
        [place.path("home/far.txt"), place.path("home/linked")]
    );
    place.write("home/far.txt", "farther");
    assert_ne!(place.entry("linked").fingerprint, built.fingerprint);
    place.build("linked");
}

#[trial]
fn a_loop_of_links() {
    let place = Place::apart();
    place.write_crate("looping", "", PLAIN);
    place.write("plugins/looping/build.rs", "fn main() {}\n");
    std::os::unix::fs::symlink("..", place.path("plugins/looping/src/up")).unwrap();
    std::os::unix::fs::symlink("ring", place.path("plugins/looping/ring")).unwrap();
    place.build("looping");
}

/// Who names a path for camlock-plugin builds with what lies there.
#[trial]
fn an_sdk_of_its_own() {
    let place = Place::shared();
    let sdk = camlock_testing::repository().join("plugin-api");
    let dependency = format!("[dependencies]\ncamlock-plugin = {{ path = \"{}\" }}\n", sdk.display());
    place.write_crate("own-sdk", &dependency, PLUGIN);
    place.build("own-sdk");
    let outside = place.builder.outside();
    assert!(outside.contains(&sdk) && outside.contains(&sdk.join("abi")), "{outside:?}");
    assert!(!outside.iter().any(|path| path.ends_with("core")), "{outside:?}");
}

#[trial]
fn the_plugins_that_ship() {
    let place = Place::shared();
    let shipped = camlock_testing::repository().join("plugins");
    // Linked, for what a test leaves in their folders would be seen.
    for entry in fs::read_dir(&shipped).unwrap().flatten() {
        std::os::unix::fs::symlink(entry.path(), place.path("plugins").join(entry.file_name())).unwrap();
    }
    let names: Vec<String> = place.builder.scan().entries.into_iter().map(|entry| entry.name).collect();
    assert!(names.iter().any(|name| name == "hello") && names.len() > 1, "{names:?}");
    for name in names {
        let built = place.build(&name);
        assert_eq!(really(&built.candidate).expect("a plugin").name, name);
    }
}
