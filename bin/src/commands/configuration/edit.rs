//! A configuration in an editor. What was written is not lost when it does not fit.

use super::{OfPlugin, object};
use crate::{Failed, client::run, print};
use std::{env, fs, io::Write as _, process::Command};

pub(super) fn edit(plugin: &OfPlugin<'_>) -> Result<(), Failed> {
    let (config, revision) = run(plugin.on_record())?;
    let before = format!("{config:#}\n");
    let unable = |error: std::io::Error| Failed::from(format!("no file can be made to edit: {error}"));
    let prefix = format!("camlock-{}-", plugin.name);
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(".json").tempfile().map_err(unable)?;
    file.write_all(before.as_bytes()).and_then(|()| file.flush()).map_err(unable)?;
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| env::var(name).ok().filter(|editor| !editor.is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // An editor may have arguments: `code --wait`.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file.path()).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("the editor `{editor}` ended with {status}: nothing was changed").into()),
        Err(error) => return Err(format!("the editor `{editor}` cannot be started: {error}").into()),
    }
    // Editors put another file in its place.
    let after = fs::read_to_string(file.path()).map_err(unable)?;
    if after == before {
        print::line("nothing was changed");
        return Ok(());
    }
    let set = object(&after, "what you wrote").and_then(|config| run(plugin.put(&config, Some(revision))));
    set.map_err(|failed| match file.keep() {
        Ok((_, path)) => {
            let reason = format!("{}; what you wrote is in {}", failed.reason, path.display());
            Failed { reason, ..failed }
        }
        Err(_) => failed,
    })
}
