//! What plugins of this world keep, and how they are put there.

use super::World;
use camlock_policy::{
    Arriving, BoxFuture, Failure, Fingerprint, Install, Installed, Keepings, MigrationFile, NotInstalled, Sealer,
    TableTerms, TablesNotReady, TablesReady, Upload,
};
use std::{sync::Arc, time::Duration};

impl World {
    /// What the next look at tables comes to.
    pub(crate) fn next_tables(&self, outcome: Result<TablesReady, TablesNotReady>) {
        self.state().tables.push_back(outcome);
    }

    /// What it comes to next that something is taken away from tables.
    pub(crate) fn next_contract(&self, outcome: Result<Vec<String>, Failure>) {
        self.state().contracts.push_back(outcome);
    }
}

impl Keepings for World {
    fn sealer(&self) -> Arc<dyn Sealer> {
        self.state().sealer.clone()
    }

    fn purge(&self, plugin: &str) -> BoxFuture<Result<(), String>> {
        self.log(format!("purge {plugin}"));
        let stuck = self.state().stuck.then(|| "the disk says no".to_owned());
        let (this, plugin) = (self.clone(), plugin.to_owned());
        Box::pin(async move {
            // Databases take their time.
            tokio::time::sleep(Duration::from_secs(1)).await;
            this.log(format!("purged {plugin}"));
            stuck.map_or(Ok(()), Err)
        })
    }

    fn make_tables_ready(
        &self,
        plugin: &str,
        files: Vec<MigrationFile>,
        terms: TableTerms,
    ) -> BoxFuture<Result<TablesReady, TablesNotReady>> {
        let names: Vec<_> = files.iter().map(MigrationFile::file_name).collect();
        let back = if terms.back { " back" } else { "" };
        let alone = if terms.alone { " alone" } else { "" };
        self.log(format!("tables {plugin} {}{back}{alone}", names.join(" ")));
        let outcome = self.state().tables.pop_front().unwrap_or_else(|| Ok(TablesReady::default()));
        Box::pin(async move { outcome })
    }

    fn contract_tables(&self, plugin: &str, _: Vec<MigrationFile>) -> BoxFuture<Result<Vec<String>, Failure>> {
        self.log(format!("contract {plugin}"));
        // Whoever waited for this need not any more.
        self.state().tables.clear();
        let outcome = self.state().contracts.pop_front().unwrap_or_else(|| Ok(Vec::new()));
        Box::pin(async move { outcome })
    }
}

impl Install for World {
    fn uploads(&self) -> std::path::PathBuf {
        "uploads".into()
    }

    fn install(&self, upload: Upload, arriving: Arriving) -> BoxFuture<Result<Installed, NotInstalled>> {
        let world = self.clone();
        Box::pin(async move {
            let there: Vec<_> = upload.there.keys().cloned().collect();
            world.log(format!("install {} beside {there:?}", upload.source.path().display()));
            tokio::time::sleep(Duration::from_secs(3)).await;
            let path = upload.source.path().to_owned();
            let (name, fingerprint) = path.to_str().and_then(|path| path.split_once(':')).unwrap();
            if there.iter().any(|there| there == name) && !upload.replace {
                return Err(NotInstalled::Taken(format!("there is a plugin `{name}`")));
            }
            let script = world.script(&Fingerprint(format!("{name}:{fingerprint}")));
            let announced = name.to_owned();
            tokio::task::spawn_blocking(move || arriving(&announced)).await.unwrap();
            if fingerprint == "full" {
                return Err(NotInstalled::Failed("the disk is full".to_owned()));
            }
            // Somebody takes it away before anybody looks.
            if fingerprint != "taken-away" {
                world.put(name, fingerprint, script);
            }
            Ok(Installed { plugin: name.to_owned(), path: name.into() })
        })
    }
}
