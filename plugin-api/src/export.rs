//! The one line that makes a crate a plugin, and the table of functions it exports.

use crate::{functions, plugin::ExportedPlugin};
use camlock_abi::{ABI, BuiltIn, Entry, RSlice, Root, RootRef, abi_stable::prefix_type::WithMetadata};
use std::marker::PhantomData;

/// Exports a type that implements [`Plugin`](crate::Plugin) as this crate's plugin.
///
/// A plugin that cannot do without a feature of newer hosts names it: `export!(Hello, requires: ["log", "spawn"])`. A host
/// that lacks it refuses the plugin and says so.
///
/// It adds one symbol and two sections: the crate's `Cargo.toml`, as it stands, and what built it; the files of the folder
/// `assets` beside it, where there is one (see [`Host::assets`](crate::Host::assets)); those of the folder `migrations`, in a
/// section of their own, so that they are read without running the plugin; and the constant `CAMLOCK_PLUGIN`, by which a
/// program can link the plugin in (built with the feature `program` of this crate).
///
/// A server notices a new file in either folder by itself. Plain cargo does not: there a `build.rs` prints
/// `cargo::rerun-if-changed=migrations`.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        $crate::export!($plugin, requires: []);
    };
    ($plugin:ty, requires: [$($feature:literal),* $(,)?]) => {
        impl $crate::__private::ExportedPlugin for $plugin {
            const ASSETS: $crate::__private::Assets = $crate::__private::assets!();
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

            /// The name has the crate's in it, so that a program can link several plugins.
            #[unsafe(export_name = concat!("camlock_entry_", env!("CARGO_CRATE_NAME")))]
            static ENTRY: camlock::Entry = camlock::entry::<$plugin>();

            camlock::built_in::<$plugin>(&META_SECTION, &MANIFEST_SECTION, &MIGRATIONS_SECTION)
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
) -> BuiltIn {
    // SAFETY: the functions are this crate's, which keep the contract.
    unsafe { BuiltIn::new(PluginTable::<P>::ROOT, meta, manifest, migrations) }
}

struct PluginTable<P>(PhantomData<P>);

impl<P: ExportedPlugin> PluginTable<P> {
    const STORED: &'static WithMetadata<Root> = &WithMetadata::new(Root {
        abi: ABI,
        features: RSlice::EMPTY,
        install: functions::install,
        open: functions::open,
        create: functions::create::<P>,
        describe: functions::describe,
        start: functions::start,
        handle: functions::handle,
        upgrade: functions::upgrade,
        health: functions::health,
        save: functions::save,
        restore: functions::restore,
        shutdown: functions::shutdown,
        configure: functions::configure,
        close: functions::close,
    });

    const ROOT: RootRef = RootRef(Self::STORED.static_as_prefix());
}
