//! Whether plugins can be built here.

use crate::config::Config;
use camlock_api::Finding;
use camlock_build::{Examined, OLDEST, examine};
use std::env;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => {
            let found = format!("{} cannot be written to: {error}", env::temp_dir().display());
            return vec![Finding::wrong(
                "temporary files",
                found,
                "make room there, or set TMPDIR to where there is room",
            )];
        }
    };
    // Whatever holds where plugins lie: a toolchain file, or a directory that rustup was findings_of of.
    let directory =
        if config.plugins.is_dir() { config.plugins.clone() } else { env::current_dir().unwrap_or_default() };
    let mut findings = vec![platform()];
    findings.extend(findings_of(&examine(&directory, scratch.path())));
    findings
}

fn platform() -> Finding {
    let machine = format!("{} {}", env::consts::ARCH, env::consts::OS);
    let fit = cfg!(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")));
    if fit {
        return Finding::good("platform", format!("{machine}, glibc"));
    }
    Finding::warning(
        "platform",
        format!("{machine} is not what camlock is made for"),
        "run it on Linux with glibc, x86-64 or aarch64; here unloading is not promised",
    )
}

const INSTALL: &str = "install Rust from https://rustup.rs and see that ~/.cargo/bin is in the PATH of the server; without it only \
                       prebuilt NAME.so files are served";

fn findings_of(examined: &Examined) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &examined.cargo {
        None => findings.push(Finding::wrong("cargo", "cargo is not in the PATH", INSTALL)),
        Some((path, Ok(version))) => findings.push(Finding::good("cargo", format!("{version} ({})", path.display()))),
        Some((path, Err(why))) => {
            let found = format!("{} does not work: {why}", path.display());
            findings.push(Finding::wrong("cargo", found, "`rustup default stable` installs a toolchain"));
        }
    }
    match &examined.rustc {
        None => findings.push(Finding::wrong("compiler", "rustc is not in the PATH", INSTALL)),
        Some((path, Err(why))) => {
            let found = format!("{} does not work: {why}", path.display());
            findings.push(Finding::wrong("compiler", found, "`rustup default stable` installs a toolchain"));
        }
        Some((path, Ok(_))) => findings.push(compiler(examined, &path.display().to_string())),
    }
    match &examined.linked {
        None => {}
        Some(Ok(())) => findings.push(Finding::good("linker", "a library was linked")),
        Some(Err(why)) => findings.push(Finding::wrong(
            "linker",
            format!("no library can be linked: {why}"),
            "install a C compiler: `apt install gcc`, `dnf install gcc`, `pacman -S gcc`",
        )),
    }
    findings
}

fn compiler(examined: &Examined, path: &str) -> Finding {
    let (Some(version), Some(platform)) = (examined.version(), examined.platform()) else {
        let found = format!("{path} does not say which version it is");
        return Finding::warning("compiler", found, "use rustc as https://rustup.rs installs it");
    };
    // A nightly of that version may lack what the release has.
    if version < OLDEST {
        let found = format!("rustc {version} is older than {OLDEST}, which plugins need ({path})");
        return Finding::wrong(
            "compiler",
            found,
            "`rustup update stable`, and look for a rust-toolchain.toml that asks for less",
        );
    }
    if !platform.starts_with(env::consts::ARCH) || !platform.ends_with("-linux-gnu") {
        let found = format!("rustc {version} compiles for {platform}, and this program is for {}", env::consts::ARCH);
        return Finding::wrong("compiler", found, "install a toolchain for this machine: `rustup default stable`");
    }
    Finding::good("compiler", format!("rustc {version} for {platform} ({path})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_api::FindingLevel;

    #[test]
    fn each_trouble_has_its_remedy() {
        let rustc = |words: &str| Some(("/bin/rustc".into(), Ok(words.to_owned())));
        let good = Examined {
            cargo: Some(("/bin/cargo".into(), Ok("cargo 1.95.0".to_owned()))),
            rustc: rustc(&format!("rustc 1.95.0\nhost: {}-unknown-linux-gnu\nrelease: 1.95.0", env::consts::ARCH)),
            linked: Some(Ok(())),
        };
        assert!(
            findings_of(&good).iter().all(|finding| finding.level == FindingLevel::Good),
            "{:?}",
            findings_of(&good)
        );
        let wrong = |examined: Examined| {
            let findings = findings_of(&examined);
            let wrong: Vec<_> = findings.into_iter().filter(|finding| finding.level != FindingLevel::Good).collect();
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            format!("{} → {}", wrong[0].found, wrong[0].remedy.as_deref().unwrap())
        };
        assert!(wrong(Examined { cargo: None, ..good.clone() }).contains("cargo is not in the PATH → install Rust"));
        let old = rustc("host: x86_64-unknown-linux-gnu\nrelease: 1.80.1");
        assert!(wrong(Examined { rustc: old, ..good.clone() }).contains("rustc 1.80.1 is older than 1.95.0"));
        let foreign = rustc("host: wasm32-wasip1\nrelease: 1.95.0");
        assert!(wrong(Examined { rustc: foreign, ..good.clone() }).contains("compiles for wasm32-wasip1"));
        let unlinked = Some(Err("linker `cc` not found".to_owned()));
        assert!(wrong(Examined { linked: unlinked, ..good.clone() }).contains("`cc` not found → install a C compiler"));
        let silent = Some(("/bin/cargo".into(), Err("no default toolchain".to_owned())));
        assert!(wrong(Examined { cargo: silent, ..good }).contains("no default toolchain → `rustup default stable`"));
    }
}
