-- Where a plugin's code runs, if an operator decided that: in the server's process, or in one of its own.
ALTER TABLE plugins ADD COLUMN isolation TEXT CHECK (isolation IN ('process', 'none'));

-- It is part of what is decided about the plugin.
CREATE TRIGGER plugins_isolation AFTER UPDATE OF isolation ON plugins WHEN NEW.isolation IS NOT OLD.isolation
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = NEW.name;
    INSERT INTO plugin_journal (node, plugin, what, actor, detail)
        SELECT node, NEW.name, 'isolated', actor, '{"isolation":' || coalesce('"' || NEW.isolation || '"', 'null') || '}'
        FROM registry_clock;
END;
