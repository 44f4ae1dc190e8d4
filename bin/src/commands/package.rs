//! `camlock package`: what an author hands out.

use super::{
    builds::BuildDisplay,
    workshop::{Alone, Workshop},
};
use crate::{
    Failed,
    client::run,
    config::{Config, Flags, Profile},
    print,
};
use camlock_catalog::package::{AuthorKey, PackageParts, generate_author_key, make};
use camlock_embed::read_library;
use camlock_policy::Kind;
use clap::Args;
use serde_json::json;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub(crate) struct PackageArguments {
    /// The plugin: its folder, its .rs file, or its .so file
    #[arg(required_unless_present = "new_key")]
    path: Option<PathBuf>,
    /// The folder that the package goes into [default: the current directory]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Sign it with this key; a password for it is read from CAMLOCK_KEY_PASSWORD
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Make a key to sign with, at this path, and its public half beside it; encrypted if CAMLOCK_KEY_PASSWORD is set
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "output", "sign", "library", "attestations", "no_source"])]
    new_key: Option<PathBuf>,
    /// A library that was built already, for its target; may be said several times. Nothing is built then
    #[arg(long, value_name = "FILE")]
    library: Vec<PathBuf>,
    /// Attestations by workflows on GitHub of a library or of the sources, as `gh attestation download` writes them
    #[arg(long, value_name = "FILE")]
    attestations: Option<PathBuf>,
    /// Leave the sources out
    #[arg(long)]
    no_source: bool,
    /// How it is compiled
    #[arg(long, default_value = "release")]
    profile: Profile,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The configuration file [default: the nearest camlock.toml at or above the current directory]
    #[arg(long, env = "CAMLOCK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The largest library that is packaged.
const LARGEST: u64 = 256 << 20;

fn password() -> Option<String> {
    env::var("CAMLOCK_KEY_PASSWORD").ok().filter(|password| !password.is_empty())
}

pub(crate) fn run_it(options: &PackageArguments) -> Result<(), Failed> {
    if let Some(path) = &options.new_key {
        return new_key(path, options.json);
    }
    let path = options.path.as_deref().unwrap_or(Path::new("."));
    let key =
        options.sign.as_ref().map(|path| AuthorKey::read(path, password())).transpose().map_err(catalog_failed)?;
    let read = |path: &PathBuf| {
        camlock_build::read_regular(path, LARGEST)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let alone = Alone::new(path)?;
    let folder = Some(alone.path.clone()).filter(|path| path.is_dir() && !options.no_source);
    let mut libraries = options.library.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut lock = None;
    if libraries.is_empty() {
        let config = Config::read(&Flags { config: options.config.clone(), ..Flags::default() })?;
        let show = BuildDisplay::new();
        let workshop = Workshop::open(path, &config, options.profile, Some(show.listener()))?;
        let built = run(show.build(&workshop))?.map_err(|failure| show.failed(&failure))?;
        libraries.push(read(&built.candidate)?);
        if workshop.entry.kind == Kind::Crate {
            // What cargo resolved, where the author has no lock file.
            lock = workshop.lock();
        }
    }
    let attestations = options.attestations.as_ref().map(read).transpose()?;
    let parts = PackageParts { folder, lock, libraries, attestations, key: key.as_ref() };
    let package = make(parts, &read_library()).map_err(catalog_failed)?;
    let record = package.record();
    let name = format!("{}-{}.camlock", record.name, record.version);
    let output = options.output.clone().unwrap_or_default().join(&name);
    if let Some(folder) = output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    }
    let bytes = package.bytes();
    fs::write(&output, &bytes).map_err(|error| format!("{} cannot be written: {error}", output.display()))?;
    let signer = key.as_ref().map(|key| key.publisher().to_string());
    if options.json {
        print::json(&json!({
            "name": record.name, "version": record.version, "file": output, "bytes": bytes.len(), "signed_by": signer,
            "targets": record.libraries.keys().collect::<Vec<_>>(), "source": record.source,
            "sha256": package.digest().sha256,
        }));
    } else {
        let targets: Vec<&str> = record.libraries.keys().map(String::as_str).collect();
        let source = if record.source.is_some() { ", sources" } else { "" };
        let signed = signer.map_or_else(|| "nobody signed it".to_owned(), |key| format!("signed by {key}"));
        print::line(format_args!(
            "{} {} is in {} ({}{source}; {signed})",
            record.name,
            record.version,
            output.display(),
            targets.join(", ")
        ));
    }
    Ok(())
}

fn new_key(path: &Path, as_data: bool) -> Result<(), Failed> {
    let key = generate_author_key(path, password()).map_err(catalog_failed)?.publisher().to_string();
    if as_data {
        print::json(&json!({ "key": path, "publisher": key }));
    } else {
        print::line(format_args!(
            "{} holds the key: keep it, for nobody can sign a next version without it; those who take your plugins know {key}",
            path.display()
        ));
    }
    Ok(())
}

fn catalog_failed(trouble: camlock_catalog::CatalogTrouble) -> Failed {
    trouble.reason.into()
}
