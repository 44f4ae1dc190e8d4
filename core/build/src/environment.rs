//! Which of the server's environment variables a build sees: those on a list, and those that its operator names.
//!
//! A build script of somebody else's crate has no business with the server's secrets, of which nobody knows all names
//! (`GITHUB_TOKEN`, `PGPASSWORD`, …); and what comes of a build shall not depend on how the server was started (`cargo run` sets
//! dozens of variables). So builds see what finding programs, reaching the network and compiling takes, and nothing else:
//!
//! - where things are, and who and where one is: `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `TMPDIR`, `TZ`, `LANG`, `LANGUAGE`, all
//!   `LC_…`, all `XDG_…`;
//! - cargo's and rustup's places and network: `CARGO_HOME`, `CARGO_BUILD_JOBS`, all `CARGO_HTTP_…` and `CARGO_NET_…`, of registries
//!   `…_INDEX` and `…_PROTOCOL` (no tokens: cargo reads those of `credentials.toml` below `CARGO_HOME`), `RUSTUP_HOME`,
//!   `RUSTUP_DIST_SERVER`, `RUSTUP_UPDATE_ROOT`, and `RUSTUP_AUTO_INSTALL`, by which an operator forbids to fetch toolchains;
//! - proxies and certificates: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy` in small and capital letters, `SSL_CERT_FILE`,
//!   `SSL_CERT_DIR`, `CURL_CA_BUNDLE`, `GIT_SSL_CAINFO`;
//! - what compilers and linkers of C are told, and build scripts with them: the names in `TOOLCHAIN`, and all that begin or end
//!   as those of the crates `cc`, `cmake` and `pkg-config` do.
//!
//! What changes how every crate is compiled (`RUSTFLAGS`, `RUSTC_WRAPPER`, `RUSTUP_TOOLCHAIN` and the like) stands in the plugin's
//! `.cargo/config.toml` or `rust-toolchain.toml`, which cargo reads.
//!
//! Pure. What must not live here: reading the environment.

use std::ffi::OsStr;

/// The variable in which an operator names more that builds may see, with commas or blanks between them.
pub(crate) const MORE: &str = "CAMLOCK_BUILD_ENVIRONMENT";

const USUAL: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "LANG",
    "LANGUAGE",
    "CARGO_HOME",
    "CARGO_BUILD_JOBS",
    "RUSTUP_HOME",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
    "RUSTUP_AUTO_INSTALL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];
const USUAL_PREFIXES: &[&str] = &["LC_", "XDG_", "CARGO_HTTP_", "CARGO_NET_"];
/// In small letters.
const PROXIES: &[&str] = &["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

const TOOLCHAIN: &[&str] = &[
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "LIBCLANG_PATH",
    "CLANG_PATH",
    "LLVM_CONFIG_PATH",
    "BINDGEN_EXTRA_CLANG_ARGS",
    "PROTOC",
    "PROTOC_INCLUDE",
    "NUM_JOBS",
    "SOURCE_DATE_EPOCH",
    "SQLX_OFFLINE",
];
/// Alone, before `_TARGET`, and behind `TARGET_` and `HOST_`.
const OF_CC: &[&str] = &[
    "CC",
    "CXX",
    "AR",
    "ARFLAGS",
    "RANLIB",
    "LD",
    "NM",
    "STRIP",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "CRATE_CC_NO_DEFAULTS",
];
const TOOLCHAIN_PREFIXES: &[&str] = &["PKG_CONFIG", "CMAKE", "NIX_", "OPENSSL_"];

/// Whether a build sees this variable of the server's, unless its operator names it.
pub(crate) fn is_seen(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    if let Some(registry) = name.strip_prefix("CARGO_REGISTR") {
        return registry.ends_with("_INDEX") || registry.ends_with("_PROTOCOL");
    }
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    USUAL.contains(&name)
        || TOOLCHAIN.contains(&name)
        || PROXIES.contains(&&*name.to_ascii_lowercase())
        || begins(USUAL_PREFIXES)
        || begins(TOOLCHAIN_PREFIXES)
        || is_of_cc(name)
}

fn is_of_cc(name: &str) -> bool {
    let bare = name.strip_prefix("TARGET_").or_else(|| name.strip_prefix("HOST_")).unwrap_or(name);
    // A platform has dashes, or underscores in their place: `CC_x86_64-unknown-linux-gnu`.
    let of_a_platform = |tool: &str| {
        let platform = bare.strip_prefix(tool).and_then(|rest| rest.strip_prefix('_'));
        platform.is_some_and(|platform| platform.starts_with(|first: char| first.is_ascii_lowercase()))
    };
    OF_CC.iter().any(|tool| bare == *tool || of_a_platform(tool))
}

/// The names that an operator names.
pub(crate) fn named(more: &str) -> impl Iterator<Item = &str> {
    more.split([',', ' ', '\t', '\n']).filter(|name| !name.is_empty())
}

/// Whether cargo, or the server, sets this variable for each build: it says nothing of what was set outside.
pub(crate) fn is_made(name: &str) -> bool {
    name == "OUT_DIR" || name.starts_with("CARGO") || name.starts_with("CAMLOCK_")
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
            "LC_ALL",
            "CARGO_HOME",
            "RUSTUP_AUTO_INSTALL",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_OURS_INDEX",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "https_proxy",
            "NO_PROXY",
            "CC",
            "TARGET_CC",
            "CC_x86_64_unknown_linux_gnu",
            "CFLAGS_x86_64-unknown-linux-gnu",
            "HOST_CFLAGS",
            "PKG_CONFIG_PATH",
            "OPENSSL_DIR",
        ] {
            assert!(is_seen(OsStr::new(seen)), "{seen}");
        }
        for hidden in [
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PKG_NAME",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_OURS_TOKEN",
            "CARGO_REGISTRIES_OURS_SECRET_KEY",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTUP_TOOLCHAIN",
            "CAMLOCK_ADMIN_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "SENTRY_DSN",
            "DATABASE_URL",
            "GITHUB_TOKEN",
            "PGPASSWORD",
            "SSH_AUTH_SOCK",
            "CC_TOKEN",
            "LD_PRELOAD",
            "WHATEVER",
        ] {
            assert!(!is_seen(OsStr::new(hidden)), "{hidden}");
        }
        assert!(!is_seen(std::os::unix::ffi::OsStrExt::from_bytes(b"PATH\xff")));
        assert_eq!(named("ONE, TWO THREE,").collect::<Vec<_>>(), ["ONE", "TWO", "THREE"]);
    }
}
