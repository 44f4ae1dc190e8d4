-- What the masks in plugins' configurations stand for, sealed with the key that `key_id` names. `pointer` is the place (RFC 6901).
CREATE TABLE plugin_secrets (
    plugin  TEXT NOT NULL REFERENCES plugins ON DELETE CASCADE,
    pointer TEXT NOT NULL,
    key_id  TEXT NOT NULL,
    sealed  BLOB NOT NULL CHECK (typeof(sealed) = 'blob'),
    at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (plugin, pointer)
);

-- Which key that is: one row, with something that only this key opens. Who writes it first decides.
CREATE TABLE secrets_key (
    one    BOOLEAN NOT NULL PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL CHECK (typeof(sealed) = 'blob'),
    at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

-- A secret is part of what is decided about the plugin. Sealed anew with another key it is the same.
CREATE TRIGGER secrets_insert AFTER INSERT ON plugin_secrets
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = NEW.plugin;
    INSERT INTO plugin_journal (node, plugin, what, actor) SELECT node, NEW.plugin, 'secret-set', actor FROM registry_clock;
END;

CREATE TRIGGER secrets_update AFTER UPDATE ON plugin_secrets
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = NEW.plugin;
    INSERT INTO plugin_journal (node, plugin, what, actor) SELECT node, NEW.plugin, 'secret-set', actor FROM registry_clock
        WHERE NEW.key_id IS OLD.key_id;
END;

CREATE TRIGGER secrets_delete AFTER DELETE ON plugin_secrets
WHEN EXISTS (SELECT 1 FROM plugins WHERE name = OLD.plugin)
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = OLD.plugin;
    INSERT INTO plugin_journal (node, plugin, what, actor)
        SELECT node, OLD.plugin, 'secret-removed', actor FROM registry_clock;
END;

-- Foreign keys are off in most clients: what belongs to the row is deleted here.
CREATE TRIGGER plugins_delete_secrets AFTER DELETE ON plugins
BEGIN
    DELETE FROM plugin_secrets WHERE plugin = OLD.name;
END;
