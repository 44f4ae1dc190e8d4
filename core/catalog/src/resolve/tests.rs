//! Versions that fit together, and those that do not.

use super::*;
use crate::package::LibraryRecord;

fn version(version: &str, glibc: &str, dependencies: &[(&str, &str)]) -> PluginVersion {
    let library = LibraryRecord {
        file: "x.so".to_owned(),
        contract: "1.0".to_owned(),
        requires: vec!["storage/1".to_owned()],
        glibc: glibc.to_owned(),
        sdk: String::new(),
        rustc: String::new(),
    };
    PluginVersion {
        version: version.to_owned(),
        libraries: BTreeMap::from([("x86_64-unknown-linux-gnu".to_owned(), library)]),
        dependencies: dependencies.iter().map(|(name, range)| ((*name).to_owned(), (*range).to_owned())).collect(),
        ..PluginVersion::default()
    }
}

fn server() -> ServerFacts {
    ServerFacts {
        target: "x86_64-unknown-linux-gnu".to_owned(),
        contract: "1.0".to_owned(),
        glibc: Some("2.36".to_owned()),
        features: Some(vec!["storage/1".to_owned()]),
        compiles: false,
    }
}

type Shelf = BTreeMap<String, PluginDocument>;

fn shelf(plugins: &[(&str, Vec<PluginVersion>)]) -> Shelf {
    let document = |(name, versions): &(&str, Vec<PluginVersion>)| {
        let document =
            PluginDocument { name: (*name).to_owned(), versions: versions.clone(), ..PluginDocument::default() };
        ((*name).to_owned(), document)
    };
    plugins.iter().map(document).collect()
}

fn chosen(shelf: &Shelf, request: &Request) -> Result<Vec<String>, String> {
    let ask = |name: &str| Ok(shelf.get(name).cloned());
    let chosen = choose(request, &server(), &ask).map_err(|trouble| trouble.reason)?;
    Ok(chosen.into_iter().map(|(name, chosen)| format!("{name} {}", chosen.version.version)).collect())
}

fn wanting(name: &str, range: &str) -> Request {
    Request { wanted: BTreeMap::from([(name.to_owned(), range.parse().unwrap())]), ..Request::default() }
}

#[test]
fn ranges_mean_what_cargo_means() {
    let versions = ["0.0.3", "0.0.4", "0.2.3", "0.3.0", "1.0.0", "1.2.2", "1.2.3", "1.2.9", "1.3.0", "2.0.0", "3.1.4"];
    for range in [
        "*",
        "1",
        "1.2",
        "1.2.3",
        "^1.2.3",
        "^0.2.3",
        "^0.0.3",
        "^0",
        "^0.0",
        "~1",
        "~1.2",
        "~1.2.3",
        "=1",
        "=1.2",
        "=1.2.3",
        ">1",
        ">1.2",
        ">1.2.3",
        ">=1.2",
        "<1.2",
        "<=1",
        "<=1.2",
        "<=1.2.3",
        "1.*",
        "1.2.*",
        ">=1, <2",
        ">=0.3, <1.2.9",
    ] {
        let range: VersionReq = range.parse().unwrap();
        let set = versions_of(&range);
        for version in versions {
            let version: Version = version.parse().unwrap();
            assert_eq!(set.contains(&version), range.matches(&version), "{range} {version}");
        }
    }
    let exact = versions_of(&"=1.2.3-beta.1".parse().unwrap());
    assert!(exact.contains(&"1.2.3-beta.1".parse::<Version>().unwrap()));
    assert!(!exact.contains(&"1.2.3".parse::<Version>().unwrap()));
    let next = versions_of(&"^1".parse().unwrap());
    assert!(!next.contains(&"2.0.0-beta".parse::<Version>().unwrap()));
}

#[test]
fn the_newest_that_fits_with_what_it_needs() {
    let shelf = shelf(&[
        ("web", vec![version("1.0.0", "2.17", &[("kv-store", "^1")]), version("1.1.0", "2.17", &[("kv-store", "^2")])]),
        (
            "kv-store",
            vec![version("1.9.0", "2.17", &[]), version("2.0.0", "2.38", &[]), version("3.0.0-rc.1", "2.17", &[])],
        ),
    ]);
    // The newest web needs a kv-store that needs a newer C library.
    assert_eq!(chosen(&shelf, &wanting("web", "*")).unwrap(), ["kv-store 1.9.0", "web 1.0.0"]);
    let told = chosen(&shelf, &wanting("web", "^1.1")).unwrap_err();
    for expected in [
        "web >=1.1.0, <2.0.0 is asked for",
        "web 1.1.0 needs kv-store >=2.0.0, <3.0.0",
        "kv-store 2.0.0 does not fit: it needs GLIBC 2.38, and this server has 2.36",
        "newest kv-store that fits here: 1.9.0",
    ] {
        assert!(told.split("; ").any(|sentence| sentence == expected), "{expected}: {told}");
    }
    assert_eq!(chosen(&shelf, &wanting("kv-store", "=3.0.0-rc.1")).unwrap(), ["kv-store 3.0.0-rc.1"]);
}

#[test]
fn what_is_installed_stays_and_becomes_no_older() {
    let shelf = shelf(&[
        ("web", vec![version("1.0.0", "", &[("kv-store", "^1")])]),
        ("kv-store", vec![version("1.0.0", "", &[]), version("1.5.0", "", &[]), version("2.0.0", "", &[])]),
    ]);
    let installed = |version: &str| {
        BTreeMap::from([(
            "kv-store".to_owned(),
            InstalledVersion { version: version.parse().unwrap(), dependencies: BTreeMap::new() },
        )])
    };
    let request = Request { installed: installed("1.0.0"), ..wanting("web", "*") };
    assert_eq!(chosen(&shelf, &request).unwrap(), ["web 1.0.0"], "what is there will do");
    let request = Request { installed: installed("2.0.0"), ..wanting("kv-store", "^1") };
    assert!(chosen(&shelf, &request).is_err(), "going back is asked for otherwise");
    let request = Request { installed: installed("2.0.0"), ..wanting("kv-store", "*") };
    assert_eq!(chosen(&shelf, &request).unwrap(), Vec::<String>::new(), "there is nothing newer");
    // What is installed and depends on it has a say.
    let mut all = installed("1.0.0");
    let dependencies = BTreeMap::from([("kv-store".to_owned(), "^1".to_owned())]);
    all.insert("web".to_owned(), InstalledVersion { version: Version::new(1, 0, 0), dependencies });
    let request = Request { installed: all.clone(), ..wanting("kv-store", "*") };
    assert_eq!(chosen(&shelf, &request).unwrap(), ["kv-store 1.5.0"]);
    let told = chosen(&shelf, &Request { installed: all, ..wanting("kv-store", "^2") }).unwrap_err();
    assert!(told.contains("the installed web needs kv-store >=1.0.0, <2.0.0"), "{told}");
}

/// Each says what there is to do about it, and nothing of how it was found out.
#[test]
fn what_is_not_there_is_told() {
    let mut taken_back = version("2.0.0", "", &[]);
    taken_back.yanked = Some("it greets twice".to_owned());
    let mut unfit = version("1.0.0", "", &[]);
    unfit.refused = Some("cannot be installed: its manifest has `replace`".to_owned());
    let shelf = shelf(&[
        ("web", vec![version("1.0.0", "", &[("nobody", "*")]), version("1.1.0", "", &[("nobody", "^2")])]),
        ("lonely", vec![version("1.0.0", "", &[("nobody", "*")])]),
        ("shop", vec![version("3.1.0", "", &[("kv-store", "^7")])]),
        ("kv-store", vec![version("1.0.0", "", &[]), version("1.5.0", "", &[]), taken_back]),
        ("replacing", vec![unfit]),
    ]);
    for (name, range, expected) in [
        ("nobody", "*", "nobody is asked for; no catalog lists nobody"),
        ("lonely", "*", "lonely 1.0.0 needs nobody; no catalog lists nobody"),
        (
            "shop",
            "*",
            "shop 3.1.0 needs kv-store >=7.0.0, <8.0.0; there is no kv-store >=7.0.0, <8.0.0, only 1.5.0, 1.0.0",
        ),
        ("kv-store", "^7", "there is no kv-store >=7.0.0, <8.0.0, only 1.5.0, 1.0.0"),
        ("kv-store", "=2.0.0", "kv-store 2.0.0 was taken back"),
        ("replacing", "*", "replacing 1.0.0 cannot be installed: its manifest has `replace`"),
    ] {
        let told = chosen(&shelf, &wanting(name, range)).unwrap_err();
        for sentence in expected.split("; ") {
            assert!(told.contains(sentence), "{sentence}: {told}");
        }
        for word in ["0.0.0", "forbidden", "unavailable", "∗", "<empty>", "what is asked for"] {
            assert!(!told.contains(word), "{word}: {told}");
        }
    }
    let told = chosen(&shelf, &wanting("web", "*")).unwrap_err();
    assert_eq!(told.matches("no catalog lists nobody").count(), 1, "{told}");
    let installed = InstalledVersion { version: Version::new(2, 0, 0), dependencies: BTreeMap::new() };
    let installed = BTreeMap::from([("kv-store".to_owned(), installed)]);
    let told = chosen(&shelf, &Request { installed, ..wanting("kv-store", "^1") }).unwrap_err();
    assert!(told.contains("kv-store is 2.0.0 here, and becomes no older"), "{told}");
}

#[test]
fn what_does_not_fit_says_why() {
    let mut one = version("1.0.0", "2.17", &[]);
    let fits = |one: &PluginVersion, server: &ServerFacts, preference| fitting(one, server, preference);
    let usual = PackagePreference::default();
    assert_eq!(fits(&one, &server(), usual), Ok(TakenPart::Library("x86_64-unknown-linux-gnu".to_owned())));
    let elsewhere = ServerFacts { target: "aarch64-unknown-linux-gnu".to_owned(), ..server() };
    assert!(fits(&one, &elsewhere, usual).unwrap_err().contains("no library for aarch64"));
    let older = ServerFacts { features: Some(vec![]), ..server() };
    assert!(fits(&one, &older, usual).unwrap_err().contains("the feature storage/1"));
    let other = ServerFacts { contract: "2.0".to_owned(), ..server() };
    assert!(fits(&one, &other, usual).unwrap_err().contains("contract 1.0"));
    assert!(fits(&one, &server(), PackagePreference::SourceOnly).unwrap_err().contains("no sources"));
    one.source = Some("x.tar.gz".to_owned());
    assert!(fits(&one, &server(), PackagePreference::SourceOnly).unwrap_err().contains("no Rust toolchain"));
    let compiling = ServerFacts { compiles: true, ..elsewhere };
    assert_eq!(fits(&one, &compiling, usual), Ok(TakenPart::Source("x.tar.gz".to_owned())));
    let compiling = ServerFacts { compiles: true, ..server() };
    assert_eq!(fits(&one, &compiling, PackagePreference::Source), Ok(TakenPart::Source("x.tar.gz".to_owned())));
}

/// As many as a large catalog has: it ends, and well.
#[test]
fn ten_thousand_plugins() {
    let name = |number: usize| format!("plugin-{number}");
    let document = |number: usize| {
        let versions = (0..12).map(|minor| {
            let depends = [(number * 7 + 1) % 10_000, (number * 13 + 5) % 10_000];
            let depends = depends
                .iter()
                .filter(|other| **other > number)
                .map(|other| (name(*other), format!("^1.{}", minor / 2)));
            let depends: Vec<(String, String)> = depends.collect();
            let depends: Vec<(&str, &str)> = depends.iter().map(|(name, range)| (&**name, &**range)).collect();
            version(&format!("1.{minor}.0"), "2.17", &depends)
        });
        PluginDocument { name: name(number), versions: versions.collect(), ..PluginDocument::default() }
    };
    let ask = |name: &str| Ok(name.strip_prefix("plugin-").and_then(|number| Some(document(number.parse().ok()?))));
    for number in [0, 17, 4711] {
        let chosen = choose(&wanting(&name(number), "*"), &server(), &ask).unwrap();
        assert_eq!(chosen.last().unwrap().0, name(number), "it comes after what it needs");
    }
}
