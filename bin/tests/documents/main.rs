//! README and guides, followed by somebody who does just what they say: every block that is marked `sh` is run as it is written, in
//! a copy of the repository.
//!
//! What a reader knows and a block does not say stands in a comment on the line before it:
//!
//! - `<!-- server -->`: its first line starts a server, which goes on running until the document ends;
//! - `<!-- until: TEXT -->`: its last line is run again until TEXT is in what it prints;
//! - `<!-- save: PATH -->`, before a block of another kind: the reader saves it there.
//!
//! Blocks that cannot be run here are marked `console`, and have prompts.

mod block;
mod place;
mod reader;

use crate::{block::Block, place::Place, reader::Reader};
use camlock_testing::repository;
use std::{collections::BTreeSet, fs};

/// Those that are followed.
const FOLLOWED: [&str; 3] = ["README.md", "docs/operators.md", "docs/plugin-authors.md"];

fn read(document: &str) -> String {
    fs::read_to_string(repository().join(document)).unwrap()
}

fn follow(document: &str) {
    let place = Place::make();
    let text = read(document);
    let mut reader = Reader::new(&place);
    let mut run = 0;
    for block in Block::all(&text) {
        println!("{document}, line {}", block.line);
        run += usize::from(reader.does(&block));
    }
    reader.end();
    // Counted in another way than they are found.
    let marked = text.lines().filter(|line| line.trim() == "```sh").count();
    assert!(marked > 0 && run == marked, "{document}: {run} of {marked} blocks were run");
}

#[test]
fn readme() {
    follow("README.md");
}

#[test]
fn operators() {
    follow("docs/operators.md");
}

#[test]
fn plugin_authors() {
    follow("docs/plugin-authors.md");
}

#[test]
fn no_other_document_has_commands_that_nobody_runs() {
    let root = repository();
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let documents = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).chain(docs);
    let mut found = BTreeSet::new();
    for path in documents.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let blocks = read(&name);
        let blocks = Block::all(&blocks);
        // What runs this test need not be run by it.
        let commands =
            blocks.iter().filter(|block| block.language == "sh" && !reader::is_what_runs_this(block.text.trim()));
        if commands.count() > 0 {
            found.insert(name);
        }
    }
    assert_eq!(found, FOLLOWED.map(str::to_owned).into());
}

#[test]
fn the_image_is_built_by_scripts_alone() {
    let root = repository();
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains("ARG FEATURES=all-plugins\n"), "{dockerfile}");
    let commands: Vec<_> = dockerfile.lines().filter_map(|line| line.strip_prefix("RUN ")).collect();
    assert!(!commands.is_empty());
    for command in commands {
        let program = command.split(' ').next().unwrap();
        assert!(program.starts_with("scripts/") && root.join(program).is_file(), "{command}");
    }
}
