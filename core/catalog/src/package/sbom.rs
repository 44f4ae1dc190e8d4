//! What a plugin is built of, as a CycloneDX document: from its `Cargo.lock`. No time and no serial number: the same lock gives the
//! same bytes.

use crate::CatalogTrouble;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<LockedPackage>,
}

#[derive(Deserialize)]
struct LockedPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl LockedPackage {
    fn reference(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

/// Writes it.
pub(super) fn of_lock(lock: &str, (name, version): (&str, &str), license: &str) -> Result<Vec<u8>, CatalogTrouble> {
    let lock: Lock = toml::from_str(lock)
        .map_err(|error| CatalogTrouble::unfit(format!("Cargo.lock is not understood: {error}")))?;
    let own = |package: &&LockedPackage| package.name == name && package.version == version;
    let components: Vec<Value> = lock.package.iter().filter(|package| !own(package)).map(component).collect();
    // A dependency is named alone where one version of it is there, else with its version.
    let reference = |dependency: &String| {
        let mut words = dependency.split(' ');
        let (name, version) = (words.next()?, words.next());
        let found = lock
            .package
            .iter()
            .find(|package| package.name == name && version.is_none_or(|version| package.version == version));
        found.map(LockedPackage::reference)
    };
    let dependencies: Vec<Value> = lock
        .package
        .iter()
        .map(|package| {
            let on: Vec<String> = package.dependencies.iter().filter_map(reference).collect();
            json!({ "ref": package.reference(), "dependsOn": on })
        })
        .collect();
    let mut itself = json!({
        "type": "library", "bom-ref": format!("pkg:cargo/{name}@{version}"), "name": name, "version": version,
        "purl": format!("pkg:cargo/{name}@{version}"),
    });
    if !license.is_empty() {
        itself["licenses"] = json!([{ "expression": license }]);
    }
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": itself }, "components": components, "dependencies": dependencies,
    });
    let mut bytes = serde_json::to_vec_pretty(&document).unwrap_or_default();
    bytes.push(b'\n');
    Ok(bytes)
}

fn component(package: &LockedPackage) -> Value {
    let mut component = json!({
        "type": "library", "bom-ref": package.reference(), "name": package.name, "version": package.version,
        "purl": package.reference(),
    });
    if let Some(checksum) = &package.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(source) = &package.source {
        component["externalReferences"] = json!([{ "type": "distribution", "url": source }]);
    }
    component
}
