DROP TRIGGER plugins_isolation ON plugins;
DROP FUNCTION decide_isolation();
ALTER TABLE plugins DROP COLUMN isolation;
