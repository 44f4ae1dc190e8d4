//! What catalogs cost at the size of the largest that there are. Here: searching, and choosing versions that fit together. Beside it:
//! following them, what is asked of GitHub, and installing. Without a network, which is not ours.

mod discovered;
mod installed;
mod synchronized;

use crate::common::report::{Better, Row, finish};
use camlock_catalog::{
    ListingLine, PluginDocument, PluginVersion,
    client::{SyncedLines, Synchronized},
    package::LibraryRecord,
    resolve::{Request, ServerFacts, choose},
    search::{CatalogIndex, ListingQuery},
};
use camlock_testing::Random;
use std::{collections::BTreeMap, process::ExitCode, time::Instant};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Words of which names and descriptions are made, the first ones often and the last ones seldom.
const WORDS: [&str; 40] = [
    "plugin",
    "server",
    "data",
    "api",
    "web",
    "client",
    "manager",
    "simple",
    "fast",
    "tools",
    "view",
    "notes",
    "table",
    "chart",
    "sync",
    "export",
    "import",
    "calendar",
    "markdown",
    "theme",
    "editor",
    "search",
    "graph",
    "image",
    "audio",
    "video",
    "mail",
    "chat",
    "weather",
    "translate",
    "spell",
    "template",
    "backup",
    "encrypt",
    "kanban",
    "review",
    "webhook",
    "slack",
    "metrics",
    "ledger",
];

/// A word; the first ones come more often.
fn word(random: &mut Random) -> &'static str {
    let most = random.below(WORDS.len()) + 1;
    WORDS[random.below(most)]
}

fn lines(count: usize) -> Vec<ListingLine> {
    let mut random = Random::new(7);
    let line = |number: usize| {
        let name = format!("{}-{}-{number}", word(&mut random), word(&mut random));
        let description: Vec<&str> = (0..12).map(|_| word(&mut random)).collect();
        ListingLine {
            name,
            description: description.join(" "),
            category: word(&mut random).to_owned(),
            tags: vec![word(&mut random).to_owned(), word(&mut random).to_owned()],
            version: "1.0.0".to_owned(),
            targets: vec![TARGET.to_owned()],
            ..ListingLine::default()
        }
    };
    (0..count).map(line).collect()
}

/// What people write: words, beginnings, words with a typing error.
fn asked(random: &mut Random) -> String {
    let mut words: Vec<String> = (0..=random.below(3)).map(|_| word(random).to_owned()).collect();
    if let Some(last) = words.last_mut() {
        match random.below(3) {
            0 => last.truncate(3),
            1 if last.len() > 4 => drop(last.remove(2)),
            _ => {}
        }
    }
    words.join(" ")
}

fn searched(count: usize) -> Vec<f64> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut index = CatalogIndex::open(&dir.path().join("catalogs.db")).expect("a file");
    let news = Synchronized { version: 1, lines: SyncedLines::All(lines(count)), advisories: None };
    index.take_in("main", &news).expect("it is taken in");
    let mut random = Random::new(11);
    let sample = |_| {
        let query = ListingQuery { text: asked(&mut random), ..ListingQuery::default() };
        let began = Instant::now();
        index.search(&query).expect("an answer");
        began.elapsed().as_secs_f64() * 1e3
    };
    (0..1000).map(sample).collect()
}

fn name(number: usize) -> String {
    format!("plugin-{number}")
}

/// One of 10,000 plugins with 12 versions, each of which needs up to three others, in five layers: what needs most needs a hundred.
fn document(number: usize) -> PluginDocument {
    let version = |minor: u64| {
        let mut random = Random::new(number as u64 * 31 + minor + 1);
        let next = (number / 2_000 + 1) * 2_000;
        let others = (0..3).filter_map(|_| Some(next + random.below(2_000)).filter(|other| *other < 10_000));
        let dependencies = others.map(|other| (name(other), format!("^1.{}", minor.saturating_sub(2)))).collect();
        let library = LibraryRecord {
            file: "x.so".to_owned(),
            contract: "1.0".to_owned(),
            requires: Vec::new(),
            glibc: if minor == 11 { "2.99" } else { "2.17" }.to_owned(),
            sdk: String::new(),
            rustc: String::new(),
        };
        PluginVersion {
            version: format!("1.{minor}.0"),
            libraries: BTreeMap::from([(TARGET.to_owned(), library)]),
            dependencies,
            ..PluginVersion::default()
        }
    };
    PluginDocument { name: name(number), versions: (0..12).map(version).collect(), ..PluginDocument::default() }
}

pub fn run() -> ExitCode {
    let (hundred, more) = (searched(100_000), searched(225_000));
    let documents: Vec<PluginDocument> = (0..10_000).map(document).collect();
    let server = ServerFacts {
        target: TARGET.to_owned(),
        contract: "1.0".to_owned(),
        glibc: Some("2.36".to_owned()),
        features: None,
        compiles: false,
    };
    let ask = |name: &str| {
        Ok(name.strip_prefix("plugin-").and_then(|number| documents.get(number.parse::<usize>().ok()?)).cloned())
    };
    let mut random = Random::new(3);
    let worst = (0..100).map(|_| {
        let wanted = BTreeMap::from([(name(random.below(10_000)), semver::VersionReq::STAR)]);
        let request = Request { wanted, ..Request::default() };
        let began = Instant::now();
        // That nothing fits is an answer too, and the hardest to find.
        let _ = choose(&request, &server, &ask);
        began.elapsed().as_secs_f64() * 1e3
    });
    let worst = worst.fold(0.0, f64::max);
    let rows = [
        Row::p99("a search among 100,000 plugins, p99", "ms", &hundred).must(30.0, 10.0),
        Row::p99("a search among 225,000 plugins, p99", "ms", &more).must(50.0, 20.0),
        Row::count("choosing versions, 10,000 plugins of 12, worst of 100", "ms", Better::Lower, worst)
            .must(100.0, 20.0),
    ];
    let rows = [rows.to_vec(), synchronized::rows(), discovered::rows(), installed::rows()].concat();
    finish("catalog", &rows)
}
