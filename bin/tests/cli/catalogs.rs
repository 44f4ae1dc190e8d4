//! The whole way of a plugin by name, on one machine: an author makes, packages and signs it, somebody publishes it, a server finds,
//! installs and updates it under load, hears what is wrong with it and goes back; another one, which cannot reach the catalog,
//! installs it from a mirror; and servers that are killed in the middle are wholly old or wholly new.

use crate::{Ended, command, end, site};
use camlock_testing::{Postgres, Server, Site, manifest, request, rounds, single};
use std::{fs, path::Path, process::Stdio, thread, time::Duration};

/// A command against this server.
pub(crate) fn ask(site: &Site, server: &Server, arguments: &[&str]) -> Ended {
    let mut command = command(site, arguments);
    command.env("CAMLOCK_SERVER", format!("http://{}", server.address));
    end(command)
}

/// Makes a package of the greeter that says this.
pub(crate) fn package(site: &Site, version: &str, source: &str) -> String {
    let about = "description = \"Greets whoever comes\"\nlicense = \"MIT\"\nkeywords = [\"greeting\"]\n";
    let toml = manifest("greeter").replace("version = \"0.1.0\"\n", &format!("version = \"{version}\"\n{about}"));
    site.write("greeter/Cargo.toml", &toml);
    site.write("greeter/src/lib.rs", source);
    site.write("greeter/README.md", "# Greeter");
    let made = end(command(
        site,
        &["package", "greeter", "--sign", "author.key", "--profile", "quick", "-o", "dist", "--json"],
    ))
    .json();
    assert_eq!((&made["name"], &made["version"]), (&"greeter".into(), &version.into()), "{made:#}");
    made["file"].as_str().unwrap().to_owned()
}

pub(crate) fn publish(site: &Site, more: &[&str]) -> Ended {
    end(command(site, &[&["catalog", "publish", "catalog", "--keys", "keys"], more].concat()))
}

/// Whatever of it is changed on the way is found.
fn append(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(b' ');
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_plugin_by_name_from_its_author_to_others() {
    let site = site();
    let made = end(command(&site, &["package", "--new-key", "author.key"])).done();
    assert!(made.contains("holds the key"), "{made}");
    let one = package(&site, "0.1.0", &single("one"));
    // Made again it is the same, but for the signature.
    let plain = |folder: &str| {
        end(command(&site, &["package", "greeter", "--profile", "quick", "-o", folder])).done();
        fs::read(site.path(folder).join("greeter-0.1.0.camlock")).unwrap()
    };
    let made = plain("a");
    assert!(made == plain("b"), "the same sources, the same package");
    let listed = String::from_utf8_lossy(&made);
    assert!(
        listed.contains("pkg:cargo/camlock-abi@") && !listed.contains("pkg:cargo/axum-test@"),
        "it lists what it was built of"
    );
    let init =
        end(command(&site, &["catalog", "init", "catalog", "--keys", "keys", "--roots", "2", "--threshold", "2"]))
            .done();
    let root = init.split("sha256 ").nth(1).unwrap()[..64].to_owned();
    assert!(publish(&site, &[&one]).refused(1).contains("name the author's key with `--publisher`"));
    let told = publish(&site, &[&one, "--publisher", "author.key.pub"]).done();
    assert!(told.contains("at version 2: greeter 0.1.0"), "{told}");

    // Somebody else finds it.
    let first = site.beside("first");
    // What was published just now would be too new for an update.
    first.configure("catalogs.updates.minimum_age = 0");
    let server = first.start();
    let ask_first = |arguments: &[&str]| ask(&first, &server, arguments);
    let url = format!("file://{}", site.path("catalog").display());
    let other = "0".repeat(64);
    assert!(
        ask_first(&["catalog", "add", "main", &url, "--root-sha256", &other])
            .refused(1)
            .contains("it is another catalog")
    );
    let added = ask_first(&["catalog", "add", "main", &url]).done();
    assert!(added.contains("1 plugin") && added.contains(&root), "{added}");
    assert!(ask_first(&["catalog", "add", "main", &url]).refused(1).contains("there is a catalog `main`"));
    let found = ask_first(&["catalog", "search", "gretings"]).done();
    assert!(found.contains("greeter  0.1.0"), "{found}");
    let shown = ask_first(&["catalog", "show", "greeter"]).done();
    assert!(
        shown.contains("Greets whoever comes") && shown.contains("asks for") || shown.contains("ASKS FOR"),
        "{shown}"
    );
    let told = ask_first(&["install", "greter"]).refused(1);
    assert!(told.contains("no catalog lists `greter`"), "{told}");
    let told = ask_first(&["install", "greeter@^7"]).refused(1);
    assert!(told.contains("greeter"), "{told}");
    let plan = ask_first(&["install", "greeter", "--dry-run"]).done();
    assert!(plan.contains("greeter  -     0.1.0  main     library  nothing"), "{plan}");
    assert_eq!(server.get("/api/v1/p/greeter/").status, 404, "nothing was done");
    let installed = ask_first(&["install", "greeter"]).done();
    assert!(installed.ends_with("greeter 0.1.0 is serving\n"), "{installed}");
    assert_eq!(server.get("/api/v1/p/greeter/").text, "one");
    assert_eq!(ask_first(&["grants", "greeter", "--json"]).json()["source"], "catalog:main");
    assert!(ask_first(&["outdated"]).done().contains("is the newest"));
    // Under the names that others know.
    let act = |method: &str, path: &str| server.act(method, &format!("/api/plugins/marketplace/{path}"));
    let offered = server.get_as_admin("/api/plugins/marketplace/catalog").json();
    let entry = serde_json::json!({
        "name": "greeter", "displayName": "greeter", "description": "Greets whoever comes", "category": "", "version": "0.1.0",
        "installed": true, "enabled": true,
    });
    assert_eq!(offered, serde_json::json!({ "plugins": [entry], "count": 1 }));
    assert_eq!(act("POST", "disable/greeter").json()["plugin"]["state"], "disabled");
    assert_eq!(act("POST", "enable/greeter").json()["plugin"]["state"], "serving");
    assert_eq!(act("DELETE", "uninstall/greeter").json()["plugin"], serde_json::Value::Null);
    assert_eq!(server.get("/api/v1/p/greeter/").status, 404);
    assert_eq!(act("POST", "sync").status, 200);
    assert_eq!(act("POST", "install/greeter").json()["message"], "Plugin installed and activated successfully");
    assert_eq!(server.get("/api/v1/p/greeter/").text, "one");
    assert_eq!((act("POST", "install/nobody").status, act("POST", "enable/nobody").status), (404, 404));

    // A new version, under load.
    let two = package(&site, "0.2.0", &single("two"));
    publish(&site, &[&two]).done();
    let synced = ask_first(&["catalog", "sync"]).done();
    assert!(synced.contains("main is at version 3"), "{synced}");
    let outdated = ask_first(&["outdated", "--json"]).json();
    assert_eq!(
        (&outdated["items"][0]["installed"], &outdated["items"][0]["newest"]),
        (&"0.1.0".into(), &"0.2.0".into())
    );
    let load = server.load("/api/v1/p/greeter/");
    let updated = ask_first(&["update"]).done();
    assert!(updated.ends_with("greeter 0.2.0 is serving\n"), "{updated}");
    let (good, bad) = load.end();
    assert!(good > 0 && bad.is_empty(), "{bad:?}");
    assert_eq!(server.get("/api/v1/p/greeter/").text, "two");

    // Something is wrong with it.
    let advisory = r#"{"advisories":[{"id":"CAM-2026-0001","plugin":"greeter","versions":"=0.2.0","severity":"high",
        "title":"It greets twice","remedy":"go back to 0.1.0"}]}"#;
    site.write("advisories.json", advisory);
    publish(&site, &["--advisories", "advisories.json"]).done();
    ask_first(&["catalog", "sync", "main"]).done();
    let outdated = ask_first(&["outdated"]).done();
    assert!(outdated.contains("CAM-2026-0001 (high): greeter =0.2.0: It greets twice; go back to 0.1.0"), "{outdated}");

    // One that does not come to serve is taken back, whole.
    let broken = single("three").replace("Ok(Plugin1)", "Err(Error::msg(\"it is not to be\"))");
    let broken = broken.replace(
        "    async fn create(_host: Host)",
        "    #[allow(unreachable_code)]\n    async fn create(_host: Host)",
    );
    let three = package(&site, "0.3.0", &broken);
    publish(&site, &[&three]).done();
    ask_first(&["catalog", "sync"]).done();
    let told = ask_first(&["update", "greeter"]).failed(1).to_owned();
    assert!(told.contains("it is not to be") && told.contains("everything is as it was before"), "{told}");
    server.until_text("/api/v1/p/greeter/", "two");
    assert_eq!(server.until_serving("greeter")["version"], "0.2.0");
    assert_eq!(ask_first(&["grants", "greeter", "--json"]).json()["source"], "catalog:main");

    // Back, by an operator's word alone.
    let told = ask_first(&["install", "greeter@0.1.0"]).refused(1);
    assert!(told.contains("going back is `camlock rollback greeter`"), "{told}");
    server.end();

    // Another server, which cannot reach the catalog, has a mirror.
    let mirrored = end(command(&site, &["catalog", "mirror", &url, "mirror", "--root-sha256", &root])).done();
    assert!(mirrored.contains("fetched") && mirrored.contains(&root), "{mirrored}");
    let apart = site.beside("apart");
    // Its registry is a PostgreSQL.
    let postgres = Postgres::shared();
    let database = postgres.database();
    apart.configure(&format!("database.url = {database:?}"));
    let server = apart.start();
    let ask_apart = |arguments: &[&str]| ask(&apart, &server, arguments);
    let url = format!("file://{}", site.path("mirror").display());
    ask_apart(&["catalog", "add", "mirror", &url, "--root-sha256", &root]).done();
    // What somebody changed on the way is not installed.
    let packages = site.path("mirror/packages/greeter/0.1.0");
    let library = fs::read_dir(&packages).unwrap().map(|entry| entry.unwrap().path());
    let library = library.into_iter().find(|path| path.extension().is_some_and(|end| end == "so")).unwrap();
    let whole = fs::read(&library).unwrap();
    append(&library);
    let told = ask_apart(&["install", "greeter@0.1.0"]).failed(1).to_owned();
    assert!(told.contains("more than the"), "{told}");
    fs::write(&library, &whole[..whole.len() / 2]).unwrap();
    assert!(ask_apart(&["install", "greeter@0.1.0"]).failed(1).contains("it was changed, or broke on its way"));
    assert_eq!(server.get("/api/v1/p/greeter/").status, 404);
    fs::write(&library, whole).unwrap();
    ask_apart(&["install", "greeter@0.1.0"]).done();
    assert_eq!(server.get("/api/v1/p/greeter/").text, "one");
    ask_apart(&["install", "greeter@0.2.0"]).done();
    assert_eq!(server.get("/api/v1/p/greeter/").text, "two");
    let rolled = ask_apart(&["rollback", "greeter"]).done();
    assert!(rolled.contains("serves as generation"), "{rolled}");
    assert_eq!(server.get("/api/v1/p/greeter/").text, "one");
    assert_eq!(ask_apart(&["outdated", "--json"]).json()["items"][0]["installed"], "0.1.0");
    ask_apart(&["remove", "greeter"]).done();
    // Its sources do as well; what they are made of is what the author had.
    let plan = ask_apart(&["install", "greeter@0.1.0", "--prefer", "source-only"]).done();
    assert!(plan.contains("source") && plan.ends_with("greeter 0.1.0 is serving\n"), "{plan}");
    assert!(apart.path("plugins/greeter/Cargo.lock").exists());
    assert_eq!(server.get("/api/v1/p/greeter/").text, "one");
    ask_apart(&["remove", "greeter"]).done();

    // Killed anywhere: nothing of it is there, or all of it.
    let mut server = server;
    for attempt in 0..rounds(12) as u64 {
        let mut install = command(&apart, &["install", "greeter@0.2.0"]);
        install.env("CAMLOCK_SERVER", format!("http://{}", server.address));
        install.stdout(Stdio::null()).stderr(Stdio::null());
        let mut install = install.spawn().unwrap();
        thread::sleep(Duration::from_millis(attempt * 31 % 360));
        server.kill();
        install.wait().unwrap();
        server = apart.start();
        let unfinished = "SELECT count(*) FROM camlock.catalog_intents WHERE state NOT IN ('done', 'undone')";
        server.until(|_| postgres.sql(&database, unfinished), |left| left == "0");
        if request(server.address, "GET", "/api/v1/p/greeter/", &[]).unwrap().status != 404 {
            server.until_text("/api/v1/p/greeter/", "two");
            ask(&apart, &server, &["remove", "greeter"]).done();
        }
        let left = fs::read_dir(apart.path(".camlock/installs")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "what was prepared is gone");
    }
    server.end();
    // What is searched may be deleted.
    fs::remove_file(apart.path(".camlock/catalogs.db")).unwrap();
    let server = apart.start();
    assert!(ask(&apart, &server, &["catalog", "search", "greter"]).done().contains("greeter"));
    server.end();
}

/// Whoever reads sees the catalog as it was, or as it is now.
#[test]
fn whoever_publishes_may_be_killed_anywhere() {
    let site = site();
    end(command(&site, &["package", "--new-key", "author.key"])).done();
    let one = package(&site, "0.1.0", &single("one"));
    end(command(&site, &["catalog", "init", "catalog", "--keys", "keys"])).done();
    publish(&site, &[&one, "--publisher", "author.key.pub"]).done();
    let url = format!("file://{}", site.path("catalog").display());
    for attempt in 0..rounds(30) as u64 {
        let arguments = ["catalog", "publish", "catalog", "--keys", "keys", "--yank", "greeter@0.1.0=it is old"];
        let mut publishing = command(&site, &arguments);
        let mut publishing = publishing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(attempt * 7 % 100));
        publishing.kill().unwrap();
        publishing.wait().unwrap();
        end(command(&site, &["catalog", "mirror", &url, "mirror"])).done();
    }
    let told = publish(&site, &[]).done();
    assert!(told.contains("is at version"), "{told}");
}
