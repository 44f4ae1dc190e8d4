//! What those do who keep a catalog, or copy one: without a server.

use super::KeptCatalog;
use crate::{Failed, print};
use camlock_catalog::{
    AdvisoryList, CatalogTrouble,
    client::{CatalogPlace, CatalogReader, mirror},
    package::{PackageArchive, PublisherKey},
    publish::{Keeper, Lifetimes, NewCatalog, Publication, Publishing},
};
use camlock_embed::{Digest, read_library};
use clap::Args;
use serde_json::json;
use std::{fs, path::PathBuf};

#[derive(Args)]
pub(super) struct InitCatalog {
    #[command(flatten)]
    kept: KeptCatalog,
    /// So many root keys
    #[arg(long, default_value_t = 3)]
    roots: usize,
    /// So many of them must sign a change of keys
    #[arg(long, default_value_t = 2)]
    threshold: usize,
    /// So many parts that are signed for themselves: 16 for some hundred plugins, 256 from 4,000, 1024 from 63,000
    #[arg(long, default_value_t = 16)]
    bins: u32,
}

#[derive(Args)]
pub(super) struct PublishCatalog {
    #[command(flatten)]
    kept: KeptCatalog,
    /// Packages: .camlock files
    packages: Vec<PathBuf>,
    /// The key of an author who is new to the catalog, or the file with it; may be said several times
    #[arg(long, value_name = "KEY")]
    publisher: Vec<String>,
    /// Take packages that nobody signed
    #[arg(long)]
    unsigned: bool,
    /// Take a version back: nobody is to install it any more. May be said several times
    #[arg(long, value_name = "NAME@VERSION=WHY")]
    yank: Vec<String>,
    /// All advisories from now on: a file with `{"advisories":[{"id","plugin","versions","severity","title","remedy","url"}]}`
    #[arg(long, value_name = "FILE")]
    advisories: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct RotateCatalog {
    #[command(flatten)]
    kept: KeptCatalog,
    /// New root keys, so many; without, they stay, and all must be there
    #[arg(long, requires = "threshold")]
    roots: Option<usize>,
    /// So many of the new ones must sign a change of keys
    #[arg(long, requires = "roots")]
    threshold: Option<usize>,
}

#[derive(Args)]
pub(super) struct MirrorCatalog {
    /// The catalog: https://… or file:///…
    url: String,
    /// Where the copy goes
    directory: PathBuf,
    /// What the sha-256 of its first root must be [default: that of the copy, where there is one]
    #[arg(long, value_name = "DIGEST")]
    root_sha256: Option<String>,
}

fn catalog_failed(trouble: CatalogTrouble) -> Failed {
    trouble.reason.into()
}

pub(super) fn init(options: &InitCatalog) -> Result<(), Failed> {
    let KeptCatalog { directory, keys } = &options.kept;
    let new = NewCatalog { roots: options.roots, threshold: options.threshold, bins: options.bins };
    Keeper::create(directory, keys, new, Lifetimes::default()).map_err(catalog_failed)?;
    let path = directory.join("metadata/1.root.json");
    let root = fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    print::line(format_args!(
        "{} is a catalog; its root has the sha256 {}. Take root-*.key out of {} and keep them offline, apart from each other; \
         online.key publishes",
        directory.display(),
        Digest::of(&root).hex(),
        keys.display()
    ));
    Ok(())
}

pub(super) fn publish(options: &PublishCatalog) -> Result<(), Failed> {
    let KeptCatalog { directory, keys } = &options.kept;
    let key = |said: &String| {
        // Base64 has slashes too: a file that is there is meant.
        let text = fs::read_to_string(said).unwrap_or_else(|_| said.clone());
        PublisherKey::read(&text).map_err(catalog_failed)
    };
    let yanked = |said: &String| {
        let parts = said.split_once('=').and_then(|(stem, why)| Some((stem.split_once('@')?, why)));
        match parts {
            Some(((name, version), why)) if !why.is_empty() => {
                Ok((name.to_owned(), version.to_owned(), why.to_owned()))
            }
            _ => Err(Failed::usage(format!("--yank `{said}`: NAME@VERSION=WHY is asked for"))),
        }
    };
    let advisories = options.advisories.as_ref().map(|path| {
        let bytes =
            fs::read(path).map_err(|error| Failed::from(format!("{} cannot be read: {error}", path.display())))?;
        AdvisoryList::read(&bytes).map_err(catalog_failed)
    });
    let publication = Publication {
        packages: options
            .packages
            .iter()
            .map(|path| PackageArchive::open(path).map_err(catalog_failed))
            .collect::<Result<_, _>>()?,
        publishers: options.publisher.iter().map(key).collect::<Result<_, _>>()?,
        unsigned: options.unsigned,
        yanked: options.yank.iter().map(yanked).collect::<Result<_, _>>()?,
        advisories: advisories.transpose()?,
        ..Publication::default()
    };
    let keeper = Keeper::open(directory, keys, Lifetimes::default()).map_err(catalog_failed)?;
    let Publishing { version, published, expires } =
        keeper.publish(publication, &read_library()).map_err(catalog_failed)?;
    if options.json {
        print::json(&json!({ "version": version, "published": published, "expires": expires }));
        return Ok(());
    }
    let published = if published.is_empty() { "nothing new".to_owned() } else { published.join(", ") };
    print::line(format_args!(
        "{} is at version {version}: {published}; publish again before {expires}",
        directory.display()
    ));
    Ok(())
}

pub(super) fn rotate(options: &RotateCatalog) -> Result<(), Failed> {
    let KeptCatalog { directory, keys } = &options.kept;
    let keeper = Keeper::open(directory, keys, Lifetimes::default()).map_err(catalog_failed)?;
    let version = keeper.rotate(keys, options.roots.zip(options.threshold)).map_err(catalog_failed)?;
    let online = keys.join(format!("online-{version}.key"));
    print::line(format_args!(
        "root {version} counts from now on; {} publishes. Destroy the keys that count no longer",
        online.display()
    ));
    Ok(())
}

pub(super) fn mirror_it(options: &MirrorCatalog) -> Result<(), Failed> {
    let place = CatalogPlace::read(&options.url).map_err(|trouble| Failed::usage(trouble.reason))?;
    // What was trusted before is trusted now: a mirror does not become another catalog's.
    let kept = fs::read(options.directory.join("metadata/1.root.json")).ok();
    let root = match kept {
        Some(root) => root,
        None => CatalogReader::first_root(&place).map_err(catalog_failed)?,
    };
    let digest = Digest::of(&root).hex();
    if let Some(wanted) = options.root_sha256.as_ref().filter(|wanted| wanted.to_lowercase() != digest) {
        return Err(
            format!("the root of {place} has the sha256 {digest}, and not {wanted}: it is another catalog").into()
        );
    }
    let now = std::time::SystemTime::now().try_into().unwrap_or_default();
    let done = mirror(&place, &root, &options.directory, now).map_err(catalog_failed)?;
    print::line(format_args!(
        "{} is {place} at version {}: {} fetched, {} there before; root sha256 {digest}",
        options.directory.display(),
        done.version,
        print::counted(done.fetched as usize, "file"),
        done.kept
    ));
    Ok(())
}
