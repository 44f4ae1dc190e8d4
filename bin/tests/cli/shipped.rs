//! The plugins that come with this repository, published as anybody's: signed packages in a catalog, from which other servers install
//! each by its name.

use crate::{
    catalogs::{ask, publish},
    command, end, site,
};
use camlock_testing::{Outside, Postgres, repository};
use std::fs;

/// Each, with where it lies.
const SHIPPED: [(&str, &str); 4] = [
    ("powertable", "plugins/powertable"),
    ("ticker", "plugins/ticker"),
    ("audit-log", "plugins/_more/audit-log"),
    ("webhook", "plugins/_more/webhook"),
];

#[test]
fn shipped_plugins_by_name() {
    let site = site();
    end(command(&site, &["package", "--new-key", "author.key"])).done();
    end(command(&site, &["catalog", "init", "catalog", "--keys", "keys"])).done();
    for (name, folder) in SHIPPED {
        let crate_outside = Outside::new(name).with_folder(&repository().join(folder));
        let lock = crate_outside.dir().join("Cargo.lock");
        let library = crate_outside.library();
        for file in camlock_testing::files_of(&repository().join(folder)) {
            let place = site.path(name).join(&file);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(repository().join(folder).join(&file), place).unwrap();
        }
        fs::copy(lock, site.path(name).join("Cargo.lock")).unwrap();
        let library = library.to_str().unwrap();
        let made = ["package", name, "--library", library, "--sign", "author.key", "-o", "dist", "--json"];
        let made = end(command(&site, &made)).json();
        assert_eq!(
            (&made["name"], &made["source"]),
            (&name.into(), &format!("{}.tar.gz", stem(&made)).into()),
            "{made:#}"
        );
        let published = publish(&site, &[made["file"].as_str().unwrap(), "--publisher", "author.key.pub"]).done();
        assert!(published.contains(name), "{published}");
    }
    // Whoever has no way to the catalog has a mirror.
    let url = format!("file://{}", site.path("catalog").display());
    end(command(&site, &["catalog", "mirror", &url, "mirror"])).done();
    for (database, catalog) in [("sqlite", "catalog"), ("postgres", "mirror")] {
        let follower = site.beside(database);
        if database == "postgres" {
            follower.configure(&format!("database.url = {:?}", Postgres::shared().database()));
        }
        follower.write("audit-log.json", r#"{"token":"a-token-of-some-length"}"#);
        let server = follower.start();
        let ask = |arguments: &[&str]| ask(&follower, &server, arguments);
        ask(&["catalog", "add", "main", &format!("file://{}", site.path(catalog).display())]).done();
        for (name, _) in SHIPPED {
            let found = ask(&["catalog", "search", name]).done();
            assert!(found.contains(name), "{found}");
            let configured: &[&str] = if name == "audit-log" { &["--config-file", "audit-log.json"] } else { &[] };
            let installed = ask(&[&["install", name, "--grant", "asked"], configured].concat()).done();
            assert!(installed.ends_with(" is serving\n"), "{installed}");
            assert_eq!(ask(&["grants", name, "--json"]).json()["source"], "catalog:main");
        }
        server.until_text("/hello", "Hello from powertable!");
        assert_eq!(server.get("/api/v1/p/ticker/now").status, 200);
        assert_eq!(server.get("/api/v1/p/audit-log/verify").status, 200);
        assert_eq!(server.get("/api/v1/p/audit-log/events").status, 401, "its configuration came with it");
        assert!(ask(&["outdated"]).done().contains("is the newest"));
        server.end();
    }
}

fn stem(made: &serde_json::Value) -> String {
    format!("{}-{}", made["name"].as_str().unwrap(), made["version"].as_str().unwrap())
}
