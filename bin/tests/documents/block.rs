//! The blocks of a document, and what the comment before each says.

/// What the reader knows of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Nothing,
    Server,
    Until(String),
    Save(String),
}

/// A block between fences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) known: Known,
    pub(crate) text: String,
}

impl Block {
    /// All of a document.
    pub(crate) fn all(document: &str) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut before = "";
        let mut lines = document.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let text = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
                let text = text.map(|line| format!("{line}\n")).collect();
                blocks.push(Block { line: number + 1, language: language.to_owned(), known: known(before), text });
            }
            before = line;
        }
        blocks
    }
}

fn known(comment: &str) -> Known {
    let Some(said) = comment.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
        return Known::Nothing;
    };
    match said.split_once(": ") {
        None if said == "server" => Known::Server,
        Some(("until", text)) => Known::Until(text.to_owned()),
        Some(("save", path)) => Known::Save(path.to_owned()),
        _ => panic!("nobody knows what `{said}` means"),
    }
}

#[test]
fn blocks_are_found_with_what_is_said_before_them() {
    let document =
        "A\n\n<!-- until: b c -->\n```sh\none\ntwo\n```\n\n```toml\n```\n<!-- save: x/y -->\n```rust\nz\n```\n";
    let block = |line, language: &str, known, text: &str| Block {
        line,
        language: language.to_owned(),
        known,
        text: text.to_owned(),
    };
    let expected = [
        block(4, "sh", Known::Until("b c".to_owned()), "one\ntwo\n"),
        block(9, "toml", Known::Nothing, ""),
        block(12, "rust", Known::Save("x/y".to_owned()), "z\n"),
    ];
    assert_eq!(Block::all(document), expected);
}
