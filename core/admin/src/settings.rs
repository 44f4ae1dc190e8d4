//! What operators may set of the host's own paths, with its defaults. What must not live here: where it is read from.

use http::HeaderValue;
use std::{net::IpAddr, str::FromStr};

/// Settings of the host's own paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Origins whose pages may ask, in a browser: `https://admin.example.com`.
    pub origins: Vec<HeaderValue>,
    /// Hosts that count as this server beside loopback names, in small letters and without a port. Who asks on this machine for
    /// another host is not believed to know whom they ask.
    pub hosts: Vec<String>,
    /// Proxies: what they say of the clients that they speak for is believed.
    pub proxies: Vec<Network>,
    /// How many bytes may be sent to be installed.
    pub largest_upload: u64,
}

impl Default for AdminSettings {
    fn default() -> Self {
        AdminSettings { origins: Vec::new(), hosts: Vec::new(), proxies: Vec::new(), largest_upload: 256 << 20 }
    }
}

/// An address, or all addresses that begin alike: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// So many bits of it count.
    prefix: u32,
}

impl Network {
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let beginning = |bits: u128, width: u32| bits.checked_shr(width - self.prefix).unwrap_or(0);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                beginning(own.to_bits().into(), 32) == beginning(other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => beginning(own.to_bits(), 128) == beginning(other.to_bits(), 128),
            _ => false,
        }
    }
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| NoNetwork)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(width);
        if prefix > width { Err(NoNetwork) } else { Ok(Network { address, prefix }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_networks() {
        for (network, address, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network:?} {address}");
        }
        for text in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8"] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
    }
}
