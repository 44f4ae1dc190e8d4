//! What following a catalog asks of the file server it lies on: a keeper publishes, somebody follows over a socket, and what went over
//! that is counted. The catalog's files lie in memory where that can be: each is written so that it stays, which is not measured here.

use crate::common::report::{Better, Row};
use camlock_catalog::{
    client::{CatalogPlace, CatalogReader, SyncedLines, TrustedFiles},
    package::{AuthorKey, LibraryFacts, PackageArchive, PackageParts, ReadLibrary, generate_author_key, make},
    publish::{Keeper, Lifetimes, NewCatalog, Publication},
    search::CatalogIndex,
};
use camlock_policy::Manifest;
use jiff::Timestamp;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

/// Of a real catalog of 6,858 plugins, 668 new versions are published a day.
const CHANGES_AN_HOUR: [(usize, u32, usize); 2] = [(7_000, 256, 28), (100_000, 1_024, 406)];
/// So many of those that change are installed: their documents are looked at. Whoever has 100 of 7,000 sees less than one an hour.
const INSTALLED: usize = 1;

pub fn rows() -> Vec<Row> {
    let [small, large] = CHANGES_AN_HOUR.map(|(plugins, bins, changed)| followed(plugins, bins, changed));
    let bytes =
        |case, asked: &Asked, must| Row::count(case, "kB", Better::Lower, asked.bytes as f64 / 1e3).must(must, must);
    let requests = |case, asked: &Asked| Row::count(case, "", Better::Lower, asked.requests as f64);
    vec![
        requests("sync, unchanged: requests", &large.unchanged).must(2.0, 2.0),
        bytes("sync, unchanged", &large.unchanged, 1.0),
        requests("sync, an hour's change of 7,000: requests", &small.changed),
        bytes("sync, an hour's change of 7,000", &small.changed, 100.0),
        requests("sync, an hour's change of 100,000: requests", &large.changed),
        bytes("sync, an hour's change of 100,000", &large.changed, 400.0),
        Row::count("sync, the first of 100,000", "s", Better::Lower, large.first).must(10.0, 5.0),
    ]
}

/// What was asked of the file server.
struct Asked {
    requests: usize,
    bytes: usize,
}

struct Followed {
    /// Seconds, until all can be searched.
    first: f64,
    unchanged: Asked,
    changed: Asked,
}

fn followed(plugins: usize, bins: u32, changed: usize) -> Followed {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    let (catalog, keys) = (dir.path().join("catalog"), dir.path().join("keys"));
    let new = NewCatalog { bins, ..NewCatalog::default() };
    let author = generate_author_key(&dir.path().join("author"), None).expect("a key");
    let keeper = Keeper::create(&catalog, &keys, new, Lifetimes::default()).expect("a catalog");
    let library = library(dir.path());
    let publish = |numbers: Vec<usize>, version: &str| {
        let packages = numbers.into_iter().map(|number| package(&library, &author, number, version)).collect();
        let publication = Publication { packages, publishers: vec![author.publisher()], ..Publication::default() };
        keeper.publish(publication, &reader(library.len())).expect("it is published");
    };
    publish((0..plugins).collect(), "1.0.0");

    let server = FileServer::start(catalog);
    let place = CatalogPlace::read(&server.url).expect("a place");
    let root = CatalogReader::first_root(&place).expect("a root");
    let trusted = TrustedFiles::default();
    let open = || CatalogReader::open(place.clone(), &root, trusted.clone(), Timestamp::now()).expect("a catalog");
    let mut index = CatalogIndex::open(&dir.path().join("catalogs.db")).expect("a file");

    let began = Instant::now();
    let all = open().since(None).expect("its lines");
    index.take_in("main", &all).expect("they are taken in");
    let first = began.elapsed().as_secs_f64();
    assert!(matches!(&all.lines, SyncedLines::All(lines) if lines.len() == plugins));

    let unchanged = server.asked(|| {
        let news = open().since(Some(all.version)).expect("its lines");
        assert_eq!(news.lines, SyncedLines::Unchanged);
    });
    let step = plugins / changed;
    publish((0..changed).map(|number| number * step).collect(), "1.1.0");
    let changed = server.asked(|| {
        let mut reader = open();
        let news = reader.since(Some(all.version)).expect("its lines");
        let SyncedLines::Changes(lines) = &news.lines else { panic!("not the changes alone are fetched") };
        assert_eq!(lines.len(), changed);
        index.take_in("main", &news).expect("they are taken in");
        for line in lines.iter().take(INSTALLED) {
            reader.document(&line.name).expect("its document");
        }
    });
    Followed { first, unchanged, changed }
}

/// As small as a library can be: it is never loaded here.
fn library(dir: &Path) -> Vec<u8> {
    let (source, path) = (dir.join("empty.c"), dir.join("empty.so"));
    fs::write(&source, "int nothing;\n").expect("a source");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-nostdlib", "-s", "-Wl,-z,noseparate-code", "-o"]).arg(&path).arg(&source);
    assert!(compiler.stdin(Stdio::null()).status().expect("a compiler of C").success());
    fs::read(path).expect("a library")
}

fn package(library: &[u8], author: &AuthorKey, number: usize, version: &str) -> PackageArchive {
    // What is behind the end of a library is nothing to its loader. Here it says which one it is.
    let bytes = [library, format!("plugin-{number} {version}").as_bytes()].concat();
    let parts =
        PackageParts { folder: None, lock: None, libraries: vec![bytes], attestations: None, key: Some(author) };
    make(parts, &reader(library.len())).expect("a package")
}

fn reader(library: usize) -> ReadLibrary {
    Arc::new(move |bytes| {
        let told = String::from_utf8_lossy(&bytes[library..]).into_owned();
        let (name, version) = told.split_once(' ').ok_or("it does not say what it is")?;
        let manifest = Manifest {
            name: name.to_owned(),
            version: version.to_owned(),
            description: format!("What {name} is good for, in a line of the usual length, as authors write it"),
            license: "MIT OR Apache-2.0".to_owned(),
            keywords: vec!["greeting".to_owned(), "table".to_owned()],
            authors: vec![format!("Author of {name} <author@example.org>")],
            repository: format!("https://example.org/{name}"),
            documentation: String::new(),
            camlock: Default::default(),
        };
        Ok(LibraryFacts {
            manifest,
            contract: "1.0".to_owned(),
            requires: Vec::new(),
            sdk: "1.0.0".to_owned(),
            rustc: "rustc 1.95.0".to_owned(),
            config_schema: None,
        })
    })
}

/// Serves a folder, and counts what it is asked for and what it sends, heads and all.
struct FileServer {
    url: String,
    requests: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

impl FileServer {
    fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = FileServer { url, requests: Arc::default(), bytes: Arc::default() };
        let (requests, bytes) = (server.requests.clone(), server.bytes.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                requests.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(answer(stream, &folder).unwrap_or(0), Ordering::Relaxed);
            }
        });
        server
    }

    fn asked(&self, act: impl FnOnce()) -> Asked {
        let before = (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        act();
        Asked {
            requests: self.requests.load(Ordering::Relaxed) - before.0,
            bytes: self.bytes.load(Ordering::Relaxed) - before.1,
        }
    }
}

/// How many bytes it was.
fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<usize> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
    let (status, body) = fs::read(folder.join(path)).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    Ok(head.len() + body.len())
}
