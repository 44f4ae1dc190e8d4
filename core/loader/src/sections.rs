//! What a plugin says of itself, read without running it: out of a file, or out of the program that it is compiled into.
//!
//! Pure: bytes in, answer out.

use camlock_abi::{ABI, AbiVersion, HOST_FEATURES, section};
use camlock_policy::{
    Manifest,
    manifest::{self, Invalid},
    migrations::{self, MigrationFile},
};
use std::{collections::BTreeMap, fmt};

/// Why a file is no plugin for this host: one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub String);

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl From<Invalid> for Unfit {
    fn from(invalid: Invalid) -> Self {
        Unfit(invalid.0)
    }
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections {
    /// The author's words.
    pub manifest: Manifest,
    /// The contract it was built for.
    pub abi: String,
    /// The SDK's version.
    pub sdk: String,
    /// The compiler.
    pub rustc: String,
    /// `unwind` or `abort`.
    pub panic: String,
    /// Which build it was; empty unless the server built it.
    pub fingerprint: String,
    /// Features of the host that it cannot do without.
    pub requires: Vec<String>,
    /// The crate's name, from which the entry's symbol is made.
    pub crate_name: String,
    /// The files of its folder `migrations`, by number.
    pub migrations: Vec<MigrationFile>,
    /// The schema of its configuration, if that is a file.
    pub config_schema: Option<String>,
    /// Why the library can never be unloaded, if that can be seen from its file.
    pub stays: Option<String>,
}

/// What a plugin's build made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuildKind {
    /// A library of its own.
    AsLibrary,
    /// A part of this program.
    IntoProgram,
}

impl BuildKind {
    /// Checks that it is what its build made of it: `intercepts` is what `export!` wrote.
    fn check(self, intercepts: &str) -> Result<(), Unfit> {
        match (self, intercepts) {
            (BuildKind::AsLibrary, "yes") | (BuildKind::IntoProgram, "no") => Ok(()),
            (BuildKind::AsLibrary, _) => Err(Unfit(
                "it was built with the feature `program` of camlock-plugin, for linking into a program: \
                 as a library it could not be unloaded safely; build it with plain `cargo build`"
                    .into(),
            )),
            (BuildKind::IntoProgram, _) => Err(Unfit(
                "it is compiled into this program as if it were a library of its own: \
                 build the program with the feature `program` of camlock-plugin"
                    .into(),
            )),
        }
    }
}

impl Sections {
    /// Reads all sections and refuses what this host cannot run, in the order in which a person would ask.
    pub(crate) fn parse(meta: &[u8], cargo_toml: &[u8], built: BuildKind) -> Result<Self, Unfit> {
        let package: BTreeMap<String, Vec<u8>> = section::parse(meta)
            .filter_map(|(key, value)| Some((String::from_utf8(key.to_vec()).ok()?, value.to_vec())))
            .collect();
        let word = |key: &str| -> Result<String, Unfit> {
            let value = package.get(key).map_or(&[][..], Vec::as_slice);
            let plain = value.len() <= 200 && value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
            let value = plain.then(|| String::from_utf8_lossy(value).into_owned());
            value.ok_or_else(|| Unfit(format!("the value of `{key}` in its section `.camlock.meta` is not plain text")))
        };
        let abi = word("abi")?;
        check_abi(&abi)?;
        let requires: Vec<String> =
            word("requires")?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        check_required(&requires, &abi, (ABI, HOST_FEATURES))?;
        let panic = word("panic")?;
        if panic == "abort" {
            return Err(Unfit(
                "it was built with `panic = \"abort\"`, so that any panic in it would end the whole server; \
                 build it with `panic = \"unwind\"`"
                    .into(),
            ));
        }
        built.check(&word("intercepts")?)?;
        Ok(Sections {
            manifest: manifest::read(&package, cargo_toml)?,
            abi,
            sdk: word("sdk")?,
            rustc: word("rustc")?,
            panic,
            fingerprint: word("fingerprint")?,
            requires,
            crate_name: word("crate")?,
            migrations: Vec::new(),
            config_schema: None,
            stays: None,
        })
    }

    /// The same, with what the section of migrations holds.
    pub(crate) fn with_migrations(self, section: &[u8]) -> Result<Self, Unfit> {
        Ok(Sections { migrations: read_migrations(section)?, ..self })
    }

    /// The same, with the files that it brings to the page.
    pub(crate) fn with_ui(mut self, section: &[u8]) -> Result<Self, Unfit> {
        let files = section::unpack(section)
            .ok_or_else(|| Unfit("its section `.camlock.ui` is not what `export!` writes".into()))?;
        self.manifest.camlock.ui.take_files(&files)?;
        Ok(self)
    }

    /// The same, with what the section of the configuration's schema holds.
    pub(crate) fn with_config_schema(self, section: &[u8]) -> Result<Self, Unfit> {
        let Some(file) = &self.manifest.camlock.config else { return Ok(self) };
        if section.is_empty() {
            return Err(Unfit(format!(
                "its manifest names `{file}` as the schema of its configuration, and the library does not hold it: write `config = \
                 \"{file}\"` on a line of its own under `[package.metadata.camlock]`"
            )));
        }
        match std::str::from_utf8(section) {
            Ok(text) => Ok(Sections { config_schema: Some(text.to_owned()), ..self }),
            Err(_) => Err(Unfit(format!("the schema of its configuration, `{file}`, is not UTF-8"))),
        }
    }
}

/// The section with the files of the folder `migrations`.
fn read_migrations(section: &[u8]) -> Result<Vec<MigrationFile>, Unfit> {
    let files = section::unpack(section)
        .ok_or_else(|| Unfit("its section `.camlock.migrations` is not what `export!` writes".into()))?;
    Ok(migrations::read(&files)?)
}

fn check_abi(text: &str) -> Result<AbiVersion, Unfit> {
    let version = text
        .split_once('.')
        .and_then(|(major, minor)| Some(AbiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? }));
    match version {
        None => Err(Unfit(format!("`{text}` is no version of the contract"))),
        Some(version) if version.major != ABI.major => Err(Unfit(format!(
            "it was built for version {version} of the contract, this host speaks {ABI}: build it with camlock-plugin {}",
            ABI.major
        ))),
        Some(version) => Ok(version),
    }
}

/// What a host at a version of the contract offers must be all that is required.
fn check_required(requires: &[String], abi: &str, (host, offers): (AbiVersion, &[&str])) -> Result<(), Unfit> {
    let lacking: Vec<_> =
        requires.iter().filter(|name| !offers.contains(&name.as_str())).map(|name| format!("`{name}`")).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Unfit(format!(
        "it requires {} of the host, which this host (contract {host}) lacks; it was built for contract {abi}: \
         update the server, or build the plugin without that requirement",
        lacking.join(" and ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(intercepts: &str, built: BuildKind) -> Result<Sections, Unfit> {
        let meta = format!("abi=1.0\0panic=unwind\0intercepts={intercepts}\0name=hello\0version=1.0.0\0crate=hello\0");
        Sections::parse(meta.as_bytes(), b"", built)
    }

    #[test]
    fn what_a_host_lacks_is_named() {
        let first = (AbiVersion { major: 1, minor: 0 }, &["log", "trace", "time", "spawn"][..]);
        let requires = ["spawn".to_owned(), "config".to_owned()];
        let refused = check_required(&requires, "1.1", first).unwrap_err().0;
        assert_eq!(
            refused,
            "it requires `config` of the host, which this host (contract 1.0) lacks; it was built for contract 1.1: update the \
             server, or build the plugin without that requirement"
        );
        assert_eq!(check_required(&requires, "1.1", (ABI, HOST_FEATURES)), Ok(()));
    }

    #[test]
    fn migrations_are_read_and_not_trusted() {
        const FILES: &[(&str, &[u8])] = &[("0002_more.postgres.sql", b"SELECT 2"), ("0001_first.sql", b"SELECT 1")];
        static PACKED: [u8; section::packed_length(FILES)] = section::pack(FILES);
        let read = read_migrations(&PACKED).unwrap();
        let names: Vec<_> = read.iter().map(MigrationFile::file_name).collect();
        assert_eq!(names, ["0001_first.sql", "0002_more.postgres.sql"]);
        let refused = read_migrations(&PACKED[1..]).unwrap_err().0;
        assert_eq!(refused, "its section `.camlock.migrations` is not what `export!` writes");
    }

    #[test]
    fn a_plugin_is_taken_as_what_it_was_made_into() {
        assert_eq!(read("yes", BuildKind::AsLibrary).unwrap().manifest.name, "hello");
        assert_eq!(read("no", BuildKind::IntoProgram).unwrap().crate_name, "hello");
        let refused = |intercepts, made| read(intercepts, made).unwrap_err().0;
        assert!(refused("no", BuildKind::AsLibrary).contains("build it with plain `cargo build`"));
        assert!(refused("yes", BuildKind::IntoProgram).contains("with the feature `program` of camlock-plugin"));
    }
}
