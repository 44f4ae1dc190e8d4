//! The link to the database: it is made, followed, and made again when it breaks. This alone says that the database can be used.

use crate::{
    Trouble,
    connection::{DatabaseConnection, Either},
    feed::PendingChanges,
    files::Files,
    schema,
    shared::StoreCore,
};
use camlock_policy::registry::RegistryChange;
use diesel_async::AsyncPgConnection;
use futures_util::{FutureExt, StreamExt};
use std::{
    pin::pin,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Pauses between attempts grow from this to that.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A link that stood for less did not really stand.
const STOOD: Duration = Duration::from_secs(1);

/// A burst of notifications has ended when nothing came for so long.
const QUIET: Duration = Duration::from_millis(1);

/// A burst that does not end is told after so long.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where word of changes comes from.
pub(crate) enum ChangeSource {
    Postgres(Box<AsyncPgConnection>),
    Sqlite(Box<Files>),
}

/// Connects: afterwards the schema is ours and up to date, this node is on record, and changes are listened for.
pub(crate) async fn come_up(shared: &StoreCore) -> Result<ChangeSource, Trouble> {
    let database = &shared.database;
    let attempt = async {
        schema::bring_up(&database.address, &database.queries).await?;
        let source = match &database.writers {
            Some(writers) => ChangeSource::Sqlite(Box::new(Files::open(shared, writers.clone()).await?)),
            None => {
                let mut connection = DatabaseConnection::open(&database.address, &database.queries).await?;
                let listen =
                    "LISTEN plugin_changes; LISTEN camlock_fleet; LISTEN camlock_journal; LISTEN camlock_tokens";
                connection.batch(listen).await.map_err(|error| Trouble::of_using(&database.address, &error))?;
                match connection.either {
                    Either::Postgres(connection) => ChangeSource::Postgres(connection),
                    Either::Sqlite(_) => unreachable!("an address of PostgreSQL"),
                }
            }
        };
        shared.enroll().await?;
        shared.load_tokens().await?;
        Ok(source)
    };
    let come = tokio::time::timeout(2 * shared.options.limit, attempt).await;
    let come = come.unwrap_or_else(|_| Err(Trouble::silence(&database.address)));
    // Doubts about what was before are settled.
    let _ = database.suspected.notified().now_or_never();
    database.set_trouble(come.as_ref().err().cloned());
    come
}

/// Follows the database until the store ends.
pub(crate) async fn keep(shared: StoreCore, first: Result<ChangeSource, Trouble>, mut ending: watch::Receiver<bool>) {
    let follow = async {
        let mut come = first;
        let mut pause = PAUSES.0;
        let mut known = None;
        let mut anew = false;
        loop {
            match come {
                Ok(source) => {
                    if std::mem::replace(&mut anew, true) {
                        shared.reconnects.fetch_add(1, Ordering::Relaxed);
                    }
                    if known.take().is_some() {
                        tracing::info!(database = %shared.database.address, "the registry can be used again");
                    }
                    let stood = Instant::now();
                    PendingChanges::anything().tell(&shared).await;
                    let trouble = match source {
                        ChangeSource::Sqlite(files) => files.follow(&shared).await,
                        ChangeSource::Postgres(connection) => follow_postgres(&shared, *connection).await,
                    };
                    shared.database.set_trouble(Some(trouble));
                    shared.tell(RegistryChange::Away);
                    if stood.elapsed() < STOOD {
                        tokio::time::sleep(pause).await;
                    } else {
                        pause = PAUSES.0;
                    }
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            let trouble = shared.database.trouble();
            if trouble != known {
                known = trouble;
                if let Some(trouble) = &known {
                    tracing::warn!("{trouble}; what is known of the registry goes on");
                }
            }
            pause = (2 * pause).min(PAUSES.1);
            come = come_up(&shared).await;
        }
    };
    tokio::select! {
        () = follow => {}
        // It is told once, or its sender is gone.
        _ = ending.changed() => {}
    }
}

/// Hears notifications until the connection breaks, or somebody finds that the database does not answer.
async fn follow_postgres(shared: &StoreCore, mut connection: AsyncPgConnection) -> Trouble {
    let address = &shared.database.address;
    let broke = || Trouble::passing(format!("the connection to {address} broke; it is being made again"));
    let mut stream = pin!(connection.notifications_stream());
    loop {
        let mut next = tokio::select! {
            next = stream.next() => next,
            () = shared.database.suspected.notified() => return shared.database.trouble().unwrap_or_else(broke),
        };
        let began = Instant::now();
        let mut heard = PendingChanges::default();
        loop {
            // After an error, or an end, it must not be asked again.
            let Some(Ok(told)) = next else { return broke() };
            heard.take(&told.channel, &told.payload);
            if began.elapsed() > PATIENCE {
                break;
            }
            match tokio::time::timeout(QUIET, stream.next()).await {
                Ok(more) => next = more,
                Err(_) => break,
            }
        }
        heard.tell(shared).await;
    }
}
