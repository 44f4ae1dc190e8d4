//! Which hosts a plugin was allowed to reach, and what that says of an address or a name. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What was granted of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkRules(Vec<HostRule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct HostRule {
    host: HostPattern,
    /// None: all.
    port: Option<u16>,
    /// Whether it holds where that host lies in a private network.
    in_private: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// Names that end so, with a dot before.
    Below(String),
    Name(String),
    Address(IpAddr),
}

/// What is said of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressVerdict {
    Allowed,
    /// It lies in a private network, and would be allowed if it did not.
    Private,
    Refused,
}

impl NetworkRules {
    /// What these permissions allow. `database` is where the plugins' database is, for those that may connect to it.
    pub(crate) fn of<'a>(permissions: impl IntoIterator<Item = &'a str>, database: &[(String, u16)]) -> Self {
        let permissions: Vec<&str> = permissions.into_iter().collect();
        let in_private = permissions.contains(&"network:private");
        let hosts = permissions.iter().filter_map(|permission| permission.strip_prefix("network:"));
        let mut rules: Vec<HostRule> = hosts
            .filter(|host| *host != "private")
            .map(|host| {
                let (host, port) = parted(host);
                HostRule { host: HostPattern::of(host), port, in_private }
            })
            .collect();
        if permissions.contains(&"database:direct") {
            let database = database.iter().map(|(host, port)| (HostPattern::of(host), Some(*port)));
            rules.extend(database.map(|(host, port)| HostRule { host, port, in_private: true }));
        }
        NetworkRules(rules)
    }

    /// Whether a name may be looked up.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.0.iter().any(|rule| rule.host.is_name(name))
    }

    /// The names that rules for this port spell out: what they lead to is to be looked up.
    pub(super) fn names_for(&self, port: u16) -> impl Iterator<Item = &str> {
        let of_port = move |rule: &&HostRule| rule.port.is_none_or(|one| one == port);
        self.0.iter().filter(of_port).filter_map(|rule| match &rule.host {
            HostPattern::Name(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// What is said of an address that these names are known to lead to.
    pub(super) fn judge(&self, address: SocketAddr, names: &[String]) -> AddressVerdict {
        let place = address.ip().to_canonical();
        let leads_there = |rule: &&HostRule| {
            let is_host = match &rule.host {
                HostPattern::Any => true,
                HostPattern::Address(one) => *one == place,
                pattern => names.iter().any(|name| pattern.is_name(name)),
            };
            is_host && rule.port.is_none_or(|port| port == address.port())
        };
        let mut leading = self.0.iter().filter(leads_there).peekable();
        if leading.peek().is_none() {
            AddressVerdict::Refused
        } else if !is_private(place) || leading.any(|rule| rule.in_private) {
            AddressVerdict::Allowed
        } else {
            AddressVerdict::Private
        }
    }
}

impl HostPattern {
    fn of(host: &str) -> Self {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = inner.parse::<IpAddr>() {
            return HostPattern::Address(address.to_canonical());
        }
        match host.strip_prefix("*.") {
            _ if host == "*" => HostPattern::Any,
            Some(below) => HostPattern::Below(below.to_ascii_lowercase()),
            None => HostPattern::Name(host.to_ascii_lowercase()),
        }
    }

    fn is_name(&self, name: &str) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Name(one) => one == name,
            HostPattern::Below(below) => {
                name.strip_suffix(below.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            HostPattern::Address(_) => false,
        }
    }
}

/// A host and its port. An address of version 6 has colons too.
pub(crate) fn parted(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
        _ => (host, None),
    }
}

/// Whether an address is one of this machine, of the networks around it, or of none that the world shares.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let shared_by_carriers = first == 100 && (64..128).contains(&second);
    let of_protocols = (first, second, third) == (192, 0, 0);
    let of_benchmarks = first == 198 && (18..20).contains(&second);
    first == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || shared_by_carriers
        || of_protocols
        || of_benchmarks
        || first >= 224
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    // Addresses of version 4 in others' clothes: mapped, of a translator (64:ff9b::/96), of 6to4 (2002::/16).
    let embedded = match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some((high, low)),
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        return is_private_v4((u32::from(high) << 16 | u32::from(low)).into());
    }
    // Beside 2000::/3 nothing is given out to the world.
    parts[0] & 0xe000 != 0x2000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(permissions: &[&str], address: &str, names: &[&str]) -> AddressVerdict {
        let rules = NetworkRules::of(permissions.iter().copied(), &[("db.internal".to_owned(), 5432)]);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        rules.judge(address.parse().unwrap(), &names)
    }

    #[test]
    fn addresses_and_names_and_ports() {
        use AddressVerdict::{Allowed, Private, Refused};
        for (permissions, address, names, verdict) in [
            (&["storage"][..], "203.0.113.7:443", &[][..], Refused),
            (&["network:203.0.113.7"], "203.0.113.7:1", &[], Allowed),
            (&["network:203.0.113.7:443"], "203.0.113.7:443", &[], Allowed),
            (&["network:203.0.113.7:443"], "203.0.113.7:444", &[], Refused),
            (&["network:203.0.113.7:443"], "203.0.113.8:443", &[], Refused),
            (&["network:203.0.113.7:443"], "[::ffff:203.0.113.7]:443", &[], Allowed),
            (&["network:[2001:db8::1]:443"], "[2001:db8::1]:443", &[], Allowed),
            (&["network:[2001:db8::1]:443"], "[2001:db8::2]:443", &[], Refused),
            (&["network:a.example"], "203.0.113.7:443", &[], Refused),
            (&["network:a.example"], "203.0.113.7:443", &["a.example"], Allowed),
            (&["network:a.example:80"], "203.0.113.7:443", &["a.example"], Refused),
            (&["network:*.example"], "203.0.113.7:443", &["a.b.example"], Allowed),
            (&["network:*.example"], "203.0.113.7:443", &["example"], Refused),
            (&["network:*.example"], "203.0.113.7:443", &["notexample"], Refused),
            (&["network:*"], "203.0.113.7:443", &[], Allowed),
            (&["network:*"], "127.0.0.1:443", &[], Private),
            (&["network:a.example"], "10.0.0.1:443", &["a.example"], Private),
            (&["network:127.0.0.1"], "127.0.0.1:443", &[], Private),
            (&["network:private"], "127.0.0.1:443", &[], Refused),
            (&["network:private", "network:127.0.0.1"], "127.0.0.1:443", &[], Allowed),
            (&["network:private", "network:*:443"], "[::1]:443", &[], Allowed),
            (&["network:private", "network:*:443"], "[::1]:80", &[], Refused),
            (&["database"], "10.0.0.1:5432", &["db.internal"], Refused),
            (&["database:direct"], "10.0.0.1:5432", &["db.internal"], Allowed),
            (&["database:direct"], "10.0.0.1:80", &["db.internal"], Refused),
        ] {
            assert_eq!(judged(permissions, address, names), verdict, "{permissions:?} {address} {names:?}");
        }
    }

    #[test]
    fn names_that_may_be_looked_up() {
        let rules = NetworkRules::of(["network:a.example:80", "network:*.b.example", "network:192.0.2.1"], &[]);
        let looked_up = ["a.example", "x.b.example", "b.example", "192.0.2.1"].map(|name| rules.has_name(name));
        assert_eq!(looked_up, [true, true, false, false]);
        assert_eq!(rules.names_for(80).collect::<Vec<_>>(), ["a.example"]);
        assert_eq!(rules.names_for(81).count(), 0);
    }

    #[test]
    fn what_is_private() {
        for private in [
            "0.0.0.0",
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fec0::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["203.0.113.7", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "64:ff9b::808:808"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
