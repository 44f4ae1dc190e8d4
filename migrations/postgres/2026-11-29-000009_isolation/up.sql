-- Where a plugin's code runs, if an operator decided that: in the server's process, or in one of its own.
ALTER TABLE plugins ADD COLUMN isolation TEXT CONSTRAINT an_isolation CHECK (isolation IN ('process', 'none'));

-- It is part of what is decided about the plugin.
CREATE FUNCTION decide_isolation() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = NEW.name;
    INSERT INTO plugin_journal (node, plugin, what, actor, detail)
        VALUES (camlock_node(), NEW.name, 'isolated', camlock_actor(), jsonb_build_object('isolation', NEW.isolation));
    RETURN NULL;
END
$$;

CREATE TRIGGER plugins_isolation AFTER UPDATE OF isolation ON plugins
    FOR EACH ROW WHEN (NEW.isolation IS DISTINCT FROM OLD.isolation) EXECUTE FUNCTION decide_isolation();
