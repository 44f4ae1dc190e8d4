//! What the authors' guide shows of a file stands in that file. The guide's other blocks are tested where they are compiled.

use camlock_testing::repository;
use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn excerpts_are_as_in_their_files() {
    let guide = read("docs/plugin-authors.md");
    let mut checked = 0;
    for block in guide.split("```rust,ignore\n").skip(1) {
        let (block, _) = block.split_once("```").expect("the block ends");
        // Its first line names the file; blocks without one are of no file.
        let Some((path, excerpt)) = block.strip_prefix("// ").and_then(|rest| rest.split_once('\n')) else { continue };
        assert!(read(path).contains(excerpt), "{path} has no such lines:\n{excerpt}");
        checked += 1;
    }
    assert!(checked >= 3, "the guide has excerpts");
}

#[test]
fn the_conversion_is_the_one_that_is_tested() {
    let guide = read("docs/plugin-authors.md");
    let plugin = read("core/loader/fixtures/third-party/conversion/src/plugin.rs");
    let (_, code) = plugin.split_once("\n\n").expect("a line on what it is, and the code");
    assert!(guide.contains(code), "the guide shows another plugin.rs");
    let manifest = read("core/loader/fixtures/third-party/conversion/Cargo.toml");
    for lines in [
        "[lib]\ncrate-type = [\"cdylib\", \"lib\"]\n",
        "camlock-plugin = \"1\"\n",
        "[package.metadata.camlock]\ncategory",
    ] {
        assert!(guide.contains(lines) && manifest.contains(lines), "the guide shows another Cargo.toml: {lines}");
    }
}
