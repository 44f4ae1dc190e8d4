DROP TABLE plugin_storage_use;
DROP TABLE plugin_storage;
