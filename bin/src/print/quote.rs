//! Somebody else's words and names of files, so that a terminal shows them as they are, and a shell takes them as one word.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

/// So much of somebody else's words stands in a list.
const SHORT: usize = 500;

/// Somebody else's words, with nothing in them that a terminal would obey or that would show them in another order.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => plain.push(character),
            _ if is_hidden(character) => plain.extend(character.escape_unicode()),
            _ => plain.push(character),
        }
    }
    plain
}

/// The same, cut off where it is too long for a list.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}… ({} bytes more)", plain(&text[..end]), text.len() - end),
        None => plain(text),
    }
}

/// A JSON document in which nothing is hidden: such characters, which stand in strings alone, are written as escapes.
pub(crate) fn plain_json(document: &str) -> String {
    use std::fmt::Write as _;
    let mut plain = String::with_capacity(document.len());
    for character in document.chars() {
        if character == '\n' || !is_hidden(character) {
            plain.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    plain
}

/// A path as a shell takes it, so that it may be pasted: as it is if nothing in it means anything to a shell or a terminal.
pub(crate) fn quoted_path(path: &Path) -> String {
    quoted(path.as_os_str())
}

fn quoted(name: &OsStr) -> String {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    let text = name.to_str();
    let as_it_is = |text: &str| text.chars().all(|one| good_character(one, good)) && !text.starts_with('-');
    match text {
        Some(text) if !text.is_empty() && as_it_is(text) => text.to_owned(),
        Some(text) if !text.chars().any(is_hidden) && !text.contains(['\'', '\n', '\t']) => format!("'{text}'"),
        _ => ansi_quoted(name.as_bytes()),
    }
}

fn good_character(character: char, good: impl Fn(u8) -> bool) -> bool {
    u8::try_from(character).ok().filter(u8::is_ascii).map_or(character.is_alphanumeric(), good)
}

/// In `$'…'`, which bash, zsh and ksh read: what cannot be shown is written as bytes.
fn ansi_quoted(bytes: &[u8]) -> String {
    let mut quoted = "$'".to_owned();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => quoted.push_str("\\n"),
                '\t' => quoted.push_str("\\t"),
                '\'' | '\\' => quoted.extend(['\\', character]),
                _ if is_hidden(character) => {
                    let mut bytes = [0; 4];
                    character.encode_utf8(&mut bytes).bytes().for_each(|byte| push_byte(&mut quoted, byte));
                }
                _ => quoted.push(character),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_byte(&mut quoted, *byte));
    }
    quoted.push('\'');
    quoted
}

fn push_byte(quoted: &mut String, byte: u8) {
    use std::fmt::Write as _;
    // Three octal digits end by themselves, whatever follows.
    let _ = write!(quoted, "\\{byte:03o}");
}

/// Whether a character is not seen as it is: it moves the cursor, has others shown in another order, or shows nothing.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn terminals_obey_nobody_else() {
        assert_eq!(plain("a\x1b[2Jb\tc\nd\r"), "a\\u{1b}[2Jb\tc\nd\\u{d}");
        assert_eq!(plain("txt.\u{202e}sr"), "txt.\\u{202e}sr");
    }

    #[test]
    fn json_says_the_same_without_what_is_hidden() {
        let document = serde_json::json!({ "a": "x\u{202e}y\u{9b}\u{e0001}\n", "b": [1] });
        let text = plain_json(&format!("{document:#}"));
        assert!(!text.chars().any(|character| character != '\n' && is_hidden(character)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), document);
    }

    #[test]
    fn a_list_is_not_filled_by_one() {
        assert_eq!(short("short"), "short");
        let long = short(&"ä".repeat(10_000));
        assert!(long.starts_with("ää") && long.ends_with("… (19000 bytes more)"), "{long}");
    }

    #[test]
    fn a_shell_takes_a_path_as_one_word() {
        for (name, expected) in [
            (&b"plugins/hello.rs"[..], "plugins/hello.rs"),
            ("grüße".as_bytes(), "grüße"),
            (b"two words", "'two words'"),
            (b"<script>$(x)`y`", "'<script>$(x)`y`'"),
            (b"-rf", "'-rf'"),
            (b"", "''"),
            (b"it's", "$'it\\'s'"),
            (b"a\nb", "$'a\\nb'"),
            (b"a\\\x1b1", "$'a\\\\\\0331'"),
            ("txt.\u{202e}sr".as_bytes(), "$'txt.\\342\\200\\256sr'"),
            (b"\xff1", "$'\\3771'"),
        ] {
            let name = OsStr::from_bytes(name);
            let quoted = quoted(name);
            assert_eq!(quoted, expected);
            assert!(!quoted.chars().any(is_hidden));
            let echoed = Command::new("bash").arg("-c").arg(format!("printf %s {quoted}")).output().unwrap();
            assert_eq!(OsStr::from_bytes(&echoed.stdout), name, "{quoted}");
        }
    }
}
