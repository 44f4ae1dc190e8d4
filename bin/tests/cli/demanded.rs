//! What an operator demands of a catalog beside signatures: digests that are pinned, and attestations of workflows. The attestation here is a
//! real one, of another file by somebody else: what it is good for is tried where it is proved, in `camlock-catalog`.

use crate::{
    catalogs::{ask, publish},
    command, end, site,
};
use camlock_testing::{Site, manifest, repository, single};

/// Makes a package of the greeter: its file, and what it is known by.
fn package(site: &Site, version: &str, more: &[&str]) -> (String, String) {
    site.write("greeter/Cargo.toml", &manifest("greeter").replace("0.1.0", version));
    site.write("greeter/src/lib.rs", &single(version));
    let arguments = ["package", "greeter", "--sign", "author.key", "--profile", "quick", "-o", "dist", "--json"];
    let made = end(command(site, &[&arguments[..], more].concat())).json();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("file"), text("sha256"))
}

#[test]
fn what_is_not_as_it_is_demanded_is_refused() {
    let site = site();
    end(command(&site, &["package", "--new-key", "author.key"])).done();
    let init = end(command(&site, &["catalog", "init", "catalog", "--keys", "keys"])).done();
    let root = init.split("sha256 ").nth(1).unwrap()[..64].to_owned();
    let attestation = repository().join("core/catalog/fixtures/attestation.json");
    let (one, digest) = package(&site, "0.1.0", &[]);
    let (two, other) = package(&site, "0.2.0", &["--attestations", attestation.to_str().unwrap()]);
    publish(&site, &[&one, &two, "--publisher", "author.key.pub"]).done();
    let url = format!("file://{}", site.path("catalog").display());

    let pinning = site.beside("pinning");
    let server = pinning.start();
    let ask_pinning = |arguments: &[&str]| ask(&pinning, &server, arguments);
    let add = |more: &[&str]| ask_pinning(&[&["catalog", "add", "main", &url], more].concat());
    assert!(add(&["--pin", "greeter@0.1.0"]).refused(1).contains("`greeter@0.1.0` is no pin"));
    assert!(add(&["--attested-by", "acme"]).refused(1).contains("`acme` names no repository"));
    let pin = format!("greeter@0.1.0={digest}");
    add(&["--pin", &pin]).done();
    assert!(ask_pinning(&["catalog", "list"]).done().contains(&format!("pinned: {pin}")));
    let installed = ask_pinning(&["install", "greeter"]).done();
    assert!(installed.ends_with("greeter 0.1.0 is serving\n"), "the newest is not pinned: {installed}");
    let told = ask_pinning(&["install", "greeter@0.2.0"]).failed(1).to_owned();
    assert!(told.contains("greeter 0.2.0 does not fit: it is not pinned"), "{told}");
    ask_pinning(&["remove", "greeter"]).done();
    ask_pinning(&["catalog", "remove", "main"]).done();
    // Another digest than the one that its author told.
    add(&["--pin", &format!("greeter@0.1.0={other}")]).done();
    let told = ask_pinning(&["install", "greeter"]).failed(1).to_owned();
    assert!(told.contains(&format!("it is pinned as sha256:{other}")), "{told}");
    assert_eq!(server.get("/api/v1/p/greeter/").status, 404);
    server.end();

    let demanding = site.beside("demanding");
    demanding.configure(&format!(
        "[[catalog]]\nname = \"main\"\nurl = {url:?}\nroot_sha256 = \"{root}\"\nattested_by = [\"acme/greeter:release.yml\"]"
    ));
    let server = demanding.start();
    server.until(|server| ask(&demanding, server, &["catalog", "list"]).done(), |list| list.contains("main"));
    assert!(
        ask(&demanding, &server, &["catalog", "list"])
            .done()
            .contains("has to be attested by acme/greeter:release.yml")
    );
    let told = ask(&demanding, &server, &["install", "greeter@0.1.0"]).failed(1).to_owned();
    assert!(told.contains("it has no attestation, and the catalog `main` demands one by acme/greeter"), "{told}");
    let told = ask(&demanding, &server, &["install", "greeter"]).failed(1).to_owned();
    assert!(told.contains("`greeter` 0.2.0: its attestation does not hold: "), "{told}");
    assert_eq!(server.get("/api/v1/p/greeter/").status, 404);
    server.end();
}
