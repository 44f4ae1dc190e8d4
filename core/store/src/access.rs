//! Connections to the registry's PostgreSQL for those who have SQL of their own. What must not live here: that SQL.

use crate::{
    Trouble,
    address::Address,
    connecting::{self, PostgresMessageStream},
};
use std::net::IpAddr;
use tokio_postgres::{Client, config::Host};

/// The PostgreSQL that the registry is in.
#[derive(Clone)]
pub struct PostgresAccess {
    address: Address,
    /// As it was given.
    url: String,
    schema: String,
}

impl PostgresAccess {
    /// What a URL says; none if the registry is in SQLite.
    pub fn of(url: &str, schema: &str) -> Result<Option<Self>, Trouble> {
        let address = Address::parse(url, schema)?;
        let schema = schema.to_owned();
        let url = url.to_owned();
        Ok(matches!(address, Address::Postgres { .. }).then_some(PostgresAccess { address, url, schema }))
    }

    /// The schema of the registry's tables.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Whether it runs on this machine, as far as its address tells: then its work takes this machine's processors.
    pub fn is_on_this_machine(&self) -> bool {
        let Address::Postgres { config, .. } = &self.address else { return true };
        let is_here = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        };
        match config.get_hostaddrs() {
            [] => config.get_hosts().iter().all(is_here),
            addresses => addresses.iter().all(IpAddr::is_loopback),
        }
    }

    /// A URL for somebody else: of the same database, with all that was said of how it is reached.
    pub fn url(&self, role: &str, password: &str) -> String {
        let database = match &self.address {
            Address::Postgres { config, .. } => config.get_dbname().or(config.get_user()).unwrap_or_default(),
            Address::Sqlite(_) => "",
        };
        url_as(&self.url, (role, password), database)
    }

    /// Connects, as the registry's user or as this role with its password.
    pub async fn connect(&self, login: Option<(&str, &str)>) -> Result<(Client, PostgresMessageStream), Trouble> {
        let Address::Postgres { config, tls, .. } = &self.address else {
            return Err(Trouble::passing(format!("{} is no PostgreSQL", self.address)));
        };
        let mut config = config.as_ref().clone();
        if let Some((role, password)) = login {
            config.user(role).password(password);
        }
        connecting::connect_plainly(&self.address, &config, tls).await
    }
}

impl std::fmt::Debug for PostgresAccess {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("PostgresAccess").field(&self.address.place()).finish()
    }
}

/// The same URL for another user. What is said of one in it goes, and the database, which may be named after them, is said.
fn url_as(url: &str, (role, password): (&str, &str), database: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (place, question) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let path = if path.is_empty() { encoded(database) } else { path.to_owned() };
    let others: Vec<&str> = question
        .split('&')
        .filter(|parameter| {
            !parameter.is_empty()
                && !["user=", "password=", "application_name=", "options="]
                    .iter()
                    .any(|known| parameter.starts_with(known))
        })
        .collect();
    let question = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    format!("{scheme}://{}:{}@{hosts}/{path}{question}", encoded(role), encoded(password))
}

/// With percent signs, for a URL.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(char::from(byte)),
            byte => drop(write!(encoded, "%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_here_or_elsewhere() {
        for (url, here) in [
            ("postgres://ops@localhost/fleet", true),
            ("postgres://ops@127.0.0.1:5433/fleet", true),
            ("postgres://ops@[::1]/fleet", true),
            ("postgres:///fleet?host=%2Frun&user=ops", true),
            ("postgres://ops@db.example.org/fleet", false),
            ("postgres://ops@localhost,db.example.org/fleet", false),
            ("postgres://ops@192.0.2.1/fleet", false),
        ] {
            let access = PostgresAccess::of(url, "camlock").unwrap().unwrap();
            assert_eq!(access.is_on_this_machine(), here, "{url}");
        }
    }

    #[test]
    fn the_same_database_for_somebody_else() {
        for (url, theirs) in [
            (
                "postgres://ops:p%40ss@db:5433/fleet?sslmode=require",
                "postgres://a%20b:pw@db:5433/fleet?sslmode=require",
            ),
            ("postgresql://ops@one,two:6000", "postgresql://a%20b:pw@one,two:6000/ops"),
            ("postgres:///fleet?host=%2Frun&user=ops&password=x", "postgres://a%20b:pw@/fleet?host=%2Frun"),
        ] {
            let access = PostgresAccess::of(url, "camlock").unwrap().unwrap();
            assert_eq!(access.url("a b", "pw"), theirs);
            assert!(PostgresAccess::of(theirs, "camlock").is_ok(), "{theirs}");
        }
    }
}
