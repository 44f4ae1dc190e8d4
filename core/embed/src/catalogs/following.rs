//! Following catalogs in the background: at the start those that the settings name, then all of them, again and again.
//!
//! What must not live here: what is believed of what a catalog says (`camlock-catalog` decides that), and what comes of it for plugins that
//! are there (`advising`, `updating`).

use super::{FollowedRecord, ServerCatalogs, words::unavailable};
use camlock_catalog::client::{SyncedLines, Synchronized, TrustedFiles};
use camlock_policy::{CatalogOrder, CatalogRefusal, CatalogRefused, Catalogs, manifest::check_name, registry::Actor};
use camlock_store::CatalogRecord;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};
use tokio::{join, time::sleep};

/// So long after the start they are looked at for the first time.
const FIRST: Duration = Duration::from_secs(60);
/// So often after that.
const AGAIN: Duration = Duration::from_secs(3600);

impl ServerCatalogs {
    /// Ends what was begun before the server ended, then follows all catalogs, for as long as this runs.
    pub(crate) async fn follow(self, settings: Vec<CatalogOrder>) {
        self.go_on().await;
        join!(self.keep_looking(settings), self.keep_updated());
    }

    /// Adds the catalogs that the settings name, where none of that name is followed: those that were away, for the next time.
    async fn add_those(&self, settings: Vec<CatalogOrder>) -> Vec<CatalogOrder> {
        let mut away = Vec::new();
        for order in settings {
            let name = order.name.clone();
            match self.record(&name).await {
                Ok(there) if there.url != order.url => tracing::warn!(
                    catalog = name,
                    "the settings name {}, and {} is followed: `camlock catalog remove {name}`, and start again, if that is what you want",
                    order.url,
                    there.url
                ),
                Ok(_) => {}
                Err(_) => {
                    if let Err(why) = self.add(order.clone(), Actor::from("settings")).await {
                        tracing::warn!(catalog = name, "the catalog is not followed: {why}");
                        if why.kind == CatalogRefused::Unavailable {
                            away.push(order);
                        }
                    }
                }
            }
        }
        away
    }

    async fn keep_looking(&self, settings: Vec<CatalogOrder>) {
        let mut wanted = self.add_those(settings).await;
        sleep(FIRST).await;
        loop {
            wanted = self.add_those(wanted).await;
            // What the registry does not tell now it tells the next time.
            let followed = self.0.records.catalogs().await;
            if let Ok(followed) = &followed {
                // Another server may have been told to follow one no longer.
                let names: Vec<String> = followed.iter().map(|record| record.name.clone()).collect();
                let kept = self.aside(move |inside| inside.with_index(|index| index.keep_only(&names))).await;
                if let Err(why) = kept {
                    tracing::warn!("what is found of catalogs that are followed no longer could not be removed: {why}");
                }
            }
            for record in followed.unwrap_or_default() {
                let name = record.name.clone();
                if let Err(why) = self.look(record).await {
                    tracing::warn!(catalog = name, "the catalog was not synchronized: {}", why.reason);
                }
            }
            sleep(AGAIN).await;
        }
    }

    /// Follows one now.
    pub(super) async fn look(&self, record: CatalogRecord) -> Result<(), CatalogRefusal> {
        let name = record.name.clone();
        let outcome = self.look_at(record).await;
        let why = outcome.as_ref().err().map(|refusal| refusal.reason.clone());
        self.looks().insert(name, (SystemTime::now(), why));
        if outcome.is_ok() {
            self.advise().await;
            self.0.followed.notify_one();
        }
        outcome
    }

    async fn look_at(&self, record: CatalogRecord) -> Result<(), CatalogRefusal> {
        let name = record.name.clone();
        let followed = self.aside(move |inside| {
            let known = inside.with_index(|index| index.version(&record.name))?;
            let (mut reader, trusted) = inside.open(&record)?;
            let mut news = reader.since(known)?;
            keep_provided(&mut news, &record);
            let versions = (reader.timestamp(), reader.version());
            inside.with_index(|index| index.take_in(&record.name, &news))?;
            Ok((kept(&trusted), versions))
        });
        let (metadata, versions) = followed.await?;
        self.0.records.prove(&name, metadata, versions).await.map_err(unavailable)
    }

    /// Looks at catalogs that this server knows nothing of yet: another one of the fleet added them, or what is searched was deleted; and
    /// at what was discovered meanwhile.
    pub(super) async fn catch_up(&self) -> Result<(), CatalogRefusal> {
        let records = self.0.records.catalogs().await.map_err(unavailable)?;
        let discovered = self.newly_discovered(&records).await?;
        let unknown = self.aside(move |inside| {
            inside.with_index(|index| {
                let mut unknown = Vec::new();
                for record in records {
                    if index.version(&record.name)?.is_none() {
                        unknown.push(record);
                    }
                }
                Ok(unknown)
            })
        });
        let mut wanted = unknown.await?;
        wanted.extend(
            discovered
                .into_iter()
                .filter(|new| wanted.iter().all(|record| record.name != new.name))
                .collect::<Vec<_>>(),
        );
        for record in wanted {
            // What the others list is found all the same; `camlock catalog list` says what is wrong.
            let name = record.name.clone();
            if let Err(why) = self.look(record).await {
                tracing::debug!(catalog = name, "the catalog was not synchronized: {}", why.reason);
            }
        }
        Ok(())
    }
}

/// Takes out of what is new what the catalog may not provide.
fn keep_provided(news: &mut Synchronized, record: &CatalogRecord) {
    if let SyncedLines::All(lines) | SyncedLines::Changes(lines) = &mut news.lines {
        lines.retain(|line| check_name(&line.name).is_ok() && record.provides(&line.name));
    }
}

pub(super) fn kept(trusted: &TrustedFiles) -> BTreeMap<String, String> {
    let text = |(name, bytes): (String, Vec<u8>)| Some((name, String::from_utf8(bytes).ok()?));
    trusted.files().into_iter().filter_map(text).collect()
}
