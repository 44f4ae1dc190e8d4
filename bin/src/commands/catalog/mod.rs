//! `camlock catalog`: the catalogs that a server follows, and those that somebody keeps.

mod followed;
mod keeping;

use crate::{Failed, client::Reach};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct CatalogOptions {
    #[command(subcommand)]
    act: CatalogAct,
}

#[derive(Subcommand)]
enum CatalogAct {
    /// Have a server follow a catalog
    #[command(
        after_help = "Without --root-sha256 whatever root the catalog has now is trusted from now on: compare the one that is printed \
with what its keepers say elsewhere.\n\nExamples:\n  camlock catalog add main https://plugins.example.org\n  \
camlock catalog add ours file:///srv/catalog --only 'ours-*' --priority 10\n  \
camlock catalog add main https://plugins.example.org --root-sha256 DIGEST --publisher KEY"
    )]
    Add(followed::AddCatalog),
    /// List the catalogs that a server follows
    #[command(after_help = "Example:\n  camlock catalog list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Look for what is new, now
    #[command(
        after_help = "Servers look by themselves every hour.\n\nExamples:\n  camlock catalog sync\n  camlock catalog sync main"
    )]
    Sync {
        /// The catalog [default: all]
        name: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Find plugins; typing errors are forgiven
    #[command(
        after_help = "Examples:\n  camlock catalog search notifications\n  camlock catalog search --category integration --sort rating"
    )]
    Search(followed::SearchCatalogs),
    /// Show all that a catalog says of a plugin: versions, which fit here, what they ask to be allowed, what is wrong with them
    #[command(after_help = "Example:\n  camlock catalog show kv-store")]
    Show {
        /// The plugin
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Have a server follow a catalog no longer; what was installed from it stays
    #[command(after_help = "Example:\n  camlock catalog remove main")]
    Remove {
        /// The catalog
        name: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Copy a catalog whole, with its signatures, to serve it where the original cannot be reached
    #[command(after_help = "What was copied before is not fetched again.\n\nExamples:\n  \
camlock catalog mirror https://plugins.example.org /srv/mirror\n  \
camlock catalog mirror https://plugins.example.org /media/stick --root-sha256 DIGEST")]
    Mirror(keeping::MirrorCatalog),
    /// Make a catalog: a directory to be served by any web server, and the keys that sign it
    #[command(after_help = "Take the root keys offline: they are needed only to change keys.\n\nExamples:\n  \
camlock catalog init /srv/catalog --keys ~/catalog-keys\n  \
camlock catalog init /srv/catalog --keys ~/catalog-keys --roots 5 --threshold 3 --bins 256")]
    Init(keeping::InitCatalog),
    /// Publish packages in a catalog, or say again that it is the newest
    #[command(
        after_help = "Without packages only the time is signed anew: do that before it expires, within 30 days.\n\nExamples:\n  \
camlock catalog publish /srv/catalog --keys ~/catalog-keys hello-1.0.0.camlock --publisher hello.key.pub\n  \
camlock catalog publish /srv/catalog --keys ~/catalog-keys --yank 'hello@1.0.0=it loses data'\n  \
camlock catalog publish /srv/catalog --keys ~/catalog-keys --advisories advisories.json"
    )]
    Publish(keeping::PublishCatalog),
    /// Change a catalog's keys, with enough of its root keys
    #[command(after_help = "Examples:\n  camlock catalog rotate /srv/catalog --keys ~/catalog-keys\n  \
camlock catalog rotate /srv/catalog --keys ~/catalog-keys --roots 3 --threshold 2")]
    Rotate(keeping::RotateCatalog),
}

pub(crate) fn run_it(options: &CatalogOptions) -> Result<(), Failed> {
    match &options.act {
        CatalogAct::Add(options) => followed::add(options),
        CatalogAct::List { json, reach } => followed::list(*json, reach),
        CatalogAct::Sync { name, reach } => followed::sync(name.as_deref(), reach),
        CatalogAct::Search(options) => followed::search(options),
        CatalogAct::Show { name, json, reach } => followed::show(name, *json, reach),
        CatalogAct::Remove { name, reach } => followed::remove(name, reach),
        CatalogAct::Mirror(options) => keeping::mirror_it(options),
        CatalogAct::Init(options) => keeping::init(options),
        CatalogAct::Publish(options) => keeping::publish(options),
        CatalogAct::Rotate(options) => keeping::rotate(options),
    }
}

/// A catalog that somebody keeps.
#[derive(Args)]
struct KeptCatalog {
    /// The catalog's directory
    directory: PathBuf,
    /// The folder with the keys, which is not served
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
}
