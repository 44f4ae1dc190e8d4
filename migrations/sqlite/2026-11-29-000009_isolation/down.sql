DROP TRIGGER plugins_isolation;
ALTER TABLE plugins DROP COLUMN isolation;
