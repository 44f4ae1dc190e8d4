//! Artifacts that servers share through the database, and the right to build one.

use crate::{
    Trouble,
    connection::{DatabaseConnection, Dialect, Value, number},
    database::Word,
    node,
    requests::TO_BE_HAD,
    shared::StoreCore,
    writers::OwnWrite,
};
use camlock_policy::{
    BoxFuture, Digest, Failure, Fingerprint, Kept, Stage,
    registry::{Claim, Exchange, Unavailable},
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Binary, Text},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::sync::oneshot;

/// Who waits for another one's build looks again as often as this, if nothing is heard.
const AGAIN: Duration = Duration::from_secs(2);

/// What was fetched, and was not taken by anybody, is deleted after so long.
const LEFT: Duration = Duration::from_secs(24 * 3_600);

/// In SQLite artifacts are shared if another server was heard of within so many milliseconds: 30 days.
const OTHERS: i64 = 30 * 24 * 3_600 * 1_000;

/// What goes on record of an artifact.
enum Offered {
    /// Its bytes lie in an object store.
    Elsewhere,
    /// It is of this size. Its bytes are on record already, or nobody else's business.
    Known(u64),
    Bytes(Vec<u8>),
}

impl Offered {
    fn size(&self) -> i64 {
        match self {
            Offered::Elsewhere => 0,
            Offered::Known(size) => number(*size),
            Offered::Bytes(bytes) => number(bytes.len() as u64),
        }
    }
}

#[derive(QueryableByName)]
struct Bytes {
    #[diesel(sql_type = Binary)]
    bytes: Vec<u8>,
}

#[derive(QueryableByName)]
struct BuildRightRow {
    #[diesel(sql_type = Text)]
    holder: String,
    #[diesel(sql_type = BigInt)]
    left_ms: i64,
}

impl Exchange for StoreCore {
    fn claim(&self, plugin: &str, fingerprint: &Fingerprint) -> BoxFuture<Result<Claim, Unavailable>> {
        let (this, plugin, fingerprint) = (self.clone(), plugin.to_owned(), fingerprint.clone());
        Box::pin(async move {
            let mut fleet = this.fleet.subscribe();
            loop {
                fleet.mark_unchanged();
                let (asking, name, what) = (this.clone(), plugin.clone(), fingerprint.clone());
                let asked = this.database.within(async move { asking.try_claim(&name, &what).await }).await?;
                let left = match asked {
                    Ok(claim) => return Ok(claim),
                    Err(left) => left,
                };
                // Somebody else is at it. One that dies lets go of its connection, of which there is no word.
                tokio::select! {
                    _ = fleet.changed() => {}
                    () = tokio::time::sleep(left.min(AGAIN)) => {}
                }
            }
        })
    }

    fn offer(&self, kept: &Kept, path: Option<PathBuf>) -> BoxFuture<Result<Digest, Unavailable>> {
        let (this, kept, limit) = (self.clone(), kept.clone(), self.options.transfer);
        self.database.within_time(limit, async move { this.offer_it(kept, path).await })
    }

    fn fetch(&self, digest: Digest) -> BoxFuture<Result<Option<PathBuf>, Failure>> {
        let (this, limit) = (self.clone(), self.options.transfer);
        let fetched = self.database.within_time(limit, async move {
            if let Some(path) = this.fetch_now(digest).await? {
                return Ok(Some(path));
            }
            // Its bytes may be gone from where they were shared, and lie with another server still.
            if this.request(digest).await? && this.until_answered(digest).await? {
                return this.fetch_now(digest).await;
            }
            Ok(None)
        });
        Box::pin(async move { fetched.await.map_err(|why| Failure::transient(Stage::Build, why.to_string())) })
    }

    fn lost(&self, digest: Digest) -> BoxFuture<Result<(), Unavailable>> {
        let this = self.clone();
        self.database.within(async move { this.put_lost(digest).await })
    }
}

/// Whoever finds the file finds it whole.
fn write(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let beginning = directory.join(format!(".{}", node::random()?));
    let written = fs::write(&beginning, bytes).and_then(|()| fs::rename(&beginning, path));
    if written.is_err() {
        let _ = fs::remove_file(&beginning);
    }
    written
}

impl StoreCore {
    /// Where fetched artifacts are put.
    fn fetched(&self) -> PathBuf {
        self.options.data.join("fetched")
    }

    /// Deletes what was fetched long ago.
    pub(crate) fn clear_fetched(&self) {
        let old = |file: &fs::DirEntry| {
            let changed = file.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            changed.elapsed().is_ok_and(|age| age > LEFT)
        };
        for file in fs::read_dir(self.fetched()).into_iter().flatten().flatten().filter(old) {
            let _ = fs::remove_file(file.path());
        }
    }

    /// Copies the bytes of an artifact from the registry, if they are there.
    async fn fetch_now(&self, digest: Digest) -> Result<Option<PathBuf>, Trouble> {
        let mut work = self.database.read().await?;
        work.patiently(self.options.transfer).await?;
        let bytes = "SELECT bytes FROM artifact_bytes WHERE digest = $1";
        let bytes = work.row::<Bytes>(bytes, vec![digest.to_string().into()]).await?;
        work.commit().await?;
        let Some(Bytes { bytes }) = bytes else { return Ok(None) };
        let directory = self.fetched();
        let path = directory.join(digest.hex());
        let written = write(&directory, &path, &bytes);
        written.map(|()| Some(path)).map_err(|error| {
            Trouble::passing(format!("{digest} could not be written to {} ({error})", directory.display()))
        })
    }

    async fn offer_it(&self, kept: Kept, path: Option<PathBuf>) -> Result<Digest, Trouble> {
        let digest = kept.digest.to_string();
        let offered = match &path {
            None => Offered::Elsewhere,
            Some(path) => self.what_to_offer(kept.digest, path).await?,
        };
        let elsewhere = matches!(offered, Offered::Elsewhere);
        let mut work = self.database.write().await?;
        work.patiently(self.options.transfer).await?;
        // Of two that were built from the same the first counts, as long as its bytes are to be had.
        let offer = format!(
            "INSERT INTO artifacts (digest, plugin, fingerprint, version, size, elsewhere, node) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (plugin, fingerprint) DO UPDATE SET \
             digest = excluded.digest, version = excluded.version, size = excluded.size, elsewhere = excluded.elsewhere, \
             node = excluded.node WHERE NOT {TO_BE_HAD} AND (artifacts.digest <> excluded.digest OR excluded.elsewhere)"
        );
        let values: Vec<Value> = vec![
            (&digest).into(),
            (&kept.name).into(),
            (&kept.fingerprint.0).into(),
            (&kept.version).into(),
            offered.size().into(),
            elsewhere.into(),
            self.node().into(),
        ];
        work.run(&offer, values).await?;
        let counts = "SELECT digest AS word FROM artifacts WHERE plugin = $1 AND fingerprint = $2";
        let counts = work.row::<Word>(counts, vec![(&kept.name).into(), (&kept.fingerprint.0).into()]).await?;
        let counts = counts.and_then(|counts| counts.word.parse().ok()).unwrap_or(kept.digest);
        if let Offered::Bytes(bytes) = offered
            && counts == kept.digest
        {
            let keep = "INSERT INTO artifact_bytes (digest, bytes) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
            work.run(keep, vec![(&digest).into(), bytes.into()]).await?;
        }
        // Whoever asked for it has an answer, of whatever sources it is on record.
        let answered = format!(
            "UPDATE artifacts SET elsewhere = (elsewhere OR $2), requested_at = NULL \
             WHERE digest = $1 AND requested_at IS NOT NULL AND ($2 OR {TO_BE_HAD})"
        );
        work.run(&answered, vec![digest.into(), elsewhere.into()]).await?;
        work.commit().await?;
        Ok(counts)
    }

    /// What goes on record of a file: its bytes, unless they are there already, or nobody is there to want them. A file of
    /// SQLite is mostly one server's own, which has every artifact in its data directory: with their bytes it would only grow.
    async fn what_to_offer(&self, digest: Digest, path: &Path) -> Result<Offered, Trouble> {
        let told = |error| Trouble::passing(format!("{} cannot be offered: {error}", path.display()));
        let mut work = self.database.alone().await?;
        let there = "SELECT digest AS word FROM artifact_bytes WHERE digest = $1";
        let there = work.row::<Word>(there, vec![digest.to_string().into()]).await?.is_some();
        let wanted = !there
            && match work.dialect() {
                Dialect::Postgres => true,
                Dialect::Sqlite => {
                    let since = Dialect::Sqlite.later("$2");
                    let others = format!("SELECT id AS word FROM nodes WHERE id <> $1 AND heard_at > {since} LIMIT 1");
                    work.row::<Word>(&others, vec![self.node().into(), (-OTHERS).into()]).await?.is_some()
                }
            };
        drop(work);
        if wanted {
            let bytes = fs::read(path).map_err(told)?;
            // Whoever fetched them would find that, and nobody would offer better ones.
            if Digest::of(&bytes) != digest {
                let why = io::Error::other("its bytes are not what they were");
                return Err(told(why));
            }
            return Ok(Offered::Bytes(bytes));
        }
        fs::metadata(path).map(|file| Offered::Known(file.len())).map_err(told)
    }

    /// Tries once. If another one has the right: for how long still.
    async fn try_claim(&self, plugin: &str, fingerprint: &Fingerprint) -> Result<Result<Claim, Duration>, Trouble> {
        let built =
            format!("SELECT digest AS word FROM artifacts WHERE plugin = $1 AND fingerprint = $2 AND {TO_BE_HAD}");
        let what: Vec<Value> = vec![plugin.into(), (&fingerprint.0).into()];
        let built = self.database.alone().await?.row::<Word>(&built, what.clone()).await?;
        if let Some(digest) = built.and_then(|built| built.word.parse().ok()) {
            return Ok(Ok(Claim::Built(digest)));
        }
        let address = &self.database.address;
        let of = |error| Trouble::of_using(address, &error);
        let holder =
            node::random().map_err(|error| Trouble::passing(format!("nothing at random is to be had: {error}")))?;
        // Of its own: whatever else goes on must not keep it from being renewed, and it ends with its holder.
        let mut connection = DatabaseConnection::open(address, &self.database.queries).await?;
        let dialect = connection.dialect;
        let (column, own, gone) = match dialect {
            Dialect::Sqlite => ("", "", ""),
            Dialect::Postgres => (
                ", backend",
                ", pg_backend_pid()",
                " OR NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = build_rights.backend)",
            ),
        };
        let backend = if column.is_empty() { "" } else { ", backend = excluded.backend" };
        let take = format!(
            "INSERT INTO build_rights (plugin, fingerprint, node, holder, until{column}) VALUES ($1, $2, $3, $4, {}{own}) \
             ON CONFLICT (plugin, fingerprint) DO UPDATE SET node = excluded.node, holder = excluded.holder, \
             until = excluded.until{backend} WHERE build_rights.until <= {}{gone}",
            dialect.later("$5"),
            dialect.now()
        );
        let values = [what.clone(), vec![self.node().into(), (&holder).into(), self.options.right.into()]].concat();
        let turn = self.database.writers_turn().await;
        let taken = connection.run(&take, values).await.map_err(of)?;
        if let Some(mut turn) = turn {
            turn.committed(OwnWrite::Change);
        }
        if taken == 0 {
            let left = format!(
                "SELECT holder, {} - {} AS left_ms FROM build_rights WHERE plugin = $1 AND fingerprint = $2",
                dialect.milliseconds("until"),
                dialect.milliseconds(dialect.now())
            );
            let held = connection.rows::<BuildRightRow>(&left, what).await.map_err(of)?.pop();
            tracing::debug!(plugin, holder = held.as_ref().map(|held| held.holder.as_str()), "somebody else builds it");
            let left = held.map_or(0, |held| held.left_ms.max(10));
            return Ok(Err(Duration::from_millis(u64::try_from(left).unwrap_or(10))));
        }
        let (right, dropped) = oneshot::channel();
        tokio::spawn(self.clone().hold(connection, holder, dropped));
        Ok(Ok(Claim::Build(Box::new(Right { _held: right }))))
    }

    /// Renews a right until it is dropped, and gives it up.
    async fn hold(self, connection: DatabaseConnection, holder: String, mut dropped: oneshot::Receiver<()>) {
        let pause = self.options.right / 3;
        let mut connection = Some(connection);
        loop {
            let given_up = tokio::select! {
                _ = &mut dropped => true,
                () = tokio::time::sleep(pause) => false,
            };
            let touch = self.touch(connection.take(), &holder, given_up);
            match tokio::time::timeout(self.options.limit, touch).await {
                Ok(Ok(again)) => connection = again,
                // It is tried again with another connection; meanwhile somebody else may have begun, and the first to end counts.
                Ok(Err(trouble)) => tracing::debug!("a right to build was not renewed: {trouble}"),
                Err(_) => {}
            }
            if given_up {
                return;
            }
        }
    }

    /// Renews a right, or gives it up.
    async fn touch(
        &self,
        connection: Option<DatabaseConnection>,
        holder: &str,
        give_up: bool,
    ) -> Result<Option<DatabaseConnection>, Trouble> {
        let address = &self.database.address;
        let mut connection = match connection {
            Some(connection) => connection,
            None => DatabaseConnection::open(address, &self.database.queries).await?,
        };
        let dialect = connection.dialect;
        let backend = if dialect == Dialect::Postgres { ", backend = pg_backend_pid()" } else { "" };
        let mut turn = self.database.writers_turn().await;
        let done = if give_up {
            connection.run("DELETE FROM build_rights WHERE holder = $1", vec![holder.into()]).await
        } else {
            let renew = format!("UPDATE build_rights SET until = {}{backend} WHERE holder = $2", dialect.later("$1"));
            connection.run(&renew, vec![self.options.right.into(), holder.into()]).await
        };
        done.map_err(|error| Trouble::of_using(address, &error))?;
        if let Some(turn) = &mut turn {
            turn.committed(if give_up { OwnWrite::Change } else { OwnWrite::Heartbeat });
        }
        Ok(Some(connection))
    }
}

/// The right to build, until it is dropped: then the one who renews it hears of that.
struct Right {
    _held: oneshot::Sender<()>,
}
