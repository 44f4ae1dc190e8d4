//! What a plugin brings to the page, as its manifest names it: widgets, pages, items of menus and fields of forms, each a module among
//! the files of its folder `ui`, and themes.
//! Pure. What must not live here: how files are sent, and what they may do.

use crate::{manifest::Invalid, theme::UiTheme, view::UI_RIGHTS};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// So many of each sort are taken of a plugin.
const MOST_PARTS: usize = 20;
/// So many bytes may a widget's schema and its default have, as JSON.
const MOST_CONFIG: usize = 16 << 10;
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
    /// What stands in the menu of each plugin.
    pub menus: Vec<UiPart>,
    /// What stands at fields of forms whose schema has a certain `format`.
    pub fields: Vec<UiPart>,
    /// Colours for the whole page.
    pub themes: Vec<UiTheme>,
    /// The files of its folder `ui`.
    #[serde(skip)]
    pub files: Arc<[UiFile]>,
}

/// Where what a plugin brings runs on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UiTrust {
    /// In the page itself: it can do whatever its operator can.
    Trusted,
    /// In frames without an origin.
    Framed,
}

/// What is shown by a module.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UiPart {
    /// What the module calls it.
    pub id: String,
    /// What people read above it.
    pub title: String,
    /// The module, a path in the folder `ui`.
    pub module: String,
    /// What it may ask, if that is less than its plugin may.
    #[serde(default)]
    pub permissions: Option<Vec<String>>,
    /// Of a widget: the schema of what may be set of it, from which a form is made.
    #[serde(default)]
    pub config: Option<Value>,
    /// Of a widget: what is set unless somebody sets it.
    #[serde(default)]
    pub default: Option<Value>,
    /// Of a field: the `format` for which it is.
    #[serde(default)]
    pub format: Option<String>,
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
        self.parts().all(|(_, parts)| parts.is_empty()) && self.themes.is_empty()
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &[UiPart])> {
        let sorts: [(_, &[UiPart]); 4] =
            [("widgets", &self.widgets), ("pages", &self.pages), ("menus", &self.menus), ("fields", &self.fields)];
        sorts.into_iter()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        for (what, parts) in self.parts() {
            if parts.len() > MOST_PARTS {
                return Err(format!("there are {} {what}, and {MOST_PARTS} are taken", parts.len()));
            }
            let mut known = BTreeSet::new();
            for part in parts {
                let UiPart { id, title, module, .. } = part;
                if !is_id(id) {
                    let shown: String = id.chars().take(60).flat_map(char::escape_debug).collect();
                    return Err(format!(
                        "`{shown}` is no id for one of the {what}: 1 to 50 small letters, digits and hyphens, beginning with a letter"
                    ));
                }
                if !known.insert(id) {
                    return Err(format!("two of the {what} are called `{id}`"));
                }
                if !is_title(title) {
                    return Err(format!("the title of `{id}` is 1 to 100 characters on one line"));
                }
                if !is_path(module) || !module.ends_with(".js") {
                    return Err(format!("the module of `{id}` is a file in the folder `ui` (`widget.js`)"));
                }
                part.check(what)?;
            }
        }
        if self.themes.len() > MOST_PARTS {
            return Err(format!("there are {} themes, and {MOST_PARTS} are taken", self.themes.len()));
        }
        let mut known = BTreeSet::new();
        for theme in &self.themes {
            if !is_id(&theme.id) || !is_title(&theme.title) || !known.insert(&theme.id) {
                return Err("each theme has an `id` of its own, of small letters, and a `title` on one line".to_owned());
            }
            theme.check()?;
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
        let mut all = self.parts().flat_map(|(_, parts)| parts);
        match all.find(lacking) {
            Some(UiPart { id, module, .. }) => Err(Invalid(format!(
                "its manifest names `ui/{module}` as the module of `{id}`, and the library does not hold it: it lies in \
                 the folder `ui` beside the manifest"
            ))),
            None => Ok(()),
        }
    }
}

impl UiPart {
    /// What there is of some sorts alone.
    fn check(&self, what: &str) -> Result<(), String> {
        let UiPart { id, permissions, config, default, format, .. } = self;
        let unknown = permissions.iter().flatten().find(|asked| !UI_RIGHTS.contains(&asked.as_str()));
        if let Some(unknown) = unknown {
            let unknown: String = unknown.chars().take(60).flat_map(char::escape_debug).collect();
            return Err(format!("`{id}` may ask for some of {}, and not for `{unknown}`", UI_RIGHTS.join(", ")));
        }
        if what != "widgets" && (config.is_some() || default.is_some()) {
            return Err(format!("`{id}` has a `config` or a `default`, which widgets alone have"));
        }
        if config.as_ref().is_some_and(|schema| !schema["properties"].is_object()) {
            return Err(format!("the `config` of `{id}` is a JSON Schema with `properties`"));
        }
        if default.is_some() && (config.is_none() || !default.as_ref().is_some_and(Value::is_object)) {
            return Err(format!("the `default` of `{id}` is an object that its `config` describes"));
        }
        if config.iter().chain(default).map(|json| json.to_string().len()).sum::<usize>() > MOST_CONFIG {
            return Err(format!("the `config` and the `default` of `{id}` have {MOST_CONFIG} bytes at most"));
        }
        match (what, format) {
            ("fields", Some(format)) if is_id(format) => Ok(()),
            ("fields", _) => Err(format!("the field `{id}` names the `format` for which it is, as `color`")),
            (_, Some(_)) => Err(format!("`{id}` has a `format`, which fields alone have")),
            _ => Ok(()),
        }
    }
}

fn is_title(title: &str) -> bool {
    !title.trim().is_empty() && !title.chars().any(char::is_control) && title.chars().count() <= 100
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
        let (permissions, config, default, format) = (None, None, None, None);
        let (id, title, module) = (id.to_owned(), title.to_owned(), module.to_owned());
        UiPart { id, title, module, permissions, config, default, format }
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
    fn what_some_sorts_have_the_others_have_not() {
        let read = |text: &str| toml::from_str::<UiSection>(text).unwrap().check();
        let part = |more: &str| format!("[{{ id = \"a\", title = \"A\", module = \"a.js\"{more} }}]");
        let schema = r#", config = { properties = { days = { type = "integer" } } }"#;
        for good in [
            format!("widgets = {}", part(&format!("{schema}, default = {{ days = 7 }}, permissions = [\"ui:read\"]"))),
            format!("fields = {}\nmenus = {}", part(r#", format = "color""#), part("")),
        ] {
            assert_eq!(read(&good), Ok(()), "{good}");
        }
        for (bad, why) in [
            (format!("pages = {}", part(schema)), "which widgets alone have"),
            (format!("widgets = {}", part(", config = { type = \"object\" }")), "a JSON Schema with `properties`"),
            (format!("widgets = {}", part(", default = { days = 7 }")), "an object that its `config` describes"),
            (format!("widgets = {}", part(", permissions = [\"storage\"]")), "and not for `storage`"),
            (format!("widgets = {}", part(r#", format = "color""#)), "which fields alone have"),
            (format!("fields = {}", part("")), "names the `format`"),
            ("themes = [{ id = \"a\", title = \"A\", tokens = {} }]".to_owned(), "no colour for `ground`"),
            ("themes = [{ id = \"A\", title = \"A\", tokens = {} }]".to_owned(), "each theme has an `id`"),
        ] {
            let refused = read(&bad).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
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

    #[test]
    fn what_the_guide_shows_is_taken() {
        let guide = include_str!("../../../docs/plugin-authors.md");
        let (_, chapter) = guide.split_once("\n## Extending the page\n").unwrap();
        let (chapter, _) = chapter.split_once("\n## ").unwrap();
        let blocks: Vec<_> = chapter.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert_eq!(blocks.len(), 3);
        for block in blocks {
            let manifest: toml::Table = toml::from_str(block).unwrap();
            let section = manifest["package"]["metadata"]["camlock"]["ui"].clone();
            let section: UiSection = section.try_into().unwrap();
            assert_eq!(section.check(), Ok(()), "{block}");
            assert!(!section.is_empty());
        }
    }
}
