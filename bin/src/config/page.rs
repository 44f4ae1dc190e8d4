//! Where the page listens, as it is written. What must not live here: the listening.

use serde::{Deserialize, Deserializer, de::Error};
use std::{net::SocketAddr, str::FromStr};

/// Where the page listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PageListen {
    /// Where people look for it, or at the next free port.
    #[default]
    Usual,
    /// Here and nowhere else.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl FromStr for PageListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(PageListen::Off),
            address => address
                .parse()
                .map(PageListen::At)
                .map_err(|_| format!("`{address}` is no address with a port (127.0.0.1:8081), nor `off`")),
        }
    }
}

impl<'de> Deserialize<'de> for PageListen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_address_or_off() {
        assert_eq!("off".parse(), Ok(PageListen::Off));
        assert_eq!("0.0.0.0:8081".parse(), Ok(PageListen::At(([0, 0, 0, 0], 8081).into())));
        for text in ["", "on", "localhost:8081", "8081"] {
            assert!(text.parse::<PageListen>().unwrap_err().contains("nor `off`"), "{text}");
        }
    }
}
