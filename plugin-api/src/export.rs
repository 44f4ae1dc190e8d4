//! The one line that makes a crate a plugin, and the table of functions it exports.

use crate::{functions, plugin::ExportedPlugin};
use camlock_abi::{ABI, BuiltIn, Entry, RSlice, Root, RootRef, abi_stable::prefix_type::WithMetadata};
use std::marker::PhantomData;

/// Exports a type that implements [`Plugin`](crate::Plugin) as this crate's plugin.
///
/// A plugin that cannot do without a feature of newer hosts names it: `export!(Hello, requires: ["log", "spawn"])`. A host
/// that lacks it refuses the plugin and says so.
///
/// One whose configuration has a schema that is made of a type names the type: `export!(Hello, config = HelloConfig)`. The type
/// derives [`JsonSchema`](crate::schemars::JsonSchema) (with the feature `config-schema` of this crate). A schema that is a file is
/// named in the manifest instead: `config = "config.schema.json"` in `[package.metadata.camlock]`.
///
/// It adds one symbol and some sections: the crate's `Cargo.toml`, as it stands, the schema that it names, and what built it;
/// the files of the folder `migrations` beside it, which are read without running the plugin; those of the folder `assets`, where
/// there is one (see [`Host::assets`](crate::Host::assets)); and the constant `CAMLOCK_PLUGIN`, by which a program can link the
/// plugin in (built with the feature `program` of this crate).
///
/// A server notices a new file in either folder by itself. Plain cargo does not: there a `build.rs` prints
/// `cargo::rerun-if-changed=migrations`.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        $crate::export!($plugin, requires: []);
    };
    ($plugin:ty, config = $config:ty) => {
        $crate::export!($plugin, config = $config, requires: []);
    };
    ($plugin:ty, config = $config:ty, requires: [$($feature:literal),* $(,)?]) => {
        $crate::__exported!($plugin, [$($feature),*], {
            const _: () = assert!(
                <$plugin as $crate::__private::ExportedPlugin>::CONFIG_FILE.is_none(),
                "the configuration has two schemas: the type that `export!` names, and the file that `config` in \
                 `[package.metadata.camlock]` names: one of them must go"
            );
        }, {
            fn config_schema() -> ::core::option::Option<::std::string::String> {
                $crate::__config_schema!($config)
            }
        });
    };
    ($plugin:ty, requires: [$($feature:literal),* $(,)?]) => {
        $crate::__exported!($plugin, [$($feature),*], {}, {});
    };
}

/// What the schema of a type is, where schemas of types are to be had.
#[cfg(feature = "config-schema")]
#[doc(hidden)]
#[macro_export]
macro_rules! __config_schema {
    ($config:ty) => {
        $crate::__private::schema_of::<$config>()
    };
}

#[cfg(not(feature = "config-schema"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __config_schema {
    ($config:ty) => {
        compile_error!(
            "`export!(…, config = …)` needs the feature `config-schema` of camlock-plugin: write \
             `camlock-plugin = { version = \"1\", features = [\"config-schema\"] }`"
        )
    };
}

/// The schema of a type, as text.
#[cfg(feature = "config-schema")]
pub fn schema_of<T: schemars::JsonSchema>() -> Option<String> {
    Some(schemars::generate::SchemaGenerator::default().into_root_schema_for::<T>().as_value().to_string())
}

#[doc(hidden)]
#[macro_export]
macro_rules! __exported {
    ($plugin:ty, [$($feature:literal),*], { $($checks:tt)* }, { $($functions:tt)* }) => {
        $($checks)*

        impl $crate::__private::ExportedPlugin for $plugin {
            const ASSETS: $crate::__private::Assets = $crate::__private::assets!();
            const CONFIG_FILE: ::core::option::Option<&'static str> = $crate::__private::config_file!();

            $($functions)*
        }

        /// This plugin, for a program that links it in instead of loading it.
        #[allow(dead_code, unreachable_pub)]
        pub const CAMLOCK_PLUGIN: $crate::BuiltIn = {
            use $crate::__private as camlock;

            const META: &[&str] = &[
                "abi=", camlock::ABI_TEXT,
                "\0sdk=", camlock::SDK,
                "\0rustc=", camlock::RUSTC,
                "\0intercepts=", camlock::INTERCEPTS,
                "\0panic=", if cfg!(panic = "abort") { "abort" } else { "unwind" },
                "\0requires=", $($feature, ",",)*
                "\0fingerprint=", match option_env!("CAMLOCK_BUILD_FINGERPRINT") { Some(fingerprint) => fingerprint, None => "" },
                "\0crate=", env!("CARGO_CRATE_NAME"),
                "\0name=", env!("CARGO_PKG_NAME"),
                "\0version=", env!("CARGO_PKG_VERSION"),
                "\0description=", env!("CARGO_PKG_DESCRIPTION"),
                "\0authors=", env!("CARGO_PKG_AUTHORS"),
                "\0license=", env!("CARGO_PKG_LICENSE"),
                "\0repository=", env!("CARGO_PKG_REPOSITORY"),
                "\0homepage=", env!("CARGO_PKG_HOMEPAGE"),
                "\0",
            ];

            #[used]
            #[unsafe(link_section = ".camlock.meta")]
            static META_SECTION: [u8; camlock::length(META)] = camlock::join(META);

            const MANIFEST: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));

            #[used]
            #[unsafe(link_section = ".camlock.manifest")]
            static MANIFEST_SECTION: [u8; MANIFEST.len()] = {
                let mut bytes = [0; MANIFEST.len()];
                bytes.copy_from_slice(MANIFEST);
                bytes
            };

            const MIGRATIONS: &[(&str, &[u8])] = camlock::migrations!();

            #[used]
            #[unsafe(link_section = ".camlock.migrations")]
            static MIGRATIONS_SECTION: [u8; camlock::packed_length(MIGRATIONS)] = camlock::pack(MIGRATIONS);

            const UI: &[(&str, &[u8])] = camlock::ui!();

            #[used]
            #[unsafe(link_section = ".camlock.ui")]
            static UI_SECTION: [u8; camlock::packed_length(UI)] = camlock::pack(UI);

            const CONFIG: &[u8] = match <$plugin as camlock::ExportedPlugin>::CONFIG_FILE {
                Some(text) => text.as_bytes(),
                None => &[],
            };

            #[used]
            #[unsafe(link_section = ".camlock.config")]
            static CONFIG_SECTION: [u8; CONFIG.len()] = {
                let mut bytes = [0; CONFIG.len()];
                bytes.copy_from_slice(CONFIG);
                bytes
            };

            /// The name has the crate's in it, so that a program can link several plugins.
            #[unsafe(export_name = concat!("camlock_entry_", env!("CARGO_CRATE_NAME")))]
            static ENTRY: camlock::Entry = camlock::entry::<$plugin>();

            camlock::built_in::<$plugin>(&META_SECTION, &MANIFEST_SECTION, &MIGRATIONS_SECTION, &UI_SECTION)
        };
    };
}

/// The entry of a plugin type.
pub const fn entry<P: ExportedPlugin>() -> Entry {
    Entry::new(PluginTable::<P>::ROOT)
}

/// A plugin type and what its sections say, for a program that links it in.
pub const fn built_in<P: ExportedPlugin>(
    meta: &'static [u8],
    manifest: &'static [u8],
    migrations: &'static [u8],
    ui: &'static [u8],
) -> BuiltIn {
    // SAFETY: the functions are this crate's, which keep the contract.
    unsafe { BuiltIn::new(PluginTable::<P>::ROOT, meta, manifest) }
        .with_migrations(migrations)
        .with_ui(ui)
        .with_config_schema(|| P::CONFIG_FILE.map(str::to_owned).or_else(P::config_schema))
}

struct PluginTable<P>(PhantomData<P>);

impl<P: ExportedPlugin> PluginTable<P> {
    const STORED: &'static WithMetadata<Root> = &WithMetadata::new(Root {
        abi: ABI,
        features: RSlice::EMPTY,
        install: functions::install,
        open: functions::open,
        create: functions::create::<P>,
        describe: functions::describe::<P>,
        start: functions::start,
        handle: functions::handle,
        upgrade: functions::upgrade,
        health: functions::health,
        save: functions::save,
        restore: functions::restore,
        shutdown: functions::shutdown,
        configure: functions::configure,
        deliver: functions::deliver,
        close: functions::close,
    });

    const ROOT: RootRef = RootRef(Self::STORED.static_as_prefix());
}
