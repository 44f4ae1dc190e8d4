//! Themes that plugins bring to the page: colours for names that are known, of which text can be read. Pure. What must not live here:
//! how the page looks without one.

use serde::Deserialize;
use std::collections::BTreeMap;

/// What has a colour.
const TOKENS: [&str; 14] = [
    "ground",
    "paper",
    "ink",
    "soft",
    "line",
    "strong-line",
    "accent",
    "on-accent",
    "good",
    "bad",
    "careful",
    "hover",
    "code",
    "focus",
];
/// What is read, on what, and how much they must differ at least (WCAG 2.2: 1.4.3 for text, 1.4.11 for what is no text).
const READ: [(&[&str], &[&str], f64); 4] = [
    (&["ink", "soft", "accent", "good", "bad", "careful"], &["ground", "paper", "hover"], 4.5),
    (&["ink"], &["code"], 4.5),
    (&["on-accent"], &["accent"], 4.5),
    (&["strong-line", "focus"], &["ground", "paper"], 3.0),
];

/// A theme: every name has a colour.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UiTheme {
    /// What it is called among the plugin's.
    pub id: String,
    /// What people choose it by.
    pub title: String,
    /// Whether it is dark, for what the browser draws itself.
    #[serde(default)]
    pub dark: bool,
    /// Colours, as `#rrggbb`, by name.
    pub tokens: BTreeMap<String, String>,
}

impl UiTheme {
    /// Whether it has what it takes.
    pub(crate) fn check(&self) -> Result<(), String> {
        let id = &self.id;
        if let Some(unknown) = self.tokens.keys().find(|name| !TOKENS.contains(&name.as_str())) {
            let unknown: String = unknown.chars().take(40).flat_map(char::escape_debug).collect();
            return Err(format!("the theme `{id}` colours `{unknown}`, and there are {}", TOKENS.join(", ")));
        }
        for name in TOKENS {
            self.luminance(name)?;
        }
        for (what, on, least) in READ {
            for (what, on) in what.iter().flat_map(|what| on.iter().map(move |on| (what, on))) {
                let (one, other) = (self.luminance(what)?, self.luminance(on)?);
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                if contrast < least {
                    return Err(format!(
                        "in the theme `{id}`, `{what}` on `{on}` has a contrast of {contrast:.1} to 1, and {least} to 1 is the least"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The relative luminance of a colour, as WCAG has it.
    fn luminance(&self, name: &str) -> Result<f64, String> {
        let id = &self.id;
        let colour = self.tokens.get(name).ok_or_else(|| format!("the theme `{id}` has no colour for `{name}`"))?;
        let channels = channels(colour)
            .ok_or_else(|| format!("in the theme `{id}`, the colour of `{name}` is written as `#1a2b3c`"))?;
        let linear = channels.map(|channel| {
            let part = f64::from(channel) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        Ok(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    }
}

fn channels(colour: &str) -> Option<[u8; 3]> {
    let digits = colour.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let number =
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())??;
    let [_, channels @ ..] = number.to_be_bytes();
    Some(channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's own colours, light.
    fn theme() -> UiTheme {
        let colours = [
            "#f7f8fa", "#ffffff", "#1a1d23", "#565d69", "#d9dde4", "#828a98", "#1f4fbf", "#ffffff", "#14693a",
            "#b3261e", "#7a5200", "#eef1f6", "#f1f3f7", "#1f4fbf",
        ];
        let tokens = TOKENS.iter().zip(colours).map(|(name, colour)| ((*name).to_owned(), colour.to_owned()));
        UiTheme { id: "own".to_owned(), title: "Own".to_owned(), dark: false, tokens: tokens.collect() }
    }

    #[test]
    fn a_theme_has_all_colours_and_can_be_read() {
        assert_eq!(theme().check(), Ok(()));
        for (name, colour, why) in [
            ("soft", "#aaaaaa", "`soft` on `ground` has a contrast of 2.2 to 1, and 4.5 to 1 is the least"),
            ("on-accent", "#1f4fbf", "`on-accent` on `accent` has a contrast of 1.0 to 1"),
            ("focus", "#eeeeee", "`focus` on `ground`"),
            ("ink", "red", "the colour of `ink` is written as `#1a2b3c`"),
            ("ink", "#12345é", "the colour of `ink`"),
            ("ink", "url(x)", "the colour of `ink`"),
            ("shadow", "#000000", "colours `shadow`, and there are ground"),
        ] {
            let mut theme = theme();
            theme.tokens.insert(name.to_owned(), colour.to_owned());
            let refused = theme.check().unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let mut theme = theme();
        theme.tokens.remove("line");
        assert_eq!(theme.check().unwrap_err(), "the theme `own` has no colour for `line`");
    }
}
