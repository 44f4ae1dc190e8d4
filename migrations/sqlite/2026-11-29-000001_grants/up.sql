-- What plugins may. `source` is where a plugin came from; what was granted to one from elsewhere is not granted to it.
ALTER TABLE plugins ADD COLUMN source TEXT NOT NULL DEFAULT 'directory'
    CHECK (source IN ('directory', 'upload') OR source GLOB 'catalog:?*');

-- What it kept goes with it once it is removed.
ALTER TABLE plugins ADD COLUMN purge BOOLEAN NOT NULL DEFAULT 0 CHECK (purge IN (0, 1));

-- `granted`: `asked`, for whatever each version asks for, or permissions with a blank between two.
CREATE TABLE plugin_grants (
    plugin  TEXT NOT NULL REFERENCES plugins ON DELETE CASCADE,
    source  TEXT NOT NULL DEFAULT 'directory' CHECK (source IN ('directory', 'upload') OR source GLOB 'catalog:?*'),
    granted TEXT NOT NULL CONSTRAINT permissions_with_blanks CHECK (
        typeof(granted) = 'text' AND instr(granted, '"') = 0 AND instr(granted, '\') = 0
        AND granted NOT GLOB ('*[' || char(1) || '-' || char(31) || ']*') AND instr(CAST(granted AS BLOB), x'00') = 0
    ),
    at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (plugin, source)
);

-- What is granted is part of what is decided about the plugin.
CREATE TRIGGER grants_insert AFTER INSERT ON plugin_grants
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = NEW.plugin;
    INSERT INTO plugin_journal (node, plugin, what, actor, detail)
        SELECT node, NEW.plugin, 'granted', actor, '{"source":"' || NEW.source || '","granted":"' || NEW.granted || '"}'
        FROM registry_clock;
END;

CREATE TRIGGER grants_update AFTER UPDATE ON plugin_grants
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = NEW.plugin;
    INSERT INTO plugin_journal (node, plugin, what, actor, detail)
        SELECT node, NEW.plugin, 'granted', actor, '{"source":"' || NEW.source || '","granted":"' || NEW.granted || '"}'
        FROM registry_clock;
END;

CREATE TRIGGER grants_delete AFTER DELETE ON plugin_grants
WHEN EXISTS (SELECT 1 FROM plugins WHERE name = OLD.plugin)
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = OLD.plugin;
    INSERT INTO plugin_journal (node, plugin, what, actor, detail)
        SELECT node, OLD.plugin, 'granted', actor, '{"source":"' || OLD.source || '","granted":null}' FROM registry_clock;
END;

-- Foreign keys are off in most clients: what belongs to the row is deleted here.
CREATE TRIGGER plugins_delete_grants AFTER DELETE ON plugins
BEGIN
    DELETE FROM plugin_grants WHERE plugin = OLD.name;
END;
