//! Where the server is, and what is shown to it: from the command line, the environment and the data directory.

use crate::{
    Failed,
    config::{Config, Flags},
};
use clap::Args;
use std::{
    env, fmt, fs,
    net::{IpAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

/// Which server a command talks to.
#[derive(Args, Clone, Default)]
pub(crate) struct Reach {
    /// The server [default: the one on the local data directory, by its control socket]
    #[arg(long, env = "CAMLOCK_SERVER", value_name = "URL", help_heading = "Server")]
    server: Option<String>,
    /// The API token [default: none by the control socket, else the local admin token]
    #[arg(long, env = "CAMLOCK_TOKEN", value_name = "TOKEN", hide_env_values = true, help_heading = "Server")]
    token: Option<String>,
    /// How many seconds the server may say nothing [default: 30]
    #[arg(long, env = "CAMLOCK_TIMEOUT", value_name = "SECONDS", help_heading = "Server", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
    /// The server's data directory [default: .camlock, or as camlock.toml says]
    #[arg(long, env = "CAMLOCK_DATA", value_name = "DIR", help_heading = "Server")]
    data: Option<PathBuf>,
    /// The configuration file [default: the nearest camlock.toml at or above the current directory]
    #[arg(long, env = "CAMLOCK_CONFIG", value_name = "FILE", help_heading = "Server")]
    config: Option<PathBuf>,
}

/// How long a server may say nothing, unless somebody says otherwise.
const SILENCE: Duration = Duration::from_secs(30);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    /// A Unix socket.
    Socket(PathBuf),
    /// `host:port`, and what stands before every path.
    Address { authority: String, prefix: String },
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerAddress::Socket(path) => write!(formatter, "{}", path.display()),
            ServerAddress::Address { authority, prefix } => write!(formatter, "http://{authority}{prefix}"),
        }
    }
}

impl Reach {
    /// The server of this configuration.
    pub(crate) fn of(config: &Config) -> Self {
        Reach { data: Some(config.data.clone()), config: config.file.clone(), ..Reach::default() }
    }

    /// How long the server may say nothing.
    pub(crate) fn silence(&self) -> Duration {
        self.timeout.map_or(SILENCE, Duration::from_secs)
    }

    /// Where the server is, and the token to be shown.
    pub(crate) fn find(&self) -> Result<(ServerAddress, Option<String>), Failed> {
        let server = self.server.as_deref().filter(|server| !server.is_empty());
        let place = server.map(parse).transpose()?;
        // Whoever says everything needs no configuration.
        if let (Some(place), Some(token)) = (&place, &self.token) {
            return Ok((place.clone(), checked(token)?));
        }
        let flags = Flags { config: self.config.clone(), data: self.data.clone(), ..Flags::default() };
        let data = Config::read(&flags)?.data;
        let place = place.unwrap_or_else(|| ServerAddress::Socket(data.join("control.sock")));
        let token = match &self.token {
            Some(token) => checked(token)?,
            // Whoever may open the socket needs none.
            None if matches!(place, ServerAddress::Socket(_)) => None,
            // It opens everything here: a server elsewhere has one of its own, and no business with this one.
            None if is_elsewhere(&place) => None,
            None => local_token(&data)?,
        };
        Ok((place, token))
    }
}

/// A URL as a place.
fn parse(url: &str) -> Result<ServerAddress, Failed> {
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https", _)) => {
            return Err(Failed::usage(format!(
                "--server {url}: this command line speaks plain http:// only; reach a server behind TLS through a tunnel \
                 (`ssh -L 8080:127.0.0.1:8080 HOST`), and name http://127.0.0.1:8080"
            )));
        }
        Some((scheme, _)) => return Err(Failed::usage(format!("--server {url}: `{scheme}` is not http"))),
        None => return Err(Failed::usage(format!("--server {url} is no URL: write http://{url}"))),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.parse::<http::uri::Authority>();
    let authority =
        authority.ok().filter(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    let Some(authority) = authority else {
        return Err(Failed::usage(format!("--server {url} names no host: write http://HOST:PORT")));
    };
    let authority = match authority.port_u16() {
        Some(port) => format!("{}:{port}", authority.host()),
        None => format!("{}:80", authority.host()),
    };
    Ok(ServerAddress::Address { authority, prefix: path.trim_end_matches('/').to_owned() })
}

fn is_elsewhere(place: &ServerAddress) -> bool {
    let ServerAddress::Address { authority, .. } = place else { return false };
    let addresses = authority.to_socket_addrs().map(|addresses| addresses.map(|address| address.ip()).collect());
    let addresses: Vec<IpAddr> = addresses.unwrap_or_default();
    addresses.is_empty() || !addresses.iter().all(|address| address.to_canonical().is_loopback())
}

/// The admin token of the local server, as that has it.
fn local_token(data: &Path) -> Result<Option<String>, Failed> {
    if let Some(token) = env::var("CAMLOCK_ADMIN_TOKEN").ok().filter(|token| !token.is_empty()) {
        return checked(&token);
    }
    match fs::read_to_string(data.join("admin-token")) {
        Ok(token) => checked(&token),
        // There may be none, or it is not for this user: then the server says what it asks for.
        Err(_) => Ok(None),
    }
}

/// A token as it can be sent.
fn checked(token: &str) -> Result<Option<String>, Failed> {
    let token = token.trim();
    if token.chars().any(|character| !character.is_ascii_graphic()) {
        return Err(Failed::usage("the token holds characters that no token has: look whether it was copied whole"));
    }
    Ok((!token.is_empty()).then(|| token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_places() {
        let place = |url: &str| parse(url).unwrap().to_string();
        assert_eq!(place("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(place("http://example.org/camlock/"), "http://example.org:80/camlock");
        assert_eq!(place("http://[::1]:9000/"), "http://[::1]:9000");
        for (url, told) in [
            ("https://example.org", "plain http:// only; reach a server behind TLS through a tunnel"),
            ("ftp://example.org", "`ftp` is not http"),
            ("127.0.0.1:8080", "is no URL: write http://127.0.0.1:8080"),
            ("http://", "names no host"),
            ("http://user@host", "names no host"),
        ] {
            let failed = parse(url).unwrap_err();
            assert!(failed.code == 2 && failed.reason.contains(told), "{failed:?}");
        }
    }

    #[test]
    fn the_local_token_stays_on_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("admin-token"), "secret\n").unwrap();
        let config = dir.path().join("camlock.toml");
        fs::write(&config, "data.dir = \".\"").unwrap();
        let found = |server: Option<&str>, token: Option<&str>| {
            let config = Some(config.clone());
            let reach = Reach {
                server: server.map(str::to_owned),
                token: token.map(str::to_owned),
                data: None,
                config,
                ..Reach::default()
            };
            reach.find().unwrap()
        };
        let secret = Some("secret".to_owned());
        assert_eq!(found(None, None), (ServerAddress::Socket(dir.path().join("./control.sock")), None));
        assert_eq!(found(Some("http://127.0.0.1:1"), None).1, secret);
        assert_eq!(found(Some("http://192.0.2.1:1"), None).1, None);
        assert_eq!(found(Some("http://192.0.2.1:1"), Some("other")).1, Some("other".to_owned()));
    }
}
