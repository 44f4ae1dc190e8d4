//! Entries that no plugin can come of, which is known before anything is built.

use super::{expect_failed, expect_steady, with_steady};
use camlock_testing::{manifest, single};
use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::symlink},
};

#[test]
fn manifests() {
    let (site, server) = with_steady();
    let good = |name: &str| manifest(name);
    for (folder, text) in [
        ("no-cdylib", good("no-cdylib").replace("crate-type = [\"cdylib\"]", "")),
        ("only-rlib", good("only-rlib").replace("cdylib", "rlib")),
        ("other-lib", good("other-lib").replace("[lib]", "[lib]\nname = \"hello\"")),
        ("unknown-key", good("unknown-key") + "[package.metadata.camlock]\nroots = [\"/x\"]\n"),
        ("wrong-type", good("wrong-type") + "[package.metadata.camlock]\ndependencies = [\"kv-store\"]\n"),
        ("no-toml", "[package\n".to_owned()),
        ("nameless", "[package]\nversion = \"1.0.0\"\n".to_owned()),
        ("inherits", good("inherits").replace("version = \"0.1.0\"", "version.workspace = true")),
        // Out of bounds: the plugin is shown by the name that it wants to have.
        ("folder-1", good("Shouting")),
        ("folder-2", good("ab")),
        ("folder-3", good("catalog")),
        ("folder-4", good(&"long-".repeat(11))),
    ] {
        site.write(&format!("plugins/{folder}/Cargo.toml"), &text);
    }
    site.write("plugins/Shouting_file.rs", &single(""));
    site.write("plugins/front.rs", &format!("---\n[package]\nname = \"other\"\n---\n{}", single("")));
    site.write("plugins/no-library.so", "not even an ELF file");
    let long = "long-".repeat(11);
    for (name, stage, words) in [
        ("no-cdylib", "manifest", &["Cargo.toml, line 6: ", "it builds no library", "crate-type = [\"cdylib\"]"][..]),
        ("only-rlib", "manifest", &["Cargo.toml, line 7: ", "does not list `cdylib`"]),
        ("other-lib", "manifest", &["Cargo.toml, line 7: ", "must be called like its package, `other_lib`"]),
        ("unknown-key", "manifest", &["Cargo.toml, line 12: ", "unknown field `roots`"]),
        ("wrong-type", "manifest", &["Cargo.toml, line 12: ", "invalid type: sequence, expected a map"]),
        ("no-toml", "manifest", &["Cargo.toml, line 1: "]),
        ("nameless", "manifest", &["Cargo.toml, line 1: `[package]` has no `name`"]),
        ("inherits", "manifest", &["Cargo.toml, line 3: ", "is inherited from a workspace"]),
        ("Shouting", "manifest", &["Cargo.toml, line 2: ", "`Shouting` is no name for a plugin"]),
        ("ab", "manifest", &["Cargo.toml, line 2: ", "`ab` is no name for a plugin"]),
        ("catalog", "manifest", &["Cargo.toml, line 2: ", "`catalog`", "reserved"]),
        (&*long, "manifest", &["Cargo.toml, line 2: ", "is no name for a plugin"]),
        ("Shouting_file", "manifest", &["Shouting_file.rs: ", "`Shouting_file` is no name for a plugin"]),
        ("front", "manifest", &["front.rs, line 3: ", "the package is called `other`"]),
        ("no-library", "verify", &["ELF"]),
    ] {
        expect_failed(&server, name, stage, words);
    }
}

/// The one that was there first stays, and the other is told of, wherever it stands in the alphabet.
#[test]
fn two_entries_of_one_name() {
    let (site, server) = with_steady();
    site.write("plugins/a-folder/Cargo.toml", &manifest("steady"));
    site.write("plugins/a-folder/src/lib.rs", &single("the other"));
    let reason = server.until_failed("steady", "manifest");
    let [first, second] = ["steady.rs", "a-folder"].map(|entry| site.plugins().join(entry).display().to_string());
    assert!(reason.contains(&format!("two entries are named `steady`: {first} is the one that counts")), "{reason}");
    assert!(reason.contains(&format!("{second} is left alone; rename or remove one")), "{reason}");
    let plugin = server.plugin("steady");
    assert_eq!((plugin["state"].as_str(), plugin["serving"]["generation"].as_u64()), (Some("serving"), Some(1)));
    assert_eq!(server.get("/api/v1/p/steady/").text, "steady");
    // With the first gone the name is the other's.
    fs::remove_file(site.path("plugins/steady.rs")).unwrap();
    server.until_text("/api/v1/p/steady/", "the other");
    assert!(server.plugin("steady")["failed"].is_null());
}

#[test]
fn too_much() {
    let (site, server) = with_steady();
    for name in ["crowded", "huge"] {
        site.write(&format!("plugins/{name}/Cargo.toml"), &manifest(name));
        site.write(&format!("plugins/{name}/src/lib.rs"), &single(name));
        server.until_serving(name);
    }
    // A hundred thousand files, by a hundred links to a thousand.
    let (rows, links) = (site.path("rows"), site.path("links"));
    fs::create_dir(&rows).unwrap();
    (0..1000).for_each(|row| drop(File::create(rows.join(row.to_string())).unwrap()));
    fs::create_dir(&links).unwrap();
    (0..100).for_each(|link| symlink(&rows, links.join(link.to_string())).unwrap());
    fs::rename(links, site.path("plugins/crowded/rows")).unwrap();
    let large = File::create(site.path("plugins/huge/data.bin")).unwrap();
    large.set_len(5 << 30).unwrap();
    for name in ["huge-file.rs", "huge-library.so"] {
        File::create(site.plugins().join(name)).unwrap().set_len(5 << 30).unwrap();
    }
    let advice = "keep data outside the plugin's folder";
    for (name, words) in [
        ("crowded", ["`crowded` has more than 20000 files, most of them in `rows`", advice]),
        ("huge", ["`huge` has a file of 5120 MiB, `data.bin`, more than the 64 MiB that are read", advice]),
    ] {
        let reason = server.until_failed(name, "manifest");
        assert!(words.iter().all(|part| reason.contains(part)), "{reason}");
        // What was built of it before serves on.
        assert_eq!(server.get(&format!("/api/v1/p/{name}/")).text, name);
    }
    expect_failed(&server, "huge-file", "manifest", &["`huge-file.rs` is 5120 MiB, more than the 64 MiB"]);
    expect_failed(&server, "huge-library", "manifest", &["`huge-library.so` is 5120 MiB, more than the 1024 MiB"]);
}

#[test]
fn links_that_lead_nowhere_and_names_that_are_no_text() {
    let (site, server) = with_steady();
    let not_text = |before: &str, after: &str| {
        let bytes = [before.as_bytes(), b"caf\xe9", after.as_bytes()].concat();
        OsStr::from_bytes(&bytes).to_owned()
    };
    // In a plugin's folder they do no harm.
    site.write("plugins/looped/Cargo.toml", &manifest("looped"));
    site.write("plugins/looped/src/lib.rs", &single("looped"));
    let looped = site.path("plugins/looped");
    symlink("..", looped.join("src/above")).unwrap();
    symlink(&looped, looped.join("itself")).unwrap();
    symlink("ring", looped.join("ring")).unwrap();
    fs::create_dir(looped.join(not_text("", ""))).unwrap();
    fs::write(looped.join(not_text("", "")).join(not_text("x", ".txt")), "text").unwrap();
    server.until_text("/api/v1/p/looped/", "looped");
    // Changes beside them are seen.
    site.write("plugins/looped/src/lib.rs", &single("looped still"));
    server.until_text("/api/v1/p/looped/", "looped still");

    // As entries they are told of.
    symlink("ring", site.path("plugins/ring")).unwrap();
    symlink("nowhere", site.path("plugins/lost.so")).unwrap();
    symlink(".", site.path("plugins/dot")).unwrap();
    fs::write(site.plugins().join(not_text("", ".rs")), single("")).unwrap();
    let folder = site.plugins().join(not_text("folder-", ""));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest("folder")).unwrap();
    expect_failed(&server, "ring", "manifest", &["`ring` is a link to `ring`, which cannot be followed"]);
    expect_failed(&server, "lost", "manifest", &["`lost.so` is a link to `nowhere`", "no such file"]);
    let words = &["has a name that is not UTF-8; give it another one"];
    expect_failed(&server, "caf%EF%BF%BD", "manifest", words);
    expect_failed(&server, "folder-caf%EF%BF%BD", "manifest", words);
    expect_steady(&server);
    assert_eq!(server.get("/api/v1/p/looped/").text, "looped still");
}
