DROP TRIGGER plugins_delete_secrets;
DROP TABLE secrets_key;
DROP TABLE plugin_secrets;
