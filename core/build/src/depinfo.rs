//! The notes that rustc and cargo leave of what a crate was made of.
//!
//! Pure: text in, names out.

use std::path::PathBuf;

/// The files that a library was made of: what stands after the colon of the first rule, blanks in names escaped.
pub(crate) fn files(text: &str) -> Vec<PathBuf> {
    let Some((_, files)) = text.lines().next().and_then(|rule| rule.split_once(": ")) else { return Vec::new() };
    let mut names = vec![String::new()];
    let mut characters = files.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&' ').is_some() => {
                names.last_mut().into_iter().for_each(|name| name.push(' '))
            }
            ' ' => names.push(String::new()),
            other => names.last_mut().into_iter().for_each(|name| name.push(other)),
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

/// The environment variables that were read.
pub(crate) fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let variable = line.strip_prefix("# env-dep:")?;
        Some(variable.split_once('=').map_or(variable, |(name, _)| name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read() {
        let text = "/t/libx.so: /a/src/lib.rs /a/my\\ file.txt src/../../top.txt\n\n/a/src/lib.rs:\n\n\
                    # env-dep:DATABASE_URL=sqlite://x\n# env-dep:UNSET\n";
        assert_eq!(files(text), ["/a/src/lib.rs", "/a/my file.txt", "src/../../top.txt"].map(PathBuf::from));
        assert_eq!(variables(text).collect::<Vec<_>>(), ["DATABASE_URL", "UNSET"]);
        assert_eq!(files(""), Vec::<PathBuf>::new());
    }
}
