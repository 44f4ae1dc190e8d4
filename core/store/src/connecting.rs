//! Connecting to PostgreSQL: with TLS or without, as its URL says.
//!
//! What must not live here: what TLS is (`tls.rs`), and what a connection is used for (`connection.rs`).

use crate::{
    Trouble, TroubleKind,
    address::Address,
    tls::{RustlsConnector, TlsSettings},
    trouble::is_of_tls,
};
use diesel_async::AsyncPgConnection;
use futures_util::{Stream, stream::poll_fn};
use std::pin::Pin;
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls, Socket,
    config::SslMode,
    error::SqlState,
    tls::{MakeTlsConnect, NoTlsStream},
};

/// A connection that was just opened, and what keeps it going.
enum Opened {
    Plain(Client, Connection<Socket, NoTlsStream>),
    Secured(Client, Connection<Socket, SecuredStream>),
}

type SecuredStream = <RustlsConnector as MakeTlsConnect<Socket>>::Stream;

/// What keeps a connection going while it is polled: it yields what the server says by itself.
pub type PostgresMessageStream = Pin<Box<dyn Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Send>>;

/// Connects, for diesel.
pub(crate) async fn connect(
    address: &Address,
    config: &Config,
    settings: &TlsSettings,
) -> Result<AsyncPgConnection, Trouble> {
    let usable = match open(address, config, settings).await? {
        Opened::Plain(client, driver) => AsyncPgConnection::try_from_client_and_connection(client, driver).await,
        Opened::Secured(client, driver) => AsyncPgConnection::try_from_client_and_connection(client, driver).await,
    };
    usable.map_err(|error| Trouble::passing(format!("{address} cannot be used ({error})")))
}

/// Connects, for whoever has SQL of its own.
pub(crate) async fn connect_plainly(
    address: &Address,
    config: &Config,
    settings: &TlsSettings,
) -> Result<(Client, PostgresMessageStream), Trouble> {
    Ok(match open(address, config, settings).await? {
        Opened::Plain(client, mut driver) => (client, Box::pin(poll_fn(move |context| driver.poll_message(context)))),
        Opened::Secured(client, mut driver) => (client, Box::pin(poll_fn(move |context| driver.poll_message(context)))),
    })
}

/// Connects, one way after the other as far as the mode has another one.
async fn open(address: &Address, config: &Config, settings: &TlsSettings) -> Result<Opened, Trouble> {
    let mut before: Option<tokio_postgres::Error> = None;
    for way in settings.ways(config) {
        let mut config = config.clone();
        config.ssl_mode(*way);
        let failed = match way {
            SslMode::Disable => match config.connect(NoTls).await {
                Ok((client, driver)) => return Ok(Opened::Plain(client, driver)),
                Err(failed) => failed,
            },
            _ => {
                let client = settings.client();
                let client = client.map_err(|why| {
                    Trouble::new(TroubleKind::Settings, format!("{address} cannot be reached: {why}"))
                })?;
                match config.connect(client).await {
                    Ok((client, driver)) => return Ok(Opened::Secured(client, driver)),
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

/// Whether it may succeed with TLS where it failed without, or the other way round.
fn may_be_otherwise(failed: &tokio_postgres::Error) -> bool {
    match failed.as_db_error() {
        Some(refusal) => *refusal.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        None => is_of_tls(failed),
    }
}
