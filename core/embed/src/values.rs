//! What plugins keep, as operators see and change it. What must not live here: how it is kept.

use bytes::Bytes;
use camlock_policy::{AskError, BoxFuture, KeptTables, KeptValues, PluginTablesView, ValueEntry, ValueQuery};
use camlock_services::{
    PluginStorage, StorageAct, StorageCondition, StorageOperation, StorageQuery, database::PluginTables,
};
use std::time::{Duration, UNIX_EPOCH};

/// The values of all plugins.
pub(crate) struct StoredValues(pub(crate) PluginStorage);

impl KeptValues for StoredValues {
    fn list(&self, plugin: &str, query: ValueQuery) -> BoxFuture<Result<(Vec<ValueEntry>, bool), AskError>> {
        let (storage, plugin) = (self.0.clone(), plugin.into());
        let ValueQuery { prefix, after, most } = query;
        Box::pin(async move {
            let page = storage.list(&plugin, StorageQuery { prefix, after, most, values: false }).await?;
            let entries = page.keys.into_iter().map(|kept| ValueEntry {
                key: kept.key,
                revision: kept.revision,
                size: kept.size,
                expires: kept.expires.map(|at| UNIX_EPOCH + Duration::from_millis(at)),
            });
            Ok((entries.collect(), page.next.is_some()))
        })
    }

    fn get(&self, plugin: &str, key: &str) -> BoxFuture<Result<Option<(Bytes, u64)>, AskError>> {
        let (storage, plugin, key) = (self.0.clone(), plugin.into(), key.to_owned());
        Box::pin(async move { Ok(storage.get(&plugin, &key).await?.map(|value| (value.bytes, value.revision))) })
    }

    fn set(
        &self,
        plugin: &str,
        key: &str,
        value: Option<Bytes>,
        revision: Option<u64>,
    ) -> BoxFuture<Result<u64, AskError>> {
        let (storage, plugin) = (self.0.clone(), plugin.into());
        let act = StorageAct {
            key: key.to_owned(),
            condition: revision.map_or(StorageCondition::Always, StorageCondition::Revision),
            operation: value.map_or(StorageOperation::Delete, |value| StorageOperation::Put(value, None)),
        };
        Box::pin(async move { Ok(storage.write(&plugin, vec![act]).await?.first().copied().unwrap_or_default()) })
    }
}

/// The tables of all plugins.
pub(crate) struct StoredTables(pub(crate) PluginTables);

impl KeptTables for StoredTables {
    fn tables(&self, plugin: &str) -> BoxFuture<Result<PluginTablesView, AskError>> {
        let (tables, plugin) = (self.0.clone(), plugin.into());
        Box::pin(async move { tables.kept(&plugin).await.map_err(AskError::from) })
    }
}
