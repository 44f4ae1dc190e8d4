//! Connections to the registry's PostgreSQL for those who have SQL of their own. What must not live here: that SQL.

use crate::{
    Trouble,
    address::Address,
    connecting::{self, PostgresMessageStream},
};
use tokio_postgres::Client;

/// The PostgreSQL that the registry is in.
#[derive(Clone)]
pub struct PostgresAccess {
    address: Address,
    schema: String,
}

impl PostgresAccess {
    /// What a URL says; none if the registry is in SQLite.
    pub fn of(url: &str, schema: &str) -> Result<Option<Self>, Trouble> {
        let address = Address::parse(url, schema)?;
        let schema = schema.to_owned();
        Ok(matches!(address, Address::Postgres { .. }).then_some(PostgresAccess { address, schema }))
    }

    /// The schema of the registry's tables.
    pub fn schema(&self) -> &str {
        &self.schema
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
