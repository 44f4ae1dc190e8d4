//! The functions that a panic went through, as Sentry has them.

use sentry::protocol::Frame;

/// What is no plugin's and not the host's: shown, but folded away.
const OTHERS: [&str; 9] = ["core::", "std::", "alloc::", "tokio::", "axum::", "hyper::", "tower::", "__rust", "rust_"];

/// From names, innermost first, a line each; the frames, innermost last. The innermost function of the author's own is where
/// the panic is (`file:line`). Whose they are is known by the crate's name; without a plugin they are the host's.
pub(super) fn frames(names: &str, location: &str, plugin: Option<&str>) -> Vec<Frame> {
    let own = plugin.map(|plugin| format!("{}::", plugin.replace('-', "_")));
    let mut frames: Vec<Frame> = names
        .lines()
        .filter(|name| !name.is_empty())
        .map(|name| {
            let in_app = match &own {
                Some(own) => is_in(name, own),
                None => !OTHERS.iter().any(|other| is_in(name, other)),
            };
            Frame { function: Some(name.to_owned()), in_app: Some(in_app), ..Frame::default() }
        })
        .collect();
    let (file, line) = location.rsplit_once(':').unwrap_or((location, ""));
    let place = |frame: &mut Frame| {
        frame.filename = Some(file.to_owned()).filter(|file| !file.is_empty());
        frame.lineno = line.parse().ok();
    };
    match frames.iter_mut().find(|frame| frame.in_app == Some(true)) {
        Some(innermost) => place(innermost),
        None => {
            let mut frame = Frame { in_app: Some(true), ..Frame::default() };
            place(&mut frame);
            frames.insert(0, frame);
        }
    }
    frames.reverse();
    frames
}

/// Whether a function is of a crate, as its own or as its implementation of something.
fn is_in(name: &str, krate: &str) -> bool {
    name.starts_with(krate) || name.strip_prefix('<').is_some_and(|name| name.starts_with(krate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_author_s_own_functions_stand_out() {
        let names = "core::panicking::panic_fmt\n<my_plugin::Mine as Plugin>::inner\nmy_plugin::outer\naxum::handler";
        let frames = frames(names, "src/lib.rs:7", Some("my-plugin"));
        let told: Vec<_> = frames
            .iter()
            .map(|frame| (frame.function.as_deref().unwrap(), frame.in_app.unwrap(), frame.lineno))
            .collect();
        assert_eq!(
            told,
            [
                ("axum::handler", false, None),
                ("my_plugin::outer", true, None),
                ("<my_plugin::Mine as Plugin>::inner", true, Some(7)),
                ("core::panicking::panic_fmt", false, None),
            ]
        );
        assert_eq!(frames[2].filename.as_deref(), Some("src/lib.rs"));
    }

    #[test]
    fn a_place_without_functions_is_a_frame() {
        let frames = frames("", "src/lib.rs:7", Some("hello"));
        assert_eq!((frames.len(), frames[0].lineno), (1, Some(7)));
    }
}
