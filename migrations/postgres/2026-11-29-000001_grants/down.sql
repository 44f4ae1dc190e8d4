DROP TABLE plugin_grants;
DROP FUNCTION decide_grants();
ALTER TABLE plugins DROP COLUMN source;
ALTER TABLE plugins DROP COLUMN purge;
