//! Sentences for people who may not know where things lie on this machine. Pure.

/// The same sentence, of whose paths on this machine nothing is left but their last parts. What stands right behind a backtick
/// stays: so are paths of URLs quoted.
pub fn without_paths(sentence: &str) -> String {
    let mut left = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some(start) = next_path(&left, rest) {
        let (before, path) = rest.split_at(start);
        left.push_str(before);
        let end = path.find(|character: char| ends_path(character)).unwrap_or(path.len());
        let (path, behind) = path.split_at(end);
        // A sentence's own marks are no part of it.
        let whole = path.trim_end_matches(['.', ':', ',', ';']);
        left.push('…');
        if let Some((_, last)) = whole.trim_end_matches('/').rsplit_once('/') {
            left.push('/');
            left.push_str(last);
        }
        left.push_str(&path[whole.len()..]);
        rest = behind;
    }
    left.push_str(rest);
    left
}

/// Where in the rest the next path begins: at a slash that stands behind nothing that could be a part of it.
fn next_path(left: &str, rest: &str) -> Option<usize> {
    rest.match_indices('/').map(|(at, _)| at).find(|at| {
        let before = rest[..*at].chars().next_back().or_else(|| left.chars().next_back().filter(|_| *at == 0));
        let begins = before.is_none_or(|before| before.is_whitespace() || "\"'([{<=:,;".contains(before));
        // `https://…` and a slash between words are no paths.
        let more = rest[*at + 1..].chars().next();
        begins && more.is_some_and(|next| next != '/' && !next.is_whitespace())
    })
}

fn ends_path(character: char) -> bool {
    character.is_whitespace() || "\"')]}>`,;".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_on_this_machine_are_left_out() {
        for (sentence, expected) in [
            ("it is on its way", "it is on its way"),
            ("/srv/plugins cannot be read: denied", "…/plugins cannot be read: denied"),
            ("manifest: /srv/plugins/hello/Cargo.toml: no name", "manifest: …/Cargo.toml: no name"),
            ("it panicked at '/srv/app/src/lib.rs:7:1', twice", "it panicked at '…/lib.rs:7:1', twice"),
            ("two: /a/b, /c/d.", "two: …/b, …/d."),
            ("(/var/lib/camlock/)", "(…/camlock)"),
            ("file:/srv/x=/srv/y", "file:…/y"),
            (
                "`hello` claims `/hello`, which `other` has (`/hello/*`)",
                "`hello` claims `/hello`, which `other` has (`/hello/*`)",
            ),
            ("and/or, 1 / 2", "and/or, 1 / 2"),
            ("see https://example.com/a/b", "see https://example.com/a/b"),
            ("it lies in hello/src", "it lies in hello/src"),
            ("/", "/"),
        ] {
            assert_eq!(without_paths(sentence), expected, "{sentence}");
        }
    }
}
