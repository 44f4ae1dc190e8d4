//! What a plugin brings to the page, as its manifest names it: widgets and pages, each a module among the files of its folder `ui`.
//! Pure. What must not live here: how files are sent, and what they may do.

use crate::manifest::Invalid;
use serde::Deserialize;
use std::{collections::BTreeSet, sync::Arc};

/// So many widgets, and so many pages, are taken of a plugin.
const MOST_PARTS: usize = 20;
/// So many files, and so many bytes in all of them.
const MOST_FILES: usize = 200;
const MOST_BYTES: usize = 4 << 20;
/// What files may be: scripts, styles, images.
const KINDS: [(&str, &str); 7] = [
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
];

/// `[package.metadata.camlock.ui]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UiSection {
    /// What stands beside others' on the dashboard.
    pub widgets: Vec<UiPart>,
    /// What has a page of its own.
    pub pages: Vec<UiPart>,
    /// The files of its folder `ui`.
    #[serde(skip)]
    pub files: Arc<[UiFile]>,
}

/// A widget or a page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UiPart {
    /// What the module calls it.
    pub id: String,
    /// What people read above it.
    pub title: String,
    /// The module, a path in the folder `ui`.
    pub module: String,
}

/// A file of the folder `ui`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UiFile {
    /// Its path in that folder.
    pub path: String,
    /// Its media type.
    pub kind: &'static str,
    /// What is in it.
    pub content: Arc<[u8]>,
}

impl UiSection {
    /// Whether there is anything to show.
    pub fn is_empty(&self) -> bool {
        self.widgets.is_empty() && self.pages.is_empty()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        for (what, parts) in [("widgets", &self.widgets), ("pages", &self.pages)] {
            if parts.len() > MOST_PARTS {
                return Err(format!("there are {} {what}, and {MOST_PARTS} are taken", parts.len()));
            }
            let mut known = BTreeSet::new();
            for UiPart { id, title, module } in parts {
                if !is_id(id) {
                    let shown: String = id.chars().take(60).flat_map(char::escape_debug).collect();
                    return Err(format!(
                        "`{shown}` is no id for one of the {what}: 1 to 50 small letters, digits and hyphens, beginning with a letter"
                    ));
                }
                if !known.insert(id) {
                    return Err(format!("two of the {what} are called `{id}`"));
                }
                let is_plain = !title.trim().is_empty() && !title.chars().any(char::is_control);
                if !is_plain || title.chars().count() > 100 {
                    return Err(format!("the title of `{id}` is 1 to 100 characters on one line"));
                }
                if !is_path(module) || !module.ends_with(".js") {
                    return Err(format!("the module of `{id}` is a file in the folder `ui` (`widget.js`)"));
                }
            }
        }
        Ok(())
    }

    /// Takes in the files that came with the manifest. What is named must be there.
    pub fn take_files(&mut self, files: &[(&str, &[u8])]) -> Result<(), Invalid> {
        if files.len() > MOST_FILES {
            return Err(Invalid(format!("its folder `ui` has {} files, and {MOST_FILES} are taken", files.len())));
        }
        let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
        if bytes > MOST_BYTES {
            return Err(Invalid(format!(
                "the files of its folder `ui` have {bytes} bytes, and {MOST_BYTES} are taken"
            )));
        }
        let taken = files.iter().map(|(path, content)| {
            let shown = || path.chars().take(100).flat_map(char::escape_debug).collect::<String>();
            if !is_path(path) {
                return Err(Invalid(format!("`{}` is no name for a file of the folder `ui`", shown())));
            }
            let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
            let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == ending) else {
                let known = KINDS.map(|(known, _)| known).join(", ");
                return Err(Invalid(format!(
                    "`ui/{}` is no script, style or image: files of the folder `ui` end with one of {known}",
                    shown()
                )));
            };
            Ok(UiFile { path: (*path).to_owned(), kind, content: (*content).into() })
        });
        self.files = taken.collect::<Result<_, _>>()?;
        let lacking = |part: &&UiPart| !self.files.iter().any(|file| file.path == part.module);
        match self.widgets.iter().chain(&self.pages).find(lacking) {
            Some(UiPart { id, module, .. }) => Err(Invalid(format!(
                "its manifest names `ui/{module}` as the module of `{id}`, and the library does not hold it: it lies in \
                 the folder `ui` beside the manifest"
            ))),
            None => Ok(()),
        }
    }
}

fn is_id(id: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=50).contains(&id.len()) && id.starts_with(|first: char| first.is_ascii_lowercase()) && id.bytes().all(good)
}

/// Plain parts, so that it is the same in a file system and in an address.
fn is_path(path: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    path.len() <= 200
        && path.split('/').all(|part| !part.starts_with('.') && !part.is_empty() && part.bytes().all(good))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: &str, title: &str, module: &str) -> UiPart {
        UiPart { id: id.to_owned(), title: title.to_owned(), module: module.to_owned() }
    }

    fn with(widgets: Vec<UiPart>) -> UiSection {
        UiSection { widgets, ..UiSection::default() }
    }

    #[test]
    fn what_is_named_has_a_form() {
        assert_eq!(with(vec![part("live", "Ticks", "live.js"), part("b-2", "B", "a/b.js")]).check(), Ok(()));
        for (widget, why) in [
            (part("Live", "Ticks", "live.js"), "`Live` is no id"),
            (part("", "Ticks", "live.js"), "`` is no id"),
            (part("a", " ", "live.js"), "the title of `a`"),
            (part("a", "b\nc", "live.js"), "the title of `a`"),
            (part("a", "b", "../live.js"), "the module of `a`"),
            (part("a", "b", "/live.js"), "the module of `a`"),
            (part("a", "b", "https://x/live.js"), "the module of `a`"),
            (part("a", "b", "live.css"), "the module of `a`"),
        ] {
            let refused = with(vec![widget]).check().unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let twice = with(vec![part("a", "b", "c.js"), part("a", "b", "c.js")]);
        assert_eq!(twice.check().unwrap_err(), "two of the widgets are called `a`");
    }

    #[test]
    fn files_are_scripts_styles_and_images_and_what_is_named_is_there() {
        let mut section = with(vec![part("live", "Ticks", "live.js")]);
        assert_eq!(section.take_files(&[("live.js", b"x"), ("a/b.css", b"")]), Ok(()));
        assert_eq!(section.files[1].kind, "text/css; charset=utf-8");
        for (files, why) in [
            (&[("other.js", &b""[..])][..], "names `ui/live.js` as the module of `live`"),
            (&[("live.html", b"")], "`ui/live.html` is no script, style or image"),
            (&[("../live.js", b"")], "is no name for a file"),
            (&[("a b.js", b"")], "is no name for a file"),
        ] {
            let refused = section.take_files(files).unwrap_err().0;
            assert!(refused.contains(why), "{refused}");
        }
        let large = vec![0; MOST_BYTES + 1];
        assert!(section.take_files(&[("live.js", &large)]).unwrap_err().0.contains("4194304 are taken"));
    }
}
