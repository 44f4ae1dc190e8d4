//! Tables of manifests: what is read of them, what is wrong with them, what becomes of them in the shadow.

use super::*;

const GOOD: &str = "[package]\nname = \"kv-store\"\n[lib]\ncrate-type = [\"cdylib\"]\n";

fn wrong(text: &str) -> (u32, String) {
    let wrong = read(text.as_bytes()).wrong.expect("something is wrong");
    (wrong.line, wrong.sentence)
}

#[test]
fn a_plugin_is_recognised() {
    for good in [
        GOOD.to_owned(),
        format!("{GOOD}name = \"kv_store\"\npath = \"code/./lib.rs\"\n"),
        "package = { name = \"kv-store\" }\nlib.crate-type = [\"rlib\", \"cdylib\"]\n".to_owned(),
        format!("{GOOD}[workspace]\n[workspace.dependencies]\nserde = \"1\"\n[dependencies]\nserde.workspace = true\n"),
    ] {
        assert_eq!(read(good.as_bytes()), PackageCheck { name: Some("kv-store".to_owned()), wrong: None }, "{good}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, line, sentence) in [
        (
            "[workspace]\n",
            0,
            "it has no `[package]`: a plugin is one crate, so put that crate's own folder into the plugins directory",
        ),
        ("\n[package]\nversion = \"1\"\n", 2, "`[package]` has no `name`"),
        ("[package]\nname = 7\n", 2, "the package's `name` is not a string"),
        (
            "[package]\nname = \"Hello\"\n",
            2,
            "`Hello` is no name for a plugin: 3 to 50 lower-case letters and digits, in words joined by hyphens, \
             beginning with a letter",
        ),
        ("[package]\nname = \"catalog\"\n", 2, "the name `catalog` is reserved for the server's own paths"),
        (
            "[package]\nname = \"hello\"\n",
            0,
            "it builds no library that a server can load: add `crate-type = [\"cdylib\"]` under `[lib]`",
        ),
        (
            "[package]\nname = \"hello\"\n\n[lib]\nbench = false\n",
            4,
            "it builds no library that a server can load: add `crate-type = [\"cdylib\"]` under `[lib]`",
        ),
        (
            "[package]\nname = \"hello\"\n[lib]\ncrate-type = [\"rlib\"]\n",
            4,
            "`crate-type` does not list `cdylib`, so no library comes of it that a server can load; add it",
        ),
        (
            &format!("{GOOD}name = \"other\"\n"),
            5,
            "the library must be called like its package, `kv_store`; remove `name` under `[lib]`",
        ),
        (
            &format!("{GOOD}path = \"../lib.rs\"\n"),
            5,
            "the library's `path` leads out of the plugin's folder; move its sources inside",
        ),
        (
            &GOOD.replace("[lib]", "build = \"/etc/build.rs\"\n[lib]"),
            3,
            "the build script lies outside the plugin's folder; move it inside",
        ),
        (
            &format!("{GOOD}[dependencies]\nserde = {{ workspace = true }}\n"),
            6,
            "`serde` is inherited from a workspace, but a plugin is built by itself: write it out here",
        ),
        (
            &GOOD.replace("[lib]", "version.workspace = true\n[lib]"),
            3,
            "`version` is inherited from a workspace, but a plugin is built by itself: write it out here",
        ),
        (
            &GOOD.replace(
                "[lib]",
                "version.workspace = true\nedition.workspace = true\n[dependencies]\nserde.workspace = true\n[lib]",
            ),
            3,
            "`version`, `edition`, `serde` are inherited from a workspace, but a plugin is built by itself: write them out here",
        ),
    ] {
        assert_eq!(wrong(text), (line, sentence.to_owned()), "{text}");
    }
}

#[test]
fn what_core_finds_keeps_its_line() {
    let (line, sentence) = wrong(&format!("{GOOD}[package.metadata.camlock]\ncatgory = \"http\"\n"));
    assert_eq!(line, 6);
    assert!(sentence.starts_with("unknown field `catgory`, expected one of `category`"), "{sentence}");
    let failure =
        read(format!("{GOOD}[package.metadata.camlock]\nroutes = 7\n").as_bytes()).wrong.unwrap().in_file("Cargo.toml");
    assert!(failure.reason.starts_with("Cargo.toml, line 6: invalid type: integer `7`"), "{}", failure.reason);
    assert_eq!((&*failure.diagnostics[0].file, failure.diagnostics[0].line), ("Cargo.toml", 6));
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let (line, sentence) = wrong("[package]\nname = \"hello\nversion = 1\n");
    assert_eq!(line, 2);
    assert!(!sentence.contains('\n') && !sentence.is_empty(), "{sentence}");
    assert_eq!(read(b"\xff\xfe").wrong.unwrap().sentence, "it is not UTF-8");
    assert!(read(&vec![b'#'; LARGEST + 1]).wrong.unwrap().sentence.starts_with("it is 262145 bytes long"));
    assert_eq!(read(b"[package]\nname = \"ab\"\n").name.as_deref(), Some("ab"), "a bad name is still its name");
}

const REFERRING: &str = r#"[package]
name = "hello"
workspace = "../.." # above
[lib]
crate-type = ["cdylib"]
[dependencies]
serde = "1"
helper = { path = "helper" }
shared = { version = "1", path = '../shared' }
[dependencies.far]
path = "/opt/far"
[target.'cfg(unix)'.build-dependencies]
tool = { path = "../../tool" }
[patch.crates-io]
serde = { path = "../serde" }
"#;

#[test]
fn references_are_found_and_made_absolute() {
    let references = references(REFERRING);
    let mut found: Vec<&str> = references.paths.iter().map(|(_, path)| path.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["../../tool", "../serde", "../shared", "/opt/far", "helper"]);
    assert!(references.inherited.is_empty() && !references.is_workspace);

    let plugin = Path::new("/srv/plugins/hello");
    assert_eq!(
        shadowed(REFERRING, plugin, plugin, &["helper".to_owned()]),
        r#"[package]
name = "hello"
 # above
[lib]
crate-type = ["cdylib"]
[dependencies]
serde = "1"
helper = { path = "helper" }
shared = { version = "1", path = "/srv/plugins/shared" }
[dependencies.far]
path = "/opt/far"
[target.'cfg(unix)'.build-dependencies]
tool = { path = "/srv/tool" }
[patch.crates-io]
serde = { path = "/srv/plugins/serde" }

[workspace]
exclude = ["helper"]
"#
    );
    let helper = "[dependencies]\nback = { path = \"../back\" }\nout = { path = \"../../out\" }\n";
    assert_eq!(
        shadowed(helper, &plugin.join("helper"), plugin, &[]),
        "[dependencies]\nback = { path = \"../back\" }\nout = { path = \"/srv/plugins/out\" }\n"
    );
}

#[test]
fn inheritance_is_seen_wherever_it_stands() {
    for inheriting in [
        "[package]\nedition.workspace = true\n",
        "[dependencies]\nserde = { workspace = true, features = [] }\n",
        "[target.x.dependencies.serde]\nworkspace = true\n",
        "[lints]\nworkspace = true\n",
    ] {
        assert!(!references(inheriting).inherited.is_empty(), "{inheriting}");
    }
    assert!(references(GOOD).inherited.is_empty());
    assert!(references("[workspace]\n").is_workspace);
}
