-- What follows from a decision, whoever makes it: its revision, its entry in the journal, and a row for all processes that
-- follow `plugin_changes`.
--
-- These triggers run in whatever program changes the file. They use only what sqlite3 3.8 knows: no JSON functions, no upsert,
-- no `RETURNING`.

CREATE TRIGGER plugins_insert AFTER INSERT ON plugins
BEGIN
    UPDATE registry_clock SET revision = revision + 1, deciding = 1;
    UPDATE plugins SET revision = (SELECT revision FROM registry_clock), registered = (SELECT revision FROM registry_clock)
        WHERE name = NEW.name;
    UPDATE registry_clock SET deciding = 0;
    INSERT INTO plugin_journal (node, plugin, what, actor) SELECT node, NEW.name, 'registered', actor FROM registry_clock;
    INSERT INTO plugin_changes (op, name, revision) SELECT 'INSERT', NEW.name, revision FROM registry_clock;
END;

CREATE TRIGGER plugins_name BEFORE UPDATE OF name ON plugins WHEN NEW.name IS NOT OLD.name
BEGIN
    SELECT RAISE(ABORT, 'the name of a plugin cannot be changed: it is the name of its package');
END;

-- Whoever writes the revision asks for a new one.
CREATE TRIGGER plugins_update
AFTER UPDATE OF enabled, config, version, artifact_digest, fingerprint, reloads, removed, revision ON plugins
WHEN (SELECT deciding FROM registry_clock) = 0
    AND (NEW.enabled IS NOT OLD.enabled OR NEW.config IS NOT OLD.config OR NEW.version IS NOT OLD.version
        OR NEW.artifact_digest IS NOT OLD.artifact_digest OR NEW.fingerprint IS NOT OLD.fingerprint
        OR NEW.reloads IS NOT OLD.reloads OR NEW.removed IS NOT OLD.removed OR NEW.revision IS NOT OLD.revision)
BEGIN
    -- An operator (no node) names either the artifact or the version; the other one follows. Our own writes name both.
    SELECT RAISE(ABORT, 'there is no artifact of this plugin in this version: SELECT version, digest FROM artifacts lists them')
        WHERE (SELECT node FROM registry_clock) IS NULL AND NEW.version IS NOT OLD.version
            AND NEW.artifact_digest IS OLD.artifact_digest
            AND NOT EXISTS (SELECT 1 FROM artifacts WHERE plugin = NEW.name AND version = NEW.version);
    UPDATE registry_clock SET revision = revision + 1, deciding = 1;
    UPDATE plugins SET
            version = coalesce((SELECT version FROM artifacts WHERE plugin = NEW.name AND digest = NEW.artifact_digest
                ORDER BY number DESC LIMIT 1), version),
            fingerprint = CASE WHEN NEW.fingerprint IS OLD.fingerprint THEN NULL ELSE NEW.fingerprint END
        WHERE name = NEW.name AND (SELECT node FROM registry_clock) IS NULL
            AND NEW.artifact_digest IS NOT OLD.artifact_digest AND NEW.version IS OLD.version;
    UPDATE plugins SET
            artifact_digest = (SELECT digest FROM artifacts WHERE plugin = NEW.name AND version = NEW.version
                ORDER BY number DESC LIMIT 1),
            fingerprint = (SELECT fingerprint FROM artifacts WHERE plugin = NEW.name AND version = NEW.version
                ORDER BY number DESC LIMIT 1)
        WHERE name = NEW.name AND (SELECT node FROM registry_clock) IS NULL
            AND NEW.version IS NOT OLD.version AND NEW.artifact_digest IS OLD.artifact_digest;
    UPDATE plugins SET
            revision = (SELECT revision FROM registry_clock),
            registered = CASE WHEN OLD.removed AND NOT NEW.removed THEN (SELECT revision FROM registry_clock)
                ELSE registered END,
            updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now')
        WHERE name = NEW.name;
    UPDATE registry_clock SET deciding = 0;

    INSERT INTO plugin_journal (node, plugin, what, actor) SELECT node, NEW.name, 'registered', actor FROM registry_clock
        WHERE OLD.removed AND NOT NEW.removed;
    INSERT INTO plugin_journal (node, plugin, what, actor) SELECT node, NEW.name, 'removed', actor FROM registry_clock
        WHERE NEW.removed AND NOT OLD.removed;
    INSERT INTO plugin_journal (node, plugin, what, actor)
        SELECT node, NEW.name, CASE WHEN NEW.enabled THEN 'enabled' ELSE 'disabled' END, actor FROM registry_clock
        WHERE NEW.enabled IS NOT OLD.enabled AND NEW.removed IS OLD.removed;
    INSERT INTO plugin_journal (node, plugin, what, actor) SELECT node, NEW.name, 'configured', actor FROM registry_clock
        WHERE NEW.config IS NOT OLD.config AND NEW.removed IS OLD.removed;
    INSERT INTO plugin_journal (node, plugin, what, actor) SELECT node, NEW.name, 'reload', actor FROM registry_clock
        WHERE NEW.reloads IS NOT OLD.reloads AND NEW.removed IS OLD.removed;
    INSERT INTO plugin_journal (node, plugin, what, actor, detail)
        SELECT registry_clock.node, NEW.name, 'agreed', registry_clock.actor,
            '{"digest":' || coalesce('"' || plugins.artifact_digest || '"', 'null')
                || ',"version":"' || replace(replace(plugins.version, '\', '\\'), '"', '\"') || '"}'
        FROM registry_clock, plugins
        WHERE plugins.name = NEW.name AND plugins.artifact_digest IS NOT OLD.artifact_digest AND NEW.removed IS OLD.removed;
    INSERT INTO plugin_changes (op, name, revision) SELECT 'UPDATE', NEW.name, revision FROM registry_clock;
END;

-- Foreign keys are off in most clients: what belongs to the row is deleted here.
CREATE TRIGGER plugins_delete AFTER DELETE ON plugins
BEGIN
    UPDATE registry_clock SET revision = revision + 1;
    DELETE FROM plugin_endpoints WHERE plugin = OLD.name;
    DELETE FROM plugin_quarantine WHERE plugin = OLD.name;
    DELETE FROM node_plugins WHERE plugin = OLD.name;
    UPDATE rollouts SET state = 'failed', reason = 'the record was deleted' WHERE plugin = OLD.name AND state = 'open';
    INSERT INTO plugin_journal (node, plugin, what, actor) SELECT node, OLD.name, 'deleted', actor FROM registry_clock;
    INSERT INTO plugin_changes (op, name, revision) SELECT 'DELETE', OLD.name, revision FROM registry_clock;
END;

-- A quarantine is part of what is decided about the plugin.
CREATE TRIGGER quarantine_insert AFTER INSERT ON plugin_quarantine
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = NEW.plugin;
    INSERT INTO plugin_journal (node, plugin, what, actor, detail)
        SELECT node, NEW.plugin, 'quarantined', actor,
            '{"digest":"' || NEW.digest || '","reason":"'
                || replace(replace(replace(NEW.reason, '\', '\\'), '"', '\"'), char(10), '\n') || '"}'
        FROM registry_clock;
END;

CREATE TRIGGER quarantine_update AFTER UPDATE ON plugin_quarantine
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = NEW.plugin;
END;

CREATE TRIGGER quarantine_delete AFTER DELETE ON plugin_quarantine
WHEN EXISTS (SELECT 1 FROM plugins WHERE name = OLD.plugin)
BEGIN
    UPDATE plugins SET revision = 0 WHERE name = OLD.plugin;
    INSERT INTO plugin_journal (node, plugin, what, actor, detail)
        SELECT node, OLD.plugin, 'pardoned', actor, '{"digest":"' || OLD.digest || '"}' FROM registry_clock;
END;

-- For everything else it is enough to say that something came.
CREATE TRIGGER rollouts_insert AFTER INSERT ON rollouts BEGIN UPDATE registry_clock SET fleet = fleet + 1; END;
CREATE TRIGGER rollouts_update AFTER UPDATE ON rollouts BEGIN UPDATE registry_clock SET fleet = fleet + 1; END;
CREATE TRIGGER answers_insert AFTER INSERT ON rollout_answers BEGIN UPDATE registry_clock SET fleet = fleet + 1; END;
CREATE TRIGGER answers_update AFTER UPDATE ON rollout_answers BEGIN UPDATE registry_clock SET fleet = fleet + 1; END;
CREATE TRIGGER artifacts_insert AFTER INSERT ON artifacts BEGIN UPDATE registry_clock SET fleet = fleet + 1; END;
CREATE TRIGGER artifacts_update AFTER UPDATE ON artifacts BEGIN UPDATE registry_clock SET fleet = fleet + 1; END;
CREATE TRIGGER rights_delete AFTER DELETE ON build_rights BEGIN UPDATE registry_clock SET fleet = fleet + 1; END;
CREATE TRIGGER tokens_insert AFTER INSERT ON api_tokens BEGIN UPDATE registry_clock SET tokens = tokens + 1; END;
CREATE TRIGGER tokens_update AFTER UPDATE ON api_tokens BEGIN UPDATE registry_clock SET tokens = tokens + 1; END;
CREATE TRIGGER tokens_delete AFTER DELETE ON api_tokens BEGIN UPDATE registry_clock SET tokens = tokens + 1; END;

-- What is wanted of each plugin, and what each node serves of it.
CREATE VIEW plugin_status AS
    SELECT plugins.name, plugins.enabled, plugins.removed, plugins.version AS wanted_version,
           plugins.artifact_digest AS wanted_artifact, plugins.revision AS wanted_revision,
           served.node, served.state, served.reason, served.generation, served.version, served.artifact_digest,
           served.revision, nodes.heard_at
    FROM plugins
    LEFT JOIN node_plugins AS served ON served.plugin = plugins.name
    LEFT JOIN nodes ON nodes.id = served.node;
