//! A plugin that is linked into the program that runs it.

use crate::RootRef;

/// What `export!` made of a plugin, for a program that links it in instead of loading it.
#[derive(Clone, Copy)]
pub struct BuiltIn {
    root: RootRef,
    meta: &'static [u8],
    manifest: &'static [u8],
    migrations: &'static [u8],
    ui: &'static [u8],
    config_schema: fn() -> Option<String>,
}

impl BuiltIn {
    /// A plugin of these functions, and what its sections would hold.
    ///
    /// # Safety
    /// The functions must keep the contract, and be there as long as the program runs.
    pub const unsafe fn new(root: RootRef, meta: &'static [u8], manifest: &'static [u8]) -> Self {
        BuiltIn { root, meta, manifest, migrations: &[], ui: &[], config_schema: || None }
    }

    /// The same, with what [`section::MIGRATIONS`](crate::section::MIGRATIONS) would hold.
    #[must_use]
    pub const fn with_migrations(self, migrations: &'static [u8]) -> Self {
        BuiltIn { migrations, ..self }
    }

    /// The same, with what [`section::UI`](crate::section::UI) would hold.
    #[must_use]
    pub const fn with_ui(self, ui: &'static [u8]) -> Self {
        BuiltIn { ui, ..self }
    }

    /// The same, with what makes the schema of its configuration.
    #[must_use]
    pub const fn with_config_schema(self, config_schema: fn() -> Option<String>) -> Self {
        BuiltIn { config_schema, ..self }
    }

    /// The schema of its configuration, if it has one.
    pub fn config_schema(&self) -> Option<String> {
        (self.config_schema)()
    }

    /// Its functions.
    pub fn root(&self) -> RootRef {
        self.root
    }

    /// What [`section::META`](crate::section::META) would hold.
    pub fn meta(&self) -> &'static [u8] {
        self.meta
    }

    /// What [`section::MANIFEST`](crate::section::MANIFEST) would hold.
    pub fn manifest(&self) -> &'static [u8] {
        self.manifest
    }

    /// What [`section::MIGRATIONS`](crate::section::MIGRATIONS) would hold.
    pub fn migrations(&self) -> &'static [u8] {
        self.migrations
    }

    /// What [`section::UI`](crate::section::UI) would hold.
    pub fn ui(&self) -> &'static [u8] {
        self.ui
    }
}

impl std::fmt::Debug for BuiltIn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut entries = crate::section::parse(self.meta);
        let name = entries.find(|(key, _)| *key == b"name").map(|(_, name)| String::from_utf8_lossy(name));
        formatter.debug_tuple("BuiltIn").field(&name.unwrap_or_default()).finish()
    }
}
