//! What an operator demands of what comes from a catalog, beside its author's signature: who has attested it, and which digests it may have.
//!
//! What must not live here: how attestations are proved (`package`).

use crate::{
    CatalogTrouble,
    client::PackagePart,
    documents::PluginDocument,
    package::{ATTESTATIONS, Attester},
    trouble::shown,
};
use camlock_policy::manifest::check_name;
use std::fmt::Display;

/// What is demanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    attesters: Vec<Attester>,
    pins: Vec<PackagePin>,
}

/// A version of a plugin, and the digest that its package must have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PackagePin {
    plugin: String,
    version: semver::Version,
    sha256: String,
}

impl PackagePin {
    /// Reads `NAME@VERSION=SHA256`.
    fn read(text: &str) -> Option<Self> {
        let (stem, sha256) = text.split_once('=')?;
        let (plugin, version) = stem.split_once('@')?;
        check_name(plugin).ok()?;
        let sha256 = sha256.strip_prefix("sha256:").unwrap_or(sha256).to_ascii_lowercase();
        let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        let version = version.parse().ok().filter(|_| is_digest)?;
        Some(PackagePin { plugin: plugin.to_owned(), version, sha256 })
    }
}

impl Demands {
    /// Reads what an operator wrote.
    pub fn read(attested_by: &[String], pins: &[String]) -> Result<Self, CatalogTrouble> {
        let pin = |text: &String| {
            PackagePin::read(text)
                .ok_or_else(|| CatalogTrouble::unfit(format!("`{}` is no pin: it is NAME@VERSION=SHA256", shown(text))))
        };
        Ok(Demands {
            attesters: attested_by.iter().map(|text| Attester::read(text)).collect::<Result<_, _>>()?,
            pins: pins.iter().map(pin).collect::<Result<_, _>>()?,
        })
    }

    /// Whether attestations are asked for.
    pub fn attestations(&self) -> bool {
        !self.attesters.is_empty()
    }

    /// Refuses versions of which what is listed shows already that they are not as it is demanded.
    pub fn refuse(&self, document: &mut PluginDocument, catalog: &str) {
        let name = document.name.clone();
        for version in &mut document.versions {
            let digest = version.package.as_ref().map(|package| package.sha256.as_str());
            let unpinned = self.unpinned(&name, &version.version, digest, catalog);
            let is_unattested = self.attestations() && !version.files.contains_key(ATTESTATIONS);
            let unattested = is_unattested.then(|| self.unattested(catalog));
            version.refused = version.refused.take().or(unpinned).or(unattested);
        }
    }

    /// Whether a part of a package is as it is demanded. `attestations`: what the package has of them.
    pub fn check(
        &self,
        (plugin, version): (&str, &str),
        catalog: &str,
        part: &PackagePart,
        attestations: Option<&PackagePart>,
    ) -> Result<(), CatalogTrouble> {
        let of_it = |why: &dyn Display| CatalogTrouble::denied(format!("`{plugin}` {version}: {why}"));
        if let Some(why) = self.unpinned(plugin, version, Some(&part.digest()), catalog) {
            return Err(of_it(&why));
        }
        if !self.attestations() {
            return Ok(());
        }
        let attestations = attestations.ok_or_else(|| of_it(&self.unattested(catalog)))?;
        part.check_attested(attestations, &self.attesters)
            .map_err(|why| of_it(&format!("{why}; the catalog `{catalog}` demands one by {}", self.attesters())))
    }

    fn unattested(&self, catalog: &str) -> String {
        format!("it has no attestation, and the catalog `{catalog}` demands one by {}", self.attesters())
    }

    fn attesters(&self) -> String {
        self.attesters.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Why a version is not the one that is pinned, where the plugin is.
    fn unpinned(&self, plugin: &str, version: &str, digest: Option<&str>, catalog: &str) -> Option<String> {
        let pins: Vec<&PackagePin> = self.pins.iter().filter(|pin| pin.plugin == plugin).collect();
        if pins.is_empty() {
            return None;
        }
        let number = version.parse::<semver::Version>().ok();
        let of_it: Vec<&&PackagePin> = pins.iter().filter(|pin| Some(&pin.version) == number.as_ref()).collect();
        let Some(first) = of_it.first() else {
            let versions: Vec<String> = pins.iter().map(|pin| pin.version.to_string()).collect();
            return Some(format!(
                "it is not pinned: from the catalog `{catalog}` only {} is taken",
                versions.join(", ")
            ));
        };
        let other = digest.filter(|digest| of_it.iter().all(|pin| pin.sha256 != *digest))?;
        Some(format!("it is pinned as sha256:{}, and the catalog `{catalog}` has sha256:{other}", first.sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{documents::PluginVersion, package::FileRecord};
    use std::collections::BTreeMap;

    fn demands(attested_by: &[&str], pins: &[String]) -> Demands {
        let attested_by: Vec<String> = attested_by.iter().map(|text| (*text).to_owned()).collect();
        Demands::read(&attested_by, pins).unwrap()
    }

    fn refusals(demands: &Demands) -> Vec<Option<String>> {
        let attested = BTreeMap::from([(ATTESTATIONS.to_owned(), FileRecord::of(b""))]);
        let version = |version: &str, package: Option<&[u8]>| PluginVersion {
            version: version.to_owned(),
            package: package.map(FileRecord::of),
            ..PluginVersion::default()
        };
        let mut versions = vec![version("1.0.0", Some(b"one")), version("1.1.0", Some(b"two")), version("1.2.0", None)];
        versions[0].files = attested;
        let mut document = PluginDocument { name: "hello".to_owned(), versions, ..PluginDocument::default() };
        demands.refuse(&mut document, "main");
        document.versions.into_iter().map(|version| version.refused).collect()
    }

    #[test]
    fn only_what_is_pinned() {
        assert_eq!(refusals(&Demands::default()), [None, None, None]);
        let digest = FileRecord::of(b"one").sha256;
        let pins = [format!("hello@1.0.0={digest}"), format!("hello@1.1.0=sha256:{}", digest.to_uppercase())];
        let told = refusals(&demands(&[], &pins));
        assert_eq!(told[0], None);
        assert!(told[1].as_ref().unwrap().contains("is pinned as sha256:"), "{told:?}");
        assert!(told[2].as_ref().unwrap().contains("only 1.0.0, 1.1.0 is taken"), "{told:?}");
        // Of others nothing is said.
        assert_eq!(refusals(&demands(&[], &[format!("other@1.0.0={digest}")])), [None, None, None]);
        for wrong in ["", "hello", "hello@1.0.0", "hello@1.0.0=00", "Hello@1.0.0=", "hello@newest=00"] {
            assert!(Demands::read(&[], &[wrong.to_owned()]).unwrap_err().reason.contains("is no pin"), "{wrong}");
        }
    }

    #[test]
    fn what_nobody_attested_is_refused() {
        let told = refusals(&demands(&["acme/hello", "acme/other:release.yml"], &[]));
        assert_eq!(told[0], None);
        for told in &told[1..] {
            let told = told.as_ref().unwrap();
            assert!(told.contains("no attestation") && told.contains("acme/hello, acme/other:release.yml"), "{told}");
        }
        assert!(Demands::read(&["acme".to_owned()], &[]).unwrap_err().reason.contains("names no repository"));
    }
}
