DROP TRIGGER plugins_delete_grants;
DROP TABLE plugin_grants;
ALTER TABLE plugins DROP COLUMN source;
ALTER TABLE plugins DROP COLUMN purge;
