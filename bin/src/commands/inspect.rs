//! `camlock inspect`.

use camlock_loader::{Digest, Sections};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct InspectArguments {
    /// The artifact, a .so file
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The largest library that a server takes.
const LARGEST: u64 = 1 << 30;

pub(crate) fn run(options: &InspectArguments) -> Result<(), String> {
    let shown = options.file.display();
    let bytes = camlock_build::read_regular(&options.file, LARGEST)
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let sections = camlock_loader::inspect(&bytes).map_err(|unfit| format!("{shown}: {unfit}"))?;
    let digest = Digest::of(&bytes);
    if options.json {
        crate::print::json(&as_json(&sections, digest));
        return Ok(());
    }
    let manifest = &sections.manifest;
    let rows = [
        ("name", manifest.name.clone()),
        ("version", manifest.version.clone()),
        ("description", manifest.description.clone()),
        ("authors", manifest.authors.join(", ")),
        ("license", manifest.license.clone()),
        ("keywords", manifest.keywords.join(", ")),
        ("repository", manifest.repository.clone()),
        ("docs", manifest.documentation.clone()),
        ("claims", manifest.camlock.routes.join(", ")),
        ("permissions", manifest.camlock.permissions.join(", ")),
        ("config", manifest.camlock.config.clone().map(|file| format!("its schema was {file}")).unwrap_or_default()),
        ("digest", digest.to_string()),
        ("contract", sections.abi.clone()),
        ("sdk", sections.sdk.clone()),
        ("compiler", sections.rustc.clone()),
        ("requires", sections.requires.join(", ")),
        ("unloads", sections.stays.clone().map_or_else(|| "yes".to_owned(), |reason| format!("no: {reason}"))),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        crate::print::line(format_args!("{name:<12} {}", crate::print::plain(value)));
    }
    Ok(())
}

fn as_json(sections: &Sections, digest: Digest) -> serde_json::Value {
    let manifest = &sections.manifest;
    json!({
        "name": manifest.name, "version": manifest.version, "description": manifest.description,
        "authors": manifest.authors, "license": manifest.license, "keywords": manifest.keywords,
        "repository": manifest.repository, "documentation": manifest.documentation,
        "routes": manifest.camlock.routes, "dependencies": manifest.camlock.dependencies,
        "permissions": manifest.camlock.permissions, "artifact": digest.to_string(), "abi": sections.abi,
        "sdk": sections.sdk, "rustc": sections.rustc, "panic": sections.panic, "fingerprint": sections.fingerprint,
        "requires": sections.requires, "stays": sections.stays, "config_schema": sections.config_schema,
    })
}
