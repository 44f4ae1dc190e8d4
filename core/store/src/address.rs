//! Where the registry is: what a URL says.

use crate::{Trouble, TroubleKind, tls::TlsSettings};
use std::{fmt, path::PathBuf, str::FromStr, time::Duration};
use tokio_postgres::{Config, config::Host};

/// A place for a registry. Shown, it has no password.
#[derive(Clone)]
pub(crate) enum Address {
    Sqlite(PathBuf),
    Postgres { config: Box<Config>, schema: String, tls: TlsSettings },
}

impl Address {
    /// Reads a URL: `sqlite://PATH` or `postgres://…`.
    pub(crate) fn parse(url: &str, schema: &str) -> Result<Self, Trouble> {
        let wrong = |sentence: String| Trouble::new(TroubleKind::Settings, sentence);
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(wrong(
                "the database's URL begins with `postgres://` or `sqlite://`; this one has neither".to_owned(),
            ));
        };
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path.starts_with(':') || path.contains('?') {
                    return Err(wrong(
                        "the database's URL does not name a file: `sqlite:///var/lib/camlock/registry.db` would"
                            .to_owned(),
                    ));
                }
                // An absolute one: what SQLite takes for a URL of its own begins otherwise.
                let path =
                    std::path::absolute(path).map_err(|error| wrong(format!("{path} leads nowhere: {error}")))?;
                Ok(Address::Sqlite(path))
            }
            "postgres" | "postgresql" => {
                // What the parser says may quote what it did not understand, and that may be the password.
                let unreadable = || {
                    wrong(
                        "the database's URL cannot be read: it should look like postgres://USER:PASSWORD@HOST:5432/DATABASE, \
                         with %XX for special characters in the password"
                            .to_owned(),
                    )
                };
                let (url, mode, roots) = without_tls(url);
                let percent =
                    |value: Option<String>| value.map(|value| decoded(&value).ok_or_else(unreadable)).transpose();
                let (mode, roots) = (percent(mode)?, percent(roots)?);
                let tls = TlsSettings::parse(mode.as_deref(), roots.as_deref());
                let tls = tls.map_err(|why| wrong(format!("the database's URL cannot be used: {why}")))?;
                let mut config = Config::from_str(&url).map_err(|_| unreadable())?;
                // An `@` in a password ends it too early, and what follows would be shown as a host.
                if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(host) if host.contains('@'))) {
                    return Err(unreadable());
                }
                if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
                    return Err(wrong(
                        "the database's URL names no host: postgres://USER@HOST/DATABASE does".to_owned(),
                    ));
                }
                if config.get_hosts().is_empty() {
                    // What a certificate has to be for.
                    let addresses: Vec<String> = config.get_hostaddrs().iter().map(ToString::to_string).collect();
                    for address in addresses {
                        config.host(address);
                    }
                }
                if schema.is_empty() || schema.len() > 63 || schema.contains(['\0', '"']) || schema.starts_with("pg_") {
                    return Err(wrong(format!("{schema:?} cannot be the name of a schema in PostgreSQL")));
                }
                if config.get_connect_timeout().is_none() {
                    config.connect_timeout(Duration::from_secs(5));
                }
                if config.get_application_name().is_none() {
                    config.application_name("camlock");
                }
                // A peer that vanished without a word is noticed within half a minute, without a query.
                config.keepalives_idle(Duration::from_secs(10));
                config.keepalives_interval(Duration::from_secs(5));
                config.keepalives_retries(3);
                config.tcp_user_timeout(Duration::from_secs(25));
                Ok(Address::Postgres { config: Box::new(config), schema: schema.to_owned(), tls })
            }
            _ => Err(wrong(
                "the database's URL begins with `postgres://` or `sqlite://`; this one has neither".to_owned(),
            )),
        }
    }

    /// Where in it the registry's tables are, for people.
    pub(crate) fn place(&self) -> String {
        match self {
            Address::Sqlite(_) => self.to_string(),
            Address::Postgres { schema, .. } => format!("schema `{schema}` of {self}"),
        }
    }
}

/// A URL without `sslmode` and `sslrootcert`, which the driver knows in part only, and what these say.
fn without_tls(url: &str) -> (String, Option<String>, Option<String>) {
    // The parameters come after whatever may be a password.
    let after = url.find('@').filter(|at| url.find('?').is_none_or(|parameters| *at < parameters)).unwrap_or(0);
    let Some(parameters) = url[after..].find('?').map(|at| after + at) else { return (url.to_owned(), None, None) };
    let (mut mode, mut roots, mut others) = (None, None, Vec::new());
    for parameter in url[parameters + 1..].split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => roots = Some(value.to_owned()),
            _ => others.push(parameter),
        }
    }
    let question = if others.is_empty() { "" } else { "?" };
    (format!("{}{question}{}", &url[..parameters], others.join("&")), mode, roots)
}

/// Text of a URL, without its percent signs.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = std::str::from_utf8(more.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &more[2..];
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = match self {
            Address::Sqlite(path) => return write!(formatter, "the registry's file {}", path.display()),
            Address::Postgres { config, .. } => config,
        };
        let database = config.get_dbname().or(config.get_user()).unwrap_or("?");
        write!(formatter, "the PostgreSQL database `{database}` at ")?;
        let port = |index: usize| config.get_ports().get(index).or(config.get_ports().first()).copied().unwrap_or(5432);
        for (index, host) in config.get_hosts().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match host {
                Host::Tcp(host) => write!(formatter, "{comma}{host}:{}", port(index))?,
                Host::Unix(path) => write!(formatter, "{comma}{}", path.display())?,
            }
        }
        if config.get_hosts().is_empty() {
            write!(formatter, "{}:{}", config.get_hostaddrs()[0], port(0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let shown = |url: &str| match Address::parse(url, "camlock") {
            Ok(address) => address.to_string(),
            Err(trouble) => {
                assert_eq!(trouble.kind, TroubleKind::Settings);
                assert!(!trouble.sentence.contains("s3cret"), "{trouble}");
                format!("! {trouble}")
            }
        };
        assert_eq!(shown("sqlite:///var/registry.db"), "the registry's file /var/registry.db");
        assert!(shown("sqlite://registry.db").ends_with("/registry.db"));
        assert_eq!(
            shown("postgres://me:s3cret@db.example:5433/record"),
            "the PostgreSQL database `record` at db.example:5433"
        );
        assert_eq!(shown("postgresql://me:s3cret@a,b/x"), "the PostgreSQL database `x` at a:5432, b:5432");
        assert_eq!(shown("postgres://me@%2Frun%2Fpg/x"), "the PostgreSQL database `x` at /run/pg");
        for bad in [
            "registry.db",
            "mysql://me:s3cret@host/x",
            "sqlite://",
            "sqlite://:memory:",
            "sqlite://file?mode=ro",
            "postgres://me:pass@s3cret@host/x",
            "postgres://me:s3cret@host:port/x",
            "postgres:///x",
            "postgres://me:s3cret@host/x?sslmode=sure",
            "postgres://me:s3cret@host/x?sslmode=require&sslrootcert=system",
            "postgres://me:s3cret@host/x?sslrootcert=%zz",
        ] {
            assert!(shown(bad).starts_with("! the database's URL "), "{bad}: {}", shown(bad));
        }
        assert!(Address::parse("postgres://h/x", "pg_x").is_err());
    }

    #[test]
    fn what_is_said_of_tls_is_taken_out_of_a_url() {
        let cut = |url: &str| {
            let (rest, mode, roots) = without_tls(url);
            format!("{rest} {} {}", mode.unwrap_or_default(), roots.unwrap_or_default())
        };
        assert_eq!(cut("postgres://a@h/x"), "postgres://a@h/x  ");
        assert_eq!(cut("postgres://a@h/x?sslmode=require"), "postgres://a@h/x require ");
        assert_eq!(
            cut("postgres://a:b%3F@h/x?options=-cx%3Dy&sslrootcert=/a%20b&application_name=me@home&sslmode=allow"),
            "postgres://a:b%3F@h/x?options=-cx%3Dy&application_name=me@home allow /a%20b"
        );
        assert_eq!(cut("postgres://h/x?sslmode=disable&user=me@home"), "postgres://h/x?user=me@home disable ");
        assert_eq!(decoded("/a%20b").as_deref(), Some("/a b"));
        assert_eq!(decoded("%e4"), None);
    }
}
