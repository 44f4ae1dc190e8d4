//! Which of the server's environment variables a build sees.
//!
//! A build sees what the server sees, except what would make its outcome depend on how the server was started, or what is
//! nobody else's business:
//!
//! - `CARGO` and all `CARGO_…`, which whoever starts the server with `cargo run` sets dozens of; but not where cargo keeps its
//!   things and how it reaches the network (`CARGO_HOME`, `CARGO_HTTP_…`, `CARGO_NET_…`, `CARGO_REGISTRY_…`,
//!   `CARGO_REGISTRIES_…`), nor `CARGO_BUILD_JOBS`;
//! - what changes how every crate is compiled: `RUSTFLAGS`, `RUSTDOCFLAGS`, `RUSTC`, `RUSTC_WRAPPER`,
//!   `RUSTC_WORKSPACE_WRAPPER`, `RUSTC_BOOTSTRAP` (the plugin's `.cargo/config.toml` is the place for that);
//! - `RUSTUP_TOOLCHAIN`, which would override the plugin's `rust-toolchain.toml`;
//! - what talks between `make` and `cargo`: `MAKEFLAGS`, `MFLAGS`, `RUST_RECURSION_COUNT`;
//! - `RUST_BACKTRACE` and `RUST_LIB_BACKTRACE`, which drown a build script's message;
//! - all `CAMLOCK_…`: the server's own settings and secrets;
//! - what servers are commonly given to get at other things: all `AWS_…`, `SENTRY_DSN`, and whatever has `DATABASE_URL` in its
//!   name. A build script of somebody else's crate has no business with these.
//!
//! Pure. What must not live here: reading the environment.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// Whether a build sees this variable.
pub(crate) fn is_seen(name: &OsStr) -> bool {
    const HIDDEN: &[&[u8]] = &[
        b"CARGO",
        b"RUSTFLAGS",
        b"RUSTDOCFLAGS",
        b"RUSTC",
        b"RUSTC_WRAPPER",
        b"RUSTC_WORKSPACE_WRAPPER",
        b"RUSTC_BOOTSTRAP",
        b"RUSTUP_TOOLCHAIN",
        b"RUST_RECURSION_COUNT",
        b"RUST_BACKTRACE",
        b"RUST_LIB_BACKTRACE",
        b"MAKEFLAGS",
        b"MFLAGS",
        b"SENTRY_DSN",
    ];
    const SECRET: &[u8] = b"DATABASE_URL";
    const KEPT: &[&[u8]] = &[b"CARGO_HTTP_", b"CARGO_NET_", b"CARGO_REGISTRY_", b"CARGO_REGISTRIES_"];
    let name = name.as_bytes();
    if name.starts_with(b"CARGO_") {
        return matches!(name, b"CARGO_HOME" | b"CARGO_BUILD_JOBS") || KEPT.iter().any(|kept| name.starts_with(kept));
    }
    !HIDDEN.contains(&name)
        && ![&b"CAMLOCK_"[..], b"AWS_"].iter().any(|prefix| name.starts_with(prefix))
        && !name.windows(SECRET.len()).any(|part| part == SECRET)
}

/// What a build sees besides, unless it is set: a network that is not there is found out soon.
pub(crate) const DEFAULTS: &[(&str, &str)] = &[("CARGO_NET_RETRY", "1"), ("CARGO_HTTP_TIMEOUT", "15")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_what_the_page_says() {
        for seen in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_OURS_TOKEN",
            "CC",
            "AWS",
            "SENTRY_ORG",
            "DATABASE",
            "URL",
        ] {
            assert!(is_seen(OsStr::new(seen)), "{seen}");
        }
        for hidden in [
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PKG_NAME",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTUP_TOOLCHAIN",
            "CAMLOCK_ADMIN_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "SENTRY_DSN",
            "DATABASE_URL",
            "TEST_DATABASE_URL",
            "DATABASE_URL_FILE",
        ] {
            assert!(!is_seen(OsStr::new(hidden)), "{hidden}");
        }
    }
}
