//! The command line that cargo is given.
//!
//! Pure. What it says holds against the environment, manifests and configuration files alike.

use crate::{manifest::quoted, sdk};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// How plugins are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// To be there soon: not optimised.
    Quick,
    /// To run fast: each crate is compiled as a whole. An edit takes several times as long to build as with `Quick`.
    Release,
}

impl Profile {
    /// The name in which it goes into fingerprints and directories.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Quick => "quick",
            Profile::Release => "release",
        }
    }

    /// What cargo calls it: a profile of its own, so that nothing an author sets for another one can spoil it.
    pub(crate) fn of_cargo(self) -> &'static str {
        match self {
            Profile::Quick => "camlock-quick",
            Profile::Release => "camlock-release",
        }
    }

    /// The arguments that have plain cargo build with this profile.
    pub fn cargo_arguments(self) -> Vec<String> {
        let settings = self.settings().flat_map(|setting| ["--config".to_owned(), setting]);
        ["--profile".to_owned(), self.of_cargo().to_owned()].into_iter().chain(settings).collect()
    }

    /// What makes it. A panic must unwind, or it would end the server; and debug information would take most of the time.
    fn settings(self) -> impl Iterator<Item = String> {
        let inherits = if self == Profile::Quick { "dev" } else { "release" };
        // Left to itself an incremental build splits a crate into 256 units, and little is inlined across them.
        let units: &[&str] = if self == Profile::Quick { &[] } else { &["codegen-units=1"] };
        let name = self.of_cargo();
        let common = ["panic=\"unwind\"", "incremental=true", "debug=0", "lto=false"];
        let settings = common.into_iter().chain(units.iter().copied()).map(str::to_owned);
        [format!("inherits={}", quoted(inherits))]
            .into_iter()
            .chain(settings)
            .map(move |setting| format!("profile.{name}.{setting}"))
    }
}

/// What is to be built, and where.
#[derive(Clone, Debug)]
pub(crate) struct CargoInvocation<'a> {
    pub(crate) package: &'a str,
    pub(crate) shadow: &'a Path,
    pub(crate) target: &'a Path,
    pub(crate) profile: Profile,
    pub(crate) sdk: &'a sdk::Unpacked,
    /// The platform, where some configuration names another.
    pub(crate) platform: Option<&'a str>,
    pub(crate) offline: bool,
    /// What compilers say is coloured.
    pub(crate) colours: bool,
}

/// The arguments.
pub(crate) fn arguments(order: &CargoInvocation<'_>) -> Vec<OsString> {
    let messages =
        if order.colours { "--message-format=json-diagnostic-rendered-ansi" } else { "--message-format=json" };
    let mut arguments: Vec<OsString> =
        ["build", "--lib", messages, "--color=never", "--package", order.package].map(OsString::from).to_vec();
    arguments.extend(["--manifest-path".into(), order.shadow.join("Cargo.toml").into_os_string()]);
    arguments.extend(["--target-dir".into(), order.target.as_os_str().to_owned()]);
    arguments.extend(order.profile.cargo_arguments().into_iter().map(OsString::from));
    let mut settings = vec![format!("build.build-dir={}", quoted(&order.target.to_string_lossy()))];
    for (name, path) in order.sdk.crates() {
        settings.push(format!("patch.crates-io.{name}.path={}", quoted(&path.to_string_lossy())));
    }
    settings.extend(order.platform.map(|platform| format!("build.target={}", quoted(platform))));
    arguments.extend(settings.into_iter().flat_map(|setting| ["--config".into(), OsString::from(setting)]));
    if order.offline {
        arguments.push("--offline".into());
    }
    arguments
}

/// Where cargo puts what it makes.
pub(crate) fn output(target: &Path, profile: Profile, platform: Option<&str>) -> PathBuf {
    let target = platform.map_or_else(|| target.to_owned(), |platform| target.join(platform));
    target.join(profile.of_cargo())
}

/// The platform of a compiler, from what it says of itself.
pub(crate) fn host(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_said_on_the_command_line() {
        let sdk = sdk::Unpacked {
            plugin: "/data/sdk/x".into(),
            abi: "/data/sdk/x/abi".into(),
            testkit: "/data/sdk/x/testkit".into(),
        };
        let order = CargoInvocation {
            package: "hello",
            shadow: Path::new("/data/src/hello"),
            target: Path::new("/data/target"),
            profile: Profile::Release,
            sdk: &sdk,
            platform: host("rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\n"),
            offline: true,
            colours: false,
        };
        let line = arguments(&order).join(" ".as_ref()).into_string().unwrap();
        for part in [
            "build --lib --message-format=json --color=never --package hello",
            "--manifest-path /data/src/hello/Cargo.toml --target-dir /data/target --profile camlock-release",
            "--config profile.camlock-release.inherits=\"release\" --config profile.camlock-release.panic=\"unwind\"",
            "--config patch.crates-io.camlock-abi.path=\"/data/sdk/x/abi\"",
            "--config build.target=\"x86_64-unknown-linux-gnu\" --offline",
        ] {
            assert!(line.contains(part), "{part}\n{line}");
        }
        let coloured = arguments(&CargoInvocation { colours: true, ..order.clone() });
        assert!(coloured.contains(&"--message-format=json-diagnostic-rendered-ansi".into()));
        assert_eq!(
            output(order.target, order.profile, order.platform),
            Path::new("/data/target/x86_64-unknown-linux-gnu/camlock-release")
        );
    }
}
