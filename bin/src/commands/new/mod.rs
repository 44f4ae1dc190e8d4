//! `camlock new`: a plugin to begin with.
//!
//! Its folder is whole when it appears: a server may be watching. Where the SDK is, plain cargo and editors are told in the
//! folder's `.cargo/config.toml`, with the absolute path of this program's SDK in the user's cache directory. So the folder may be
//! moved anywhere on this machine. The file is not for others, and git is told so: the server's own builds do without it, and
//! `camlock new NAME --relink` writes it after a clone, or for another version of camlock.

use super::workshop;
use crate::{Failed, print};
use camlock_build::sdk;
use camlock_policy::manifest::check_name;
use camlock_services::database::names::TableNames;
use clap::{Args, ValueEnum};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub(crate) struct NewArguments {
    /// What it is called: 3 to 50 lower-case letters and digits, in words joined by hyphens
    name: String,
    /// What to begin with
    #[arg(long, default_value = "http")]
    template: Template,
    /// Where it goes [default: the current directory]
    #[arg(long = "in", value_name = "DIR")]
    within: Option<PathBuf>,
    /// Only tell cargo where the SDK is, in a plugin that is there already: after a clone, or with another camlock
    #[arg(long, conflicts_with = "template")]
    relink: bool,
}

/// What to begin with.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// A folder with a crate, and tests of its own
    Http,
    /// The same, with a configuration, values and a table that the host keeps
    Database,
    /// The same, hearing of events and telling of some
    Events,
    /// A crate that does work later, in a queue, and at set times
    Task,
    /// A crate that brings a widget and a page of its own to the operators' page
    Widget,
    /// One .rs file
    SingleFile,
}

/// What is written into a crate's folder.
const HTTP: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("http/Cargo.toml.in")),
    ("src/lib.rs", include_str!("http/lib.rs.in")),
    (".gitignore", include_str!("http/gitignore.in")),
];
const DATABASE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("database/Cargo.toml.in")),
    ("build.rs", include_str!("database/build.rs.in")),
    ("src/lib.rs", include_str!("database/lib.rs.in")),
    ("migrations/0001_entries.sqlite.sql", include_str!("database/entries.sqlite.sql.in")),
    ("migrations/0001_entries.postgres.sql", include_str!("database/entries.postgres.sql.in")),
    (".gitignore", include_str!("http/gitignore.in")),
];
const EVENTS: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("events/Cargo.toml.in")),
    ("src/lib.rs", include_str!("events/lib.rs.in")),
    (".gitignore", include_str!("http/gitignore.in")),
];
const TASK: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("task/Cargo.toml.in")),
    ("src/lib.rs", include_str!("task/lib.rs.in")),
    (".gitignore", include_str!("http/gitignore.in")),
];
const WIDGET: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("widget/Cargo.toml.in")),
    ("build.rs", include_str!("widget/build.rs.in")),
    ("src/lib.rs", include_str!("widget/lib.rs.in")),
    ("ui/count.js", include_str!("widget/count.js.in")),
    ("page.d.ts", include_str!("widget/page.d.ts.in")),
    (".gitignore", include_str!("http/gitignore.in")),
];
const SINGLE: &str = include_str!("single.rs.in");

pub(crate) fn run(options: &NewArguments) -> Result<(), Failed> {
    let name = &*options.name;
    check(name)?;
    let within = options.within.clone().unwrap_or_else(|| PathBuf::from("."));
    if options.relink {
        return relink(&within.join(name));
    }
    let told = |error: io::Error| Failed::from(format!("nothing can be made in {}: {error}", within.display()));
    fs::create_dir_all(&within).map_err(told)?;
    for there in [name.to_owned(), format!("{name}.rs"), format!("{name}.so")] {
        let there = within.join(there);
        if there.symlink_metadata().is_ok() {
            return Err(format!("{} is there already: choose another name, or remove it", there.display()).into());
        }
    }
    let crate_files = match options.template {
        Template::Http => Some(HTTP),
        Template::Database => Some(DATABASE),
        Template::Events => Some(EVENTS),
        Template::Task => Some(TASK),
        Template::Widget => Some(WIDGET),
        Template::SingleFile => None,
    };
    let entry = match crate_files {
        Some(files) => {
            let config = cargo_config()?;
            // Hidden until it is whole.
            let temporary = tempfile::Builder::new().prefix(".camlock-new-").tempdir_in(&within).map_err(told)?;
            let names = TableNames::of(name);
            let filled = |text: &str| text.replace("{name}", name).replace("{prefix}", names.prefix());
            let files = files.iter().map(|(file, text)| (*file, filled(text)));
            for (file, text) in files.chain([(CONFIG, config)]) {
                write(&temporary.path().join(file), &text).map_err(told)?;
            }
            let entry = within.join(name);
            fs::set_permissions(temporary.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(told)?;
            fs::rename(temporary.keep(), &entry).map_err(told)?;
            entry
        }
        None => {
            let temporary = within.join(format!(".camlock-new-{name}-{}", std::process::id()));
            let entry = within.join(format!("{name}.rs"));
            write(&temporary, &SINGLE.replace("{name}", name))
                .and_then(|()| fs::rename(&temporary, &entry))
                .map_err(told)?;
            entry
        }
    };
    print::line(format_args!("{name} is in {}", entry.display()));
    let shown = entry.display();
    if crate_files.is_some() {
        print::line(format_args!("its tests      cd {shown} && cargo test"));
    }
    print::line(format_args!("serve it alone  camlock dev {shown}"));
    print::line(format_args!("or let it lie in a server's plugins directory: it is served at /api/v1/p/{name}/"));
    Ok(())
}

fn check(name: &str) -> Result<(), Failed> {
    check_name(name).map_err(|invalid| Failed::usage(invalid.0))?;
    if UNFIT.contains(&name) {
        return Err(Failed::usage(format!(
            "`{name}` is a word of Rust's, or a crate that plugins use: a package of that name does not build; choose another"
        )));
    }
    Ok(())
}

/// Names that the language, or a crate that every plugin uses, has taken.
const UNFIT: &[&str] = &[
    "abstract",
    "alloc",
    "async",
    "await",
    "axum",
    "become",
    "box",
    "break",
    "camlock-plugin",
    "camlock-testkit",
    "const",
    "continue",
    "core",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "for",
    "gen",
    "impl",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tokio",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

const CONFIG: &str = ".cargo/config.toml";

fn relink(entry: &Path) -> Result<(), Failed> {
    let config = entry.join(CONFIG);
    if !entry.join("Cargo.toml").is_file() {
        return Err(format!(
            "{} is no plugin's folder: it has no Cargo.toml; say with --in where it lies",
            entry.display()
        )
        .into());
    }
    let others = fs::read_to_string(&config).is_ok_and(|text| !text.starts_with(MADE));
    if others {
        return Err(format!(
            "{} was not written by camlock: add to it what `camlock new` writes into a new plugin's, or move it away",
            config.display()
        )
        .into());
    }
    let text = cargo_config()?;
    write(&config, &text).map_err(|error| format!("{} cannot be written: {error}", config.display()))?;
    print::line(format_args!("{} says where the SDK of this camlock is", config.display()));
    Ok(())
}

const MADE: &str = "# Where camlock's SDK is on this machine";

/// Where the SDK is; it is unpacked there.
fn cargo_config() -> Result<String, Failed> {
    let below = workshop::cache()?.join("sdk");
    let unpacked = sdk::unpack(&below).map_err(|error| {
        format!("the SDK cannot be unpacked to {}: {error}; set XDG_CACHE_HOME to where there is room", below.display())
    })?;
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    Ok(format!(
        "{MADE}, for plain cargo and editors; a server builds with its own.\n# Written by `camlock new`; \
         `camlock new NAME --relink` writes it anew.\n[patch.crates-io]\ncamlock-plugin.path = {}\ncamlock-testkit.path = {}\n",
        quoted(&unpacked.plugin),
        quoted(&unpacked.testkit)
    ))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_build_are_refused() {
        for name in ["Hello", "ab", "catalog", "serde", "async", "core"] {
            assert_eq!(check(name).unwrap_err().code, 2, "{name}");
        }
        assert_eq!(check("kv-store"), Ok(()));
        assert!(UNFIT.is_sorted());
    }
}
