//! Which NATS server, and what of it is ours. What must not live here: what is asked of it.

use async_nats::ServerAddr;
use std::{fmt, str::FromStr};

/// What is kept there begins with this, unless the URL says otherwise.
const USUAL_PREFIX: &str = "camlock";

/// So many servers of a cluster keep each event at most.
const MOST_REPLICAS: usize = 5;

/// `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT][,…][/NAME][?replicas=N]`, or `tls://…`. What is kept there begins with the name, so several
/// fleets may share a server. It may hold a password, and is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct NatsUrl {
    servers: Vec<String>,
    prefix: String,
    /// So many servers of a cluster keep each event, if it is said.
    replicas: Option<usize>,
}

/// Why a text is no such URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in super::super) struct NoNatsUrl(String);

impl fmt::Debug for NatsUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("NatsUrl");
        shown.field("server", &self.shown()).field("prefix", &self.prefix).field("replicas", &self.replicas).finish()
    }
}

impl NatsUrl {
    /// With what all that is kept there begins.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// So many servers of a cluster keep each event, if it is said.
    pub(super) fn replicas(&self) -> Option<usize> {
        self.replicas
    }

    /// Where it is, without what opens it.
    pub(super) fn shown(&self) -> String {
        let host = |server: &String| {
            let rest = server.split_once("://").map_or(&**server, |(_, rest)| rest);
            rest.rsplit_once('@').map_or(rest, |(_, host)| host).to_owned()
        };
        self.servers.iter().map(host).collect::<Vec<_>>().join(", ")
    }

    /// As the client wants them, with a user and a password, or a token.
    pub(super) fn servers(&self) -> (Vec<ServerAddr>, Option<(String, Option<String>)>) {
        let servers: Vec<ServerAddr> = self.servers.iter().filter_map(|server| server.parse().ok()).collect();
        let opens = servers.iter().find_map(|server| {
            let user = server.username()?;
            Some((user.to_owned(), server.password().map(str::to_owned)))
        });
        (servers, opens)
    }
}

impl FromStr for NatsUrl {
    type Err = NoNatsUrl;

    fn from_str(text: &str) -> Result<Self, NoNatsUrl> {
        let told = |why: &str| {
            NoNatsUrl(format!("{why}: nats://HOST:4222, with a user and a password before the host if need be"))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| told("it does not begin with nats:// or tls://"))?;
        if !matches!(scheme, "nats" | "tls") {
            return Err(told("it does not begin with nats:// or tls://"));
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let good = |count: &usize| (1..=MOST_REPLICAS).contains(count);
        let replicas = match query {
            None => None,
            Some(query) => {
                let count = query.strip_prefix("replicas=").and_then(|count| count.parse().ok()).filter(good);
                Some(count.ok_or_else(|| told("what follows `?` is not `replicas=` with a number from 1 to 5"))?)
            }
        };
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = if prefix.is_empty() { USUAL_PREFIX } else { prefix };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if prefix.len() > 32 || !prefix.bytes().all(good) {
            return Err(told("what follows the last `/` is no name of up to 32 letters, digits, `-` and `_`"));
        }
        let servers: Vec<String> = hosts.split(',').map(|host| format!("{scheme}://{host}")).collect();
        let is_good = |server: &String| server.parse::<ServerAddr>().is_ok_and(|server| !server.host().is_empty());
        if !servers.iter().all(is_good) {
            return Err(told("it names no server"));
        }
        Ok(NatsUrl { servers, prefix: prefix.to_owned(), replicas })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_secrets_not_shown() {
        let url: NatsUrl = "nats://ann:secret@one:4222,two:4223/shop".parse().unwrap();
        assert_eq!((url.prefix(), &*url.shown()), ("shop", "one:4222, two:4223"));
        assert_eq!(url.servers().1, Some(("ann".to_owned(), Some("secret".to_owned()))));
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!((url.replicas(), "tls://one".parse::<NatsUrl>().unwrap().prefix()), (None, "camlock"));
        let replicated: NatsUrl = "nats://one,two,three?replicas=3".parse().unwrap();
        assert_eq!((replicated.prefix(), replicated.replicas()), ("camlock", Some(3)));
        for bad in ["nats://one?replicas=0", "nats://one/shop?replicas=6", "nats://one?copies=3", "nats://one?"] {
            assert!(bad.parse::<NatsUrl>().unwrap_err().0.contains("`replicas=`"), "{bad}");
        }
        for bad in ["", "one:4222", "http://one", "nats://", "nats://one/a.b", "nats://one:port", "nats://,"] {
            assert!(bad.parse::<NatsUrl>().is_err(), "{bad}");
        }
    }
}
