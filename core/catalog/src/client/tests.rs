//! Catalogs that are followed, and those that somebody tampered with: every attack that The Update Framework knows of, on real
//! directories and over a socket.

use super::{
    site::{CatalogSite, copy, names, reading},
    *,
};
use crate::{
    TroubleSort,
    package::{
        ReadLibrary, generate_author_key,
        tests::{facts, plain},
    },
    publish::{Keeper, Lifetimes, NewCatalog, Publication},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

#[test]
fn a_catalog_is_followed() {
    let site = CatalogSite::new();
    site.publish(&[("hello", "1.0.0"), ("other", "1.0.0")]).unwrap();
    let all = site.open().unwrap().since(None).unwrap();
    assert!(matches!(all.lines, SyncedLines::All(_)));
    assert_eq!((names(&all.lines), all.version), (vec!["hello 1.0.0".to_owned(), "other 1.0.0".to_owned()], 2));
    assert_eq!(site.open().unwrap().since(Some(2)).unwrap().lines, SyncedLines::Unchanged);
    site.publish(&[("hello", "1.1.0")]).unwrap();
    site.publish(&[("kv-store", "0.1.0")]).unwrap();
    let mut reader = site.open().unwrap();
    let changes = reader.since(Some(2)).unwrap();
    assert!(matches!(changes.lines, SyncedLines::Changes(_)));
    assert_eq!(names(&changes.lines), ["hello 1.1.0", "kv-store 0.1.0"]);
    let document = reader.document("hello").unwrap();
    assert_eq!(document.publisher, Some(site.author.publisher().to_string()));
    assert_eq!(document.versions.len(), 2);
    let package = reader.package("hello", document.newest().unwrap()).unwrap();
    package.verify(&site.author.publisher()).unwrap();
    assert!(reader.document("nothing").is_err_and(|trouble| trouble.sort == TroubleSort::Missing));
    assert!(reader.document("../evil").is_err());
    // A version stays what it was, a name its author's; an older one is no rollback of the catalog.
    site.publish(&[("hello", "1.0.9")]).unwrap();
    assert_eq!(site.open().unwrap().document("hello").unwrap().newest().unwrap().version, "1.1.0");
    site.publish(&[("hello", "1.1.0")]).expect("the same bytes: minisign signs package.json, which is the same");
    let stranger = generate_author_key(&site.dir.path().join("stranger"), None).unwrap();
    let theirs = vec![plain(facts("hello", "2.0.0"), Some(&stranger))];
    let read = reading(&theirs);
    let publication =
        Publication { packages: theirs, publishers: vec![stranger.publisher()], ..Publication::default() };
    let refused = site.keeper().publish(publication, &read).unwrap_err();
    assert!(refused.reason.contains("belongs to the publisher"), "{refused}");
    let unsigned = vec![plain(facts("unsigned", "1.0.0"), None)];
    let read = reading(&unsigned);
    let refused =
        site.keeper().publish(Publication { packages: unsigned, ..Publication::default() }, &read).unwrap_err();
    assert!(refused.reason.contains("nobody signed it"), "{refused}");
    let mut other = facts("hello", "1.1.0");
    other.manifest.description = "Something else".to_owned();
    let again = vec![plain(other.clone(), Some(&site.author))];
    let read: ReadLibrary = Arc::new(move |_| Ok(other.clone()));
    let refused = site.keeper().publish(Publication { packages: again, ..Publication::default() }, &read).unwrap_err();
    assert!(refused.reason.contains("with other bytes"), "{refused}");
    // Whoever missed more than is kept fetches everything; whoever knows a later one too.
    assert!(matches!(site.open().unwrap().since(Some(900)).unwrap().lines, SyncedLines::All(_)));
}

#[test]
fn only_the_bin_of_a_plugin_is_signed_again() {
    let site = CatalogSite::of(NewCatalog { roots: 1, threshold: 1, bins: 64 });
    site.publish(&[("hello", "1.0.0"), ("other", "1.0.0")]).unwrap();
    let bins = || {
        let names = fs::read_dir(site.path().join("metadata"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".bin-")).count()
    };
    let before = bins();
    site.publish(&[("hello", "1.1.0")]).unwrap();
    assert_eq!(bins(), before + 1);
    assert_eq!(site.open().unwrap().document("hello").unwrap().versions.len(), 2);
    // Nothing but the time is new.
    site.publish(&[]).unwrap();
    assert_eq!(bins(), before + 1);
}

/// Serves a folder, and remembers what it was asked for.
fn serve(folder: PathBuf) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            noted.lock().unwrap().push(path.clone());
            let (status, body) = match &*path {
                "moved/metadata/1.root.json" => ("302 Found\r\nlocation: /metadata/1.root.json", Vec::new()),
                "broken/metadata/1.root.json" => ("500 Broken", Vec::new()),
                path => fs::read(folder.join(path)).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body)),
            };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    (url, asked)
}

#[test]
fn over_http_little_is_asked_for() {
    let site = CatalogSite::new();
    site.publish(&[("hello", "1.0.0")]).unwrap();
    let (url, asked) = serve(site.path());
    let place = CatalogPlace::read(&url).unwrap();
    let root = CatalogReader::first_root(&place).unwrap();
    let open = || CatalogReader::open(place.clone(), &root, site.trusted.clone(), Timestamp::now());
    let mut reader = open().unwrap();
    assert_eq!(names(&reader.since(None).unwrap().lines), ["hello 1.0.0"]);
    let document = reader.document("hello").unwrap();
    reader.package("hello", document.newest().unwrap()).unwrap();
    asked.lock().unwrap().clear();
    assert_eq!(open().unwrap().since(Some(2)).unwrap().lines, SyncedLines::Unchanged);
    // Whether there are new keys, and whether there is anything new.
    assert_eq!(*asked.lock().unwrap(), ["metadata/2.root.json", "metadata/timestamp.json"]);
    site.publish(&[("hello", "1.1.0")]).unwrap();
    asked.lock().unwrap().clear();
    assert_eq!(names(&open().unwrap().since(Some(2)).unwrap().lines), ["hello 1.1.0"]);
    assert_eq!(asked.lock().unwrap().len(), 6, "root, timestamp, snapshot, targets, changes, advisories");
    // What answers otherwise is no catalog, and nothing is followed to elsewhere.
    for (path, told) in [("moved", "302"), ("broken", "500"), ("nothing", "is no catalog")] {
        let place = CatalogPlace::read(&format!("{url}/{path}")).unwrap();
        let refused = CatalogReader::first_root(&place).unwrap_err();
        assert!(refused.reason.contains(told), "{refused}");
    }
}

#[test]
fn where_a_catalog_may_lie() {
    for url in [
        "https://catalog.example.org/",
        "http://127.0.0.1:80/x",
        "http://localhost",
        "http://[::1]:8",
        "file:///srv/catalog",
    ] {
        assert!(CatalogPlace::read(url).is_ok(), "{url}");
    }
    for (url, told) in [
        ("http://example.org", "only this machine"),
        ("http://127.0.0.1.example.org", "only this machine"),
        ("file://relative", "absolute"),
        ("ftp://example.org", "begins with"),
        ("/srv/catalog", "no host"),
        ("https://user:secret@example.org", "password"),
        ("https://example.org/?token=1", "query"),
        ("", "no URL"),
    ] {
        let refused = CatalogPlace::read(url).unwrap_err();
        assert!(refused.reason.contains(told), "{url}: {refused}");
    }
}

/// A catalog that was followed at version 2 and now is at 3, and what its files were at 2.
fn followed() -> (CatalogSite, PathBuf) {
    let site = CatalogSite::new();
    site.publish(&[("hello", "1.0.0"), ("other", "1.0.0")]).unwrap();
    site.open().unwrap().since(None).unwrap();
    let before = site.dir.path().join("before");
    copy(&site.path(), &before);
    site.publish(&[("hello", "1.1.0")]).unwrap();
    (site, before)
}

type Tamper = fn(&CatalogSite, &Path);

#[test]
fn what_was_tampered_with_is_not_believed() {
    let swap_signer: Tamper = |site, _| {
        let stranger = CatalogSite::new();
        stranger.publish(&[("hello", "6.6.6")]).unwrap();
        stranger.publish(&[]).unwrap();
        fs::copy(stranger.file("timestamp.json"), site.file("timestamp.json")).unwrap();
    };
    let cases: [(&str, Tamper, &str); 19] = [
        (
            "a timestamp with another version",
            |site, _| site.change("timestamp.json", |it| it["signed"]["version"] = 9.into()),
            "threshold",
        ),
        (
            "one that lives longer",
            |site, _| {
                site.change("timestamp.json", |it| it["signed"]["expires"] = "2099-01-01T00:00:00Z".into());
            },
            "threshold",
        ),
        ("no signatures", |site, _| site.change("timestamp.json", |it| it["signatures"] = json!([])), "threshold"),
        (
            "one signature twice",
            |site, _| {
                site.change("timestamp.json", |it| {
                    let one = it["signatures"][0].clone();
                    it["signatures"] = json!([one, one]);
                })
            },
            "duplicate",
        ),
        ("another's signature", swap_signer, "threshold"),
        (
            "half of it",
            |site, _| {
                let bytes = fs::read(site.file("timestamp.json")).unwrap();
                fs::write(site.file("timestamp.json"), &bytes[..bytes.len() / 2]).unwrap();
            },
            "JSON",
        ),
        ("nothing", |site, _| fs::write(site.file("timestamp.json"), "").unwrap(), "JSON"),
        ("it is gone", |site, _| fs::remove_file(site.file("timestamp.json")).unwrap(), "not found"),
        (
            "an endless one",
            |site, _| {
                fs::File::create(site.file("timestamp.json")).unwrap().set_len(100 << 30).unwrap();
            },
            "more than the 16384 bytes",
        ),
        (
            "an endless snapshot",
            |site, _| {
                fs::File::create(site.file("3.snapshot.json")).unwrap().set_len(100 << 30).unwrap();
            },
            "more than the 2000000 bytes",
        ),
        (
            "the old snapshot under the new name",
            |site, before| {
                fs::copy(before.join("metadata/2.snapshot.json"), site.file("3.snapshot.json")).unwrap();
            },
            "integrity",
        ),
        (
            "the old targets under the new name",
            |site, before| {
                fs::copy(before.join("metadata/2.targets.json"), site.file("3.targets.json")).unwrap();
            },
            "integrity",
        ),
        ("a snapshot that is gone", |site, _| fs::remove_file(site.file("3.snapshot.json")).unwrap(), "not found"),
        (
            "another type of metadata",
            |site, _| {
                fs::copy(site.file("3.targets.json"), site.file("timestamp.json")).unwrap();
            },
            "",
        ),
        (
            "a root by nobody",
            |site, _| {
                fs::copy(site.file("1.root.json"), site.file("2.root.json")).unwrap();
                site.change("2.root.json", |it| it["signed"]["version"] = 2.into());
            },
            "threshold",
        ),
        (
            "a root that is the first again",
            |site, _| {
                fs::copy(site.file("1.root.json"), site.file("2.root.json")).unwrap();
            },
            "increment by one",
        ),
        (
            "a root of another catalog",
            |site, _| {
                let stranger = CatalogSite::new();
                stranger.keeper().rotate(&stranger.keys(), None).unwrap();
                fs::copy(stranger.file("2.root.json"), site.file("2.root.json")).unwrap();
            },
            "threshold",
        ),
        (
            "a root that asks for one signature of none",
            |site, _| {
                fs::copy(site.file("1.root.json"), site.file("2.root.json")).unwrap();
                site.change("2.root.json", |it| {
                    it["signed"]["version"] = 2.into();
                    it["signed"]["roles"]["root"]["threshold"] = 0.into();
                });
            },
            "",
        ),
        (
            "an endless root",
            |site, _| {
                fs::File::create(site.file("2.root.json")).unwrap().set_len(100 << 30).unwrap();
            },
            "more than the 512000 bytes",
        ),
    ];
    let (site, before) = followed();
    let whole = site.dir.path().join("whole");
    copy(&site.path(), &whole);
    let known = site.trusted.files();
    for (what, tamper, told) in cases {
        tamper(&site, &before);
        // Each finds what was known before: what another one proved in passing must not help it.
        let trusted = TrustedFiles::of(known.clone());
        let refused = CatalogReader::open(site.place(), &site.root(), trusted.clone(), Timestamp::now());
        let refused = refused.err().unwrap_or_else(|| panic!("{what} is believed"));
        assert!(refused.reason.contains(told), "{what}: {refused}");
        // What was proved before is what is known, and the whole catalog is believed again.
        assert_eq!(trusted.files()["targets.json"], known["targets.json"], "{what}");
        fs::remove_dir_all(site.path()).unwrap();
        copy(&whole, &site.path());
    }
    assert_eq!(names(&site.open().unwrap().since(Some(2)).unwrap().lines), ["hello 1.1.0"]);
}

#[test]
fn nothing_older_is_believed_again() {
    let (site, before) = followed();
    site.open().unwrap();
    let later = site.dir.path().join("later");
    copy(&site.path(), &later);
    // All of it as it was: each file is well signed.
    fs::remove_dir_all(site.path()).unwrap();
    copy(&before, &site.path());
    let refused = site.open().unwrap_err();
    assert!(refused.sort == TroubleSort::Denied && refused.reason.contains("rollback"), "{refused}");
    // Somebody who never saw the later one cannot know, until its time is over.
    let newcomer = CatalogReader::open(site.place(), &site.root(), TrustedFiles::default(), Timestamp::now());
    assert_eq!(newcomer.unwrap().version(), 2);
    fs::remove_dir_all(site.path()).unwrap();
    copy(&later, &site.path());
    site.open().unwrap();
    // A frozen one: nobody vouches for it any more.
    let days = |days: i64| Timestamp::now().checked_add(SignedDuration::from_hours(24 * days)).unwrap();
    assert!(site.open_at(days(29)).is_ok());
    let refused = site.open_at(days(31)).unwrap_err();
    assert!(refused.sort == TroubleSort::Unavailable && refused.reason.contains("expired"), "{refused}");
    assert!(refused.reason.contains("what is installed is not affected"), "{refused}");
    // Its keeper signs on, with nothing new: it lives longer.
    let keeper = site.keeper().at(days(20));
    site.publish_by(&keeper, &[]).unwrap();
    assert!(site.open_at(days(31)).is_ok());
    // The clock of whoever follows does not matter for what is older.
    drop(keeper);
    let refused = {
        fs::copy(later.join("metadata/timestamp.json"), site.file("timestamp.json")).unwrap();
        site.open().unwrap_err()
    };
    assert!(refused.reason.contains("rollback"), "{refused}");
}

#[test]
fn files_that_were_changed_are_not_taken() {
    let (site, before) = followed();
    let whole = site.dir.path().join("whole");
    copy(&site.path(), &whole);
    let reset = || {
        fs::remove_dir_all(site.path()).unwrap();
        copy(&whole, &site.path());
    };
    let append = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes.push(b' ');
        fs::write(path, bytes).unwrap();
    };
    let other = site.only("p", ".other.json");
    let mut reader = site.open().unwrap();
    // A document that was changed, and the one of another plugin in its place.
    append(&other);
    assert_eq!(reader.document("other").unwrap_err().sort, TroubleSort::Denied);
    reset();
    let hello = fs::read_dir(before.join("p")).unwrap().map(|entry| entry.unwrap().path());
    let hello = hello.into_iter().find(|path| path.to_string_lossy().ends_with(".hello.json")).unwrap();
    fs::copy(hello, &other).unwrap();
    assert_eq!(reader.document("other").unwrap_err().sort, TroubleSort::Denied);
    reset();
    // The bin of another version, and one that somebody else may not sign.
    let bins: Vec<PathBuf> =
        fs::read_dir(site.path().join("metadata")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for bin in bins.iter().filter(|path| path.to_string_lossy().contains(".bin-")) {
        append(bin);
    }
    let mut fresh = site.open().unwrap();
    assert_eq!(fresh.document("other").unwrap_err().sort, TroubleSort::Denied);
    reset();
    // Lists.
    let changes = site.only("changes", ".3.jsonl.zst");
    append(&changes);
    assert!(site.open().unwrap().since(Some(2)).is_err());
    reset();
    let bomb = zstd::bulk::compress(&vec![b' '; 64 << 20], 19).unwrap();
    assert!(crate::documents::unpack_lines(&bomb).is_err());
    // Packages: a file, the record, the signature, and the whole of another version.
    let version = reader.document("hello").unwrap().newest().unwrap().clone();
    let package = site.path().join("packages/hello/1.1.0");
    let library = format!("hello-1.1.0-{}.so", crate::package::target_here());
    for (file, told) in [(&*library, "more than the"), ("package.json", "was changed")] {
        append(&package.join(file));
        let refused = reader.package("hello", &version).unwrap_err();
        assert!(refused.reason.contains(told), "{file}: {refused}");
        reset();
    }
    let mut bytes = fs::read(package.join(&library)).unwrap();
    bytes[1000] ^= 1;
    fs::write(package.join(&library), bytes).unwrap();
    assert!(reader.package("hello", &version).unwrap_err().reason.contains("was changed"));
    reset();
    fs::copy(site.path().join("packages/hello/1.0.0/package.json"), package.join("package.json")).unwrap();
    assert!(reader.package("hello", &version).unwrap_err().reason.contains("was changed"));
    reset();
    fs::remove_file(package.join(&library)).unwrap();
    assert_eq!(reader.package("hello", &version).unwrap_err().sort, TroubleSort::Missing);
    reset();
    fs::write(package.join("package.json.minisig"), "untrusted comment: x\nRWQ=\ntrusted comment: x\nAAAA\n").unwrap();
    let read = reader.package("hello", &version).unwrap();
    assert!(read.verify(&site.author.publisher()).is_err());
}

#[test]
fn keys_change_with_the_consent_of_enough_old_ones() {
    let site = CatalogSite::new();
    site.publish(&[("hello", "1.0.0")]).unwrap();
    site.open().unwrap();
    // The key that publishes was stolen: another one from now on.
    assert_eq!(site.keeper().rotate(&site.keys(), None).unwrap(), 2);
    fs::remove_file(site.keys().join("online.key")).unwrap();
    assert_eq!(site.open().unwrap().document("hello").unwrap().versions.len(), 1);
    site.publish(&[("hello", "1.1.0")]).unwrap();
    assert_eq!(site.open().unwrap().document("hello").unwrap().versions.len(), 2);
    // A root key was lost: two others make new ones.
    fs::remove_file(site.keys().join("root-3.key")).unwrap();
    assert!(site.keeper().rotate(&site.keys(), None).unwrap_err().reason.contains("`--roots`"));
    assert_eq!(site.keeper().rotate(&site.keys(), Some((5, 3))).unwrap(), 3);
    assert!(site.open().is_ok());
    // The old ones count no longer.
    for number in 1..=3 {
        fs::remove_file(site.keys().join(format!("root-3-{number}.key"))).unwrap();
    }
    let refused = site.keeper().rotate(&site.keys(), Some((1, 1))).unwrap_err();
    assert!(refused.reason.contains("3 root keys must sign a change of keys, and 2"), "{refused}");
    // Somebody who comes only now goes the whole way from the first root.
    let newcomer = CatalogReader::open(site.place(), &site.root(), TrustedFiles::default(), Timestamp::now());
    assert_eq!(newcomer.unwrap().document("hello").unwrap().versions.len(), 2);
    // The keys never lie where everybody reads.
    let dir = tempfile::tempdir().unwrap();
    let refused =
        Keeper::create(&dir.path().join("c"), &dir.path().join("c/keys"), NewCatalog::default(), Lifetimes::default());
    assert!(refused.unwrap_err().reason.contains("which everybody reads"));
    for new in [
        NewCatalog { roots: 2, threshold: 3, bins: 16 },
        NewCatalog { roots: 2, threshold: 0, bins: 16 },
        NewCatalog { roots: 1, threshold: 1, bins: 3 },
        NewCatalog { roots: 1, threshold: 1, bins: 8192 },
    ] {
        assert!(Keeper::create(&dir.path().join("d"), &dir.path().join("keys"), new, Lifetimes::default()).is_err());
    }
}

#[test]
fn a_keeper_does_not_sign_what_somebody_else_wrote() {
    let (site, _) = followed();
    let document = site.only("p", ".other.json");
    let text = fs::read_to_string(&document).unwrap().replace("Says hello", "Says more!");
    fs::write(&document, text).unwrap();
    let refused = site.publish(&[("third", "1.0.0")]).unwrap_err();
    assert_eq!(refused.sort, TroubleSort::Denied, "{refused}");
    // Two at once: one waits for nobody.
    let held = site.keeper();
    let second = Keeper::open(&site.path(), &site.keys(), Lifetimes::default()).unwrap_err();
    assert!(second.reason.contains("somebody else is publishing"), "{second}");
    drop(held);
    // Killed before the timestamp was written: what was published before still stands.
    let (site, before) = followed();
    fs::copy(before.join("metadata/timestamp.json"), site.file("timestamp.json")).unwrap();
    assert_eq!(site.open().unwrap().version(), 2);
    assert_eq!(site.publish(&[("hello", "1.2.0")]).unwrap().version, 3);
    assert_eq!(names(&site.open().unwrap().since(Some(2)).unwrap().lines), ["hello 1.2.0"]);
}

#[test]
fn a_mirror_is_the_same_catalog() {
    let (site, _) = followed();
    let mirrored = site.dir.path().join("mirror");
    let copied = mirror(&site.place(), &site.root(), &mirrored, Timestamp::now()).unwrap();
    assert_eq!((copied.version, copied.kept), (3, 0));
    let place = CatalogPlace::Folder(mirrored.clone());
    let open = || CatalogReader::open(place.clone(), &site.root(), TrustedFiles::default(), Timestamp::now());
    let mut reader = open().unwrap();
    assert_eq!(names(&reader.since(None).unwrap().lines), ["hello 1.1.0", "other 1.0.0"]);
    for (name, version) in [("hello", "1.0.0"), ("hello", "1.1.0"), ("other", "1.0.0")] {
        let document = reader.document(name).unwrap();
        let package = reader.package(name, document.version(version).unwrap()).unwrap();
        package.verify(&site.author.publisher()).unwrap();
    }
    // Only what is new is fetched, and what somebody changed in the copy is mended.
    site.publish(&[("third", "1.0.0")]).unwrap();
    let library = format!("packages/other/1.0.0/other-1.0.0-{}.so", crate::package::target_here());
    fs::write(mirrored.join(&library), "changed").unwrap();
    let again = mirror(&site.place(), &site.root(), &mirrored, Timestamp::now()).unwrap();
    assert!(again.version == 4 && again.kept > again.fetched, "{again:?}");
    let document = open().unwrap().document("other").unwrap();
    open().unwrap().package("other", document.newest().unwrap()).unwrap();
    // What is broken off, or not to be believed, leaves the mirror as it was.
    site.publish(&[("fourth", "1.0.0")]).unwrap();
    fs::remove_dir_all(site.path().join("packages/fourth")).unwrap();
    assert_eq!(
        mirror(&site.place(), &site.root(), &mirrored, Timestamp::now()).unwrap_err().sort,
        TroubleSort::Missing
    );
    assert_eq!(open().unwrap().version(), 4);
}

#[test]
fn one_file_of_a_package_is_enough() {
    let (site, _) = followed();
    let mut reader = site.open().unwrap();
    let version = reader.document("hello").unwrap().newest().unwrap().clone();
    let library = format!("hello-1.1.0-{}.so", crate::package::target_here());
    let part = reader.part("hello", &version, &library).unwrap();
    part.verify(&site.author.publisher()).unwrap();
    part.examine(&crate::package::target_here(), &crate::package::tests::reader(facts("hello", "1.1.0"))).unwrap();
    let lie = crate::package::tests::reader(facts("hello", "9.9.9"));
    assert!(part.examine(&crate::package::target_here(), &lie).is_err());
    assert!(reader.part("hello", &version, "nothing.so").is_err());
    let mut elsewhere = version.clone();
    elsewhere.version = "../../other/1.0.0".to_owned();
    assert!(reader.part("hello", &elsewhere, &library).is_err());
}
