//! What can be wrong with a database, in sentences. No password stands in any of them.

use crate::{address::Address, causes::one_line};
use camlock_policy::registry::Unavailable;
use diesel::result::{DatabaseErrorKind, Error};
use tokio_postgres::error::SqlState;

/// Why the registry cannot be used: one sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Trouble {
    /// Of what sort it is.
    pub kind: TroubleKind,
    /// In a sentence.
    pub sentence: String,
}

/// Which trouble passes by itself, and which waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// It is away for now, or does not let us in: it is tried again. What an administrator mends over there is noticed.
    Away,
    /// Its URL, or something else that we were told, cannot be used.
    Settings,
    /// There is something else in that place. It was not touched.
    Foreign,
    /// It was written by a newer Camlock. It was not touched.
    Newer,
    /// Its file is damaged. It was not touched.
    Corrupt,
}

impl Trouble {
    pub(crate) fn new(kind: TroubleKind, sentence: impl Into<String>) -> Self {
        Trouble { kind, sentence: sentence.into() }
    }

    pub(crate) fn passing(sentence: impl Into<String>) -> Self {
        Trouble::new(TroubleKind::Away, sentence)
    }

    /// Whether waiting may help.
    pub fn passes(&self) -> bool {
        self.kind == TroubleKind::Away
    }

    /// It did not answer in time.
    pub(crate) fn silence(address: &Address) -> Self {
        Trouble::passing(match address {
            Address::Sqlite(_) => format!("{address} is busy for too long; see which other process uses it"),
            Address::Postgres { .. } => {
                format!("{address} does not answer in time; see whether it is running, and how busy it is")
            }
        })
    }

    /// PostgreSQL could not be reached, or does not let us in.
    pub(crate) fn of_connecting(address: &Address, error: &tokio_postgres::Error) -> Self {
        let Some(refusal) = error.as_db_error() else {
            let mut cause: &dyn std::error::Error = error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            let why = cause.to_string();
            if why.contains("does not support TLS") {
                return Trouble::passing(format!(
                    "{address} does not speak TLS, which `sslmode` asks for; turn it on there (`ssl = on`), or use \
                     `sslmode=disable` on a network that is trusted"
                ));
            }
            if is_of_tls(error) {
                return Trouble::passing(format!(
                    "{address} cannot be reached with TLS ({}); see whether its certificate is for the name in the URL, and \
                     signed by one in `sslrootcert`",
                    one_line(&why)
                ));
            }
            return Trouble::passing(format!(
                "{address} cannot be reached ({why}); see whether it is running, and whether the URL is right"
            ));
        };
        let code = refusal.code();
        let message = refusal.message();
        let what = if *code == SqlState::INVALID_PASSWORD {
            "refuses the password".to_owned()
        } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
            format!("does not let this user in ({message})")
        } else if *code == SqlState::INVALID_CATALOG_NAME {
            format!("does not have it ({message}); `createdb` makes it")
        } else if *code == SqlState::TOO_MANY_CONNECTIONS {
            format!("has no connection to spare ({message})")
        } else {
            format!("does not accept a connection ({message})")
        };
        Trouble::passing(format!("{address} {what}"))
    }

    /// Something went wrong while the database was used.
    pub(crate) fn of_using(address: &Address, error: &Error) -> Self {
        match error {
            Error::DatabaseError(
                DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection,
                said,
            ) => Trouble::passing(format!("the connection to {address} broke ({})", said.message())),
            Error::DatabaseError(_, said) => match address {
                Address::Sqlite(_) => Trouble::of_sqlite(address, said.message()),
                Address::Postgres { .. } if said.message().contains("due to lock timeout") => {
                    Trouble::passing(format!(
                        "another transaction in {address} holds what is to be changed, and does not end; `pg_stat_activity` lists it"
                    ))
                }
                Address::Postgres { .. } => {
                    let hint = said.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                    Trouble::passing(format!("{address} says: {}{hint}", said.message()))
                }
            },
            other => Trouble::passing(format!("{address} holds something that cannot be read ({other})")),
        }
    }

    /// What SQLite says, which is the same few words each time.
    pub(crate) fn of_sqlite(address: &Address, message: &str) -> Self {
        let corrupt = |what: &str| {
            Trouble::new(
                TroubleKind::Corrupt,
                format!(
                    "{address} {what} ({message}). It is kept as it is: put a backup in its place, or move it away to begin \
                     with an empty registry"
                ),
            )
        };
        let away = |what: &str| Trouble::passing(format!("{address} {what} ({message})"));
        let is = |words: &str| message.contains(words);
        if is("not a database") {
            corrupt("is no SQLite database")
        } else if is("malformed") {
            corrupt("is damaged")
        } else if is("locked") || is("busy") {
            away("is locked by another process; end that process, or its transaction")
        } else if is("is full") {
            away("cannot grow, for the disk is full; make room on it")
        } else if is("disk I/O error") {
            away("cannot be written or read; see whether its disk is full or failing")
        } else if is("readonly") {
            away("may not be written; see who owns it and its directory")
        } else if is("unable to open") {
            away("cannot be opened; see whether its directory is there, and who owns it")
        } else {
            Trouble::passing(format!("{address} says: {message}"))
        }
    }
}

impl From<Trouble> for Unavailable {
    fn from(trouble: Trouble) -> Self {
        Unavailable(trouble.sentence)
    }
}

/// Whether it is about TLS that nothing came of a connection.
pub(crate) fn is_of_tls(failed: &tokio_postgres::Error) -> bool {
    failed.to_string().contains("TLS handshake")
}
