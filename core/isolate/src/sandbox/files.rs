//! Files, TCP ports, signals and abstract sockets, closed with Landlock.

use super::Openings;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// What is closed where the kernel knows it; an older one closes less, as is told.
const VERSION: ABI = ABI::V6;

/// Where the system's libraries are.
const LIBRARIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"];
/// What programs look up, and nobody keeps a secret in.
const LOOKED_UP: [&str; 6] = [
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/sys/devices/system/cpu",
    "/proc/self",
    "/proc/sys/vm/overcommit_memory",
];
/// What they look up before they connect to anybody.
pub(super) const FOR_THE_NETWORK: [&str; 15] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/services",
    // Not what else lies there: private keys.
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/usr/share/ca-certificates",
];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Closes; what could not be closed. Files and ports alone, as an older kernel does, if that is asked for.
pub(super) fn close(openings: &Openings, as_older: bool) -> Vec<String> {
    let done = restrict(openings, as_older);
    match done.map(|done| if as_older { RulesetStatus::PartiallyEnforced } else { done }) {
        Err(error) => vec![format!("files, ports and signals are not closed (Landlock): {error}")],
        Ok(RulesetStatus::FullyEnforced) => Vec::new(),
        Ok(RulesetStatus::PartiallyEnforced) => {
            vec!["this kernel's Landlock is older than what closes ports, signals and abstract sockets".to_owned()]
        }
        Ok(RulesetStatus::NotEnforced) => vec!["this kernel has no Landlock: files are not closed".to_owned()],
    }
}

fn restrict(openings: &Openings, as_older: bool) -> Result<RulesetStatus, RulesetError> {
    let reading = AccessFs::from_read(VERSION) & !AccessFs::Execute;
    let mapping = AccessFs::from_read(VERSION);
    let writing = AccessFs::from_all(VERSION) & !AccessFs::Execute;
    let changing_devices = AccessFs::ReadFile | AccessFs::WriteFile;
    // Where the server connects, nothing is left to be connected here.
    let own_ports = openings.network.as_ref().filter(|_| !openings.brokered);
    let connects_anywhere = own_ports.is_some_and(Vec::is_empty);
    let mut ports: BitFlags<AccessNet> = AccessNet::BindTcp.into();
    if !connects_anywhere {
        ports |= AccessNet::ConnectTcp;
    }
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(ports)?;
    let rules = if as_older { rules } else { rules.scope(Scope::from_all(VERSION))? };
    let mut rules = allow(rules.create()?, libraries(), mapping)?;
    rules = allow(rules, openings.map.iter().cloned(), mapping)?;
    rules = allow(rules, LOOKED_UP.map(PathBuf::from), reading)?;
    if openings.network.is_some() {
        rules = allow(rules, FOR_THE_NETWORK.map(PathBuf::from), reading)?;
    }
    if openings.process {
        rules = allow(rules, ["/usr", "/bin", "/sbin"].map(PathBuf::from), mapping)?;
    }
    rules = allow(rules, DEVICES.map(PathBuf::from), changing_devices)?;
    rules = allow(rules, openings.read.iter().cloned(), reading)?;
    rules = allow(rules, openings.write.iter().cloned(), writing)?;
    for port in own_ports.into_iter().flatten() {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Closes files, signals and abstract sockets for a build; why that cannot be done. An older kernel's Landlock knows files alone.
pub(super) fn close_build(read: &[PathBuf], run: &[PathBuf], write: &[PathBuf]) -> Result<(), String> {
    let close = || {
        let reading = AccessFs::from_read(VERSION) & !AccessFs::Execute;
        // No files that lead to the disks themselves.
        let changing = AccessFs::from_all(VERSION) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
        let rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(VERSION))?
            .scope(Scope::from_all(VERSION))?
            .create()?;
        let rules = allow(rules, read.iter().cloned(), reading)?;
        let rules = allow(rules, run.iter().cloned(), AccessFs::from_read(VERSION))?;
        Ok(allow(rules, write.iter().cloned(), changing)?.restrict_self()?.ruleset)
    };
    match close() {
        Ok(RulesetStatus::NotEnforced) => Err("this kernel has no Landlock: files cannot be closed".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => {
            let error: RulesetError = error;
            Err(format!("files are not closed (Landlock): {error}"))
        }
    }
}

/// Allows this beneath these places, as far as they are there.
fn allow(
    mut rules: RulesetCreated,
    places: impl IntoIterator<Item = PathBuf>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    for place in places {
        let Ok(opened) = PathFd::new(&place) else { continue };
        let access = if place.is_dir() { access } else { access & AccessFs::from_file(VERSION) };
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    Ok(rules)
}

/// Where libraries are on this system: the usual places, and wherever those lie that this program uses.
fn libraries() -> BTreeSet<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mapped = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let of_program = mapped.filter(|path| path.starts_with('/') && path.contains(".so")).filter_map(|path| {
        let path = Path::new(path).canonicalize().ok()?;
        path.parent().map(Path::to_owned)
    });
    LIBRARIES.iter().map(PathBuf::from).chain(of_program).collect()
}
