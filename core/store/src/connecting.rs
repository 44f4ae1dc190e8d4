//! Connecting to PostgreSQL: with TLS or without, as its URL says.
//!
//! What must not live here: what TLS is (`tls.rs`), and what a connection is used for (`connection.rs`).

use crate::{Trouble, TroubleKind, address::Address, tls::TlsSettings, trouble::is_of_tls};
use diesel_async::AsyncPgConnection;
use tokio_postgres::{Config, NoTls, config::SslMode, error::SqlState};

/// Connects, one way after the other as far as the mode has another one.
pub(crate) async fn connect(
    address: &Address,
    config: &Config,
    settings: &TlsSettings,
) -> Result<AsyncPgConnection, Trouble> {
    let mut before: Option<tokio_postgres::Error> = None;
    for way in settings.ways(config) {
        let mut config = config.clone();
        config.ssl_mode(*way);
        let failed = match way {
            SslMode::Disable => match config.connect(NoTls).await {
                Ok((client, driver)) => {
                    return usable(address, AsyncPgConnection::try_from_client_and_connection(client, driver).await);
                }
                Err(failed) => failed,
            },
            _ => {
                let client = settings.client();
                let client = client.map_err(|why| {
                    Trouble::new(TroubleKind::Settings, format!("{address} cannot be reached: {why}"))
                })?;
                match config.connect(client).await {
                    Ok((client, driver)) => {
                        return usable(
                            address,
                            AsyncPgConnection::try_from_client_and_connection(client, driver).await,
                        );
                    }
                    Err(failed) => failed,
                }
            }
        };
        match &before {
            None if may_be_otherwise(&failed) => before = Some(failed),
            // Of two the first says more, unless the second got further.
            Some(first) if may_be_otherwise(&failed) => return Err(Trouble::of_connecting(address, first)),
            _ => return Err(Trouble::of_connecting(address, &failed)),
        }
    }
    let none = || Trouble::passing(format!("{address} cannot be reached"));
    Err(before.map_or_else(none, |failed| Trouble::of_connecting(address, &failed)))
}

fn usable(
    address: &Address,
    opened: diesel::ConnectionResult<AsyncPgConnection>,
) -> Result<AsyncPgConnection, Trouble> {
    opened.map_err(|error| Trouble::passing(format!("{address} cannot be used ({error})")))
}

/// Whether it may succeed with TLS where it failed without, or the other way round.
fn may_be_otherwise(failed: &tokio_postgres::Error) -> bool {
    match failed.as_db_error() {
        Some(refusal) => *refusal.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => is_of_tls(failed),
    }
}
