//! Every kind of entry times everything that may happen to it: the table in docs/operators.md, a test for each cell.

use crate::{site, sources::Form};
use camlock_testing::{Server, Site};
use std::{
    fs::{self, File},
    io::Write,
    time::SystemTime,
};

const PATH: &str = "/api/v1/p/hello/";

/// A site with a plugin that answers `one`, and a server that serves it.
fn served(form: Form) -> (Site, Server) {
    let site = site();
    form.create(&site, "one");
    let server = site.start();
    server.until_text(PATH, "one");
    (site, server)
}

/// Looks at everything, and waits until that is done: a further plugin that appears has been seen, so all else was too.
fn looked(site: &Site, server: &Server) {
    let name = format!("look{}", fs::read_dir(site.plugins()).unwrap().count());
    fs::create_dir(site.plugins().join(&name)).unwrap();
    fs::write(site.plugins().join(&name).join("Cargo.toml"), format!("[package]\nname = \"{name}\"\n")).unwrap();
    server.until_plugin(&name, |plugin| plugin["state"] == "failed");
}

fn create(form: Form) {
    let site = site();
    let server = site.start();
    form.create(&site, "one");
    server.until_text(PATH, "one");
}

fn edit(form: Form) {
    let (site, server) = served(form);
    fs::write(site.path(form.file()), form.content("two")).unwrap();
    server.until_text(PATH, "two");
    server.until_plugin("hello", |plugin| plugin["draining"] == serde_json::json!([]));
    assert_eq!(server.plugin("hello")["pinned"], serde_json::json!([]));
}

fn replace(form: Form) {
    let (site, server) = served(form);
    let fresh = site.path("fresh");
    fs::write(&fresh, form.content("two")).unwrap();
    fs::rename(fresh, site.path(form.file())).unwrap();
    server.until_text(PATH, "two");
}

fn touch(form: Form) {
    let (site, server) = served(form);
    let file = File::options().write(true).open(site.path(form.file())).unwrap();
    file.set_modified(SystemTime::now()).unwrap();
    fs::write(site.path(form.file()), form.content("one")).unwrap();
    looked(&site, &server);
    assert_eq!(server.generation("hello"), 1);
    assert!(server.plugin("hello")["candidate"].is_null());
}

fn rename(form: Form) {
    let (site, server) = served(form);
    let renamed = form.entry().replace("hello", "other");
    fs::rename(site.plugins().join(form.entry()), site.plugins().join(renamed)).unwrap();
    if form == Form::Single {
        // A single file is named by its file.
        server.until_text("/api/v1/p/other/", "one");
        server.until_status(PATH, 404);
    } else {
        // Others say themselves what they are named.
        looked(&site, &server);
        assert_eq!(server.get(PATH).text, "one");
        assert_eq!(server.generation("hello"), 1);
    }
}

fn break_and_mend(form: Form) {
    let (site, server) = served(form);
    fs::write(site.path(form.file()), form.broken()).unwrap();
    let plugin = server.until_plugin("hello", |plugin| !plugin["failed"].is_null());
    assert_eq!(plugin["state"], "serving", "{plugin:#}");
    assert_eq!(server.get(PATH).text, "one");
    fs::write(site.path(form.file()), form.content("two")).unwrap();
    server.until_text(PATH, "two");
    assert!(server.plugin("hello")["failed"].is_null());
}

fn delete(form: Form) {
    let (site, server) = served(form);
    form.delete(&site);
    server.until_status(PATH, 404);
    server.until_plugin("hello", |plugin| plugin["state"] == "missing");
    // It comes back from what was kept.
    form.create(&site, "one");
    server.until_text(PATH, "one");
}

fn delete_while_down(form: Form) {
    let (site, server) = served(form);
    server.end();
    form.delete(&site);
    let server = site.start();
    server.until_status("/_/ready", 200);
    assert_eq!(server.get(PATH).status, 404);
}

fn edit_while_down(form: Form) {
    let (site, server) = served(form);
    server.end();
    fs::write(site.path(form.file()), form.content("two")).unwrap();
    let server = site.start();
    server.until_text(PATH, "two");
}

fn break_while_down(form: Form) {
    let (site, server) = served(form);
    server.end();
    fs::write(site.path(form.file()), form.broken()).unwrap();
    let server = site.start();
    server.until_text(PATH, "one");
    let plugin = server.until_plugin("hello", |plugin| !plugin["failed"].is_null());
    assert_eq!(plugin["state"], "serving", "{plugin:#}");
    fs::write(site.path(form.file()), form.content("two")).unwrap();
    server.until_text(PATH, "two");
    assert!(server.plugin("hello")["failed"].is_null());
}

fn unchanged_while_down(form: Form) {
    let (site, server) = served(form);
    let artifact = server.plugin("hello")["serving"]["artifact"].clone();
    server.end();
    // Without cargo: nothing has to be built.
    let server = site.start_with(|command| _ = command.env("PATH", "/nowhere"));
    let plugin = server.until_serving("hello");
    assert_eq!(plugin["serving"]["artifact"], artifact);
    assert_eq!(server.get(PATH).text, "one");
}

fn edit_while_building(form: Form) {
    let (site, server) = served(form);
    fs::write(site.path(form.file()), form.content("two")).unwrap();
    server.until_plugin("hello", |plugin| !plugin["candidate"].is_null() || plugin["serving"]["generation"] != 1);
    fs::write(site.path(form.file()), form.content("three")).unwrap();
    server.until_text(PATH, "three");
}

fn written_in_pieces(form: Form) {
    let (site, server) = served(form);
    let content = form.content("two");
    let mut file = File::create(site.path(form.file())).unwrap();
    for piece in content.chunks(content.len() / 3 + 1) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        looked(&site, &server);
        assert_eq!(server.get(PATH).status, 200);
    }
    drop(file);
    server.until_text(PATH, "two");
}

fn linked(form: Form) {
    let site = site();
    fs::create_dir(site.path("elsewhere")).unwrap();
    form.create(&site, "one");
    let (entry, target) = (site.plugins().join(form.entry()), site.path("elsewhere").join(form.entry()));
    fs::rename(&entry, &target).unwrap();
    let server = site.start();
    std::os::unix::fs::symlink(&target, &entry).unwrap();
    server.until_text(PATH, "one");
    let file = site.path(&form.file().replace("plugins", "elsewhere"));
    fs::write(file, form.content("two")).unwrap();
    server.until_text(PATH, "two");
    fs::remove_file(&entry).unwrap();
    server.until_status(PATH, 404);
    assert!(target.exists());
}

fn directory_gone_and_back(form: Form) {
    let (site, server) = served(form);
    fs::rename(site.plugins(), site.path("away")).unwrap();
    server.until_status(PATH, 404);
    fs::rename(site.path("away"), site.plugins()).unwrap();
    server.until_text(PATH, "one");
}

macro_rules! cells {
    ($($action:ident),*) => {
        mod a_crate {
            $(#[test] fn $action() { super::$action(super::Form::Crate); })*
        }
        mod a_single_file {
            $(#[test] fn $action() { super::$action(super::Form::Single); })*
        }
        mod a_prebuilt_artifact {
            $(#[test] fn $action() { super::$action(super::Form::Prebuilt); })*
        }
    };
}

cells!(
    create,
    edit,
    replace,
    touch,
    rename,
    break_and_mend,
    delete,
    delete_while_down,
    edit_while_down,
    break_while_down,
    unchanged_while_down,
    edit_while_building,
    written_in_pieces,
    linked,
    directory_gone_and_back
);
