-- What follows from a decision, whoever makes it: its revision, its entry in the journal, and word of it to all who listen.
--
-- Functions keep the search path of this migration, so that a client with any other one can write `camlock.plugins`.

-- Who is at work: what our own transactions say of themselves, else an operator with an SQL client.
CREATE FUNCTION camlock_actor() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('camlock.actor', true), ''), 'registry')
$$;

CREATE FUNCTION camlock_node() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('camlock.node', true), '')
$$;

CREATE FUNCTION decide_plugin() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    known artifacts%ROWTYPE;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.name <> OLD.name THEN
            RAISE EXCEPTION 'the name of plugin % cannot be changed: it is the name of its package', OLD.name;
        END IF;
        -- Whoever writes the revision asks for a new one.
        IF (NEW.enabled, NEW.config, NEW.version, NEW.artifact_digest, NEW.fingerprint, NEW.reloads, NEW.removed, NEW.revision)
            IS NOT DISTINCT FROM
            (OLD.enabled, OLD.config, OLD.version, OLD.artifact_digest, OLD.fingerprint, OLD.reloads, OLD.removed, OLD.revision)
        THEN
            RETURN NEW;
        END IF;
        -- An operator (no node) names either the artifact or the version; the other one follows. Our own writes name both.
        IF camlock_node() IS NULL AND NEW.artifact_digest IS DISTINCT FROM OLD.artifact_digest THEN
            IF NEW.fingerprint IS NOT DISTINCT FROM OLD.fingerprint THEN
                NEW.fingerprint := NULL;
            END IF;
            IF NEW.version = OLD.version THEN
                SELECT * INTO known FROM artifacts WHERE digest = NEW.artifact_digest AND plugin = NEW.name
                    ORDER BY number DESC LIMIT 1;
                NEW.version := coalesce(known.version, NEW.version);
            END IF;
        ELSIF camlock_node() IS NULL AND NEW.version <> OLD.version THEN
            SELECT * INTO known FROM artifacts WHERE version = NEW.version AND plugin = NEW.name
                ORDER BY number DESC LIMIT 1;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'there is no artifact of plugin % in version %', NEW.name, NEW.version
                    USING HINT = 'Those that there are: SELECT version, digest FROM ' || quote_ident(TG_TABLE_SCHEMA)
                        || '.artifacts WHERE plugin = ' || quote_literal(NEW.name);
            END IF;
            NEW.artifact_digest := known.digest;
            NEW.fingerprint := known.fingerprint;
        END IF;
        NEW.updated_at := clock_timestamp();
    END IF;
    NEW.revision := nextval('plugin_revisions');
    IF TG_OP = 'INSERT' OR (OLD.removed AND NOT NEW.removed) THEN
        NEW.registered := NEW.revision;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER plugins_decide BEFORE INSERT OR UPDATE ON plugins FOR EACH ROW EXECUTE FUNCTION decide_plugin();

CREATE FUNCTION notify_plugin_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pg_notify('plugin_changes',
            json_build_object('op', TG_OP, 'name', OLD.name, 'revision', nextval('plugin_revisions'))::text);
    ELSIF TG_OP = 'INSERT' OR NEW.revision <> OLD.revision THEN
        PERFORM pg_notify('plugin_changes',
            json_build_object('op', TG_OP, 'name', NEW.name, 'revision', NEW.revision)::text);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER plugins_notify AFTER INSERT OR UPDATE OR DELETE ON plugins
    FOR EACH ROW EXECUTE FUNCTION notify_plugin_change();

CREATE FUNCTION note_plugin_decision() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    whats text[] := '{}';
    whole jsonb := '{}';
    what_is text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        whats := ARRAY['deleted'];
        DELETE FROM node_plugins WHERE plugin = OLD.name;
        UPDATE rollouts SET state = 'failed', reason = 'the record was deleted' WHERE plugin = OLD.name AND state = 'open';
    ELSIF TG_OP = 'INSERT' OR (OLD.removed AND NOT NEW.removed) THEN
        whats := ARRAY['registered'];
    ELSIF NEW.removed AND NOT OLD.removed THEN
        whats := ARRAY['removed'];
    ELSE
        IF NEW.enabled <> OLD.enabled THEN
            whats := whats || CASE WHEN NEW.enabled THEN 'enabled' ELSE 'disabled' END;
        END IF;
        IF NEW.config <> OLD.config THEN
            whats := whats || 'configured'::text;
        END IF;
        IF NEW.reloads <> OLD.reloads THEN
            whats := whats || 'reload'::text;
        END IF;
        IF NEW.artifact_digest IS DISTINCT FROM OLD.artifact_digest THEN
            whats := whats || 'agreed'::text;
            whole := jsonb_build_object('digest', NEW.artifact_digest, 'version', NEW.version);
        END IF;
    END IF;
    FOREACH what_is IN ARRAY whats LOOP
        INSERT INTO plugin_journal (node, plugin, what, actor, detail)
            VALUES (camlock_node(), coalesce(NEW.name, OLD.name), what_is, camlock_actor(),
                    CASE what_is WHEN 'agreed' THEN whole ELSE '{}' END);
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER plugins_note AFTER INSERT OR UPDATE OR DELETE ON plugins
    FOR EACH ROW EXECUTE FUNCTION note_plugin_decision();

-- A quarantine is part of what is decided about the plugin.
CREATE FUNCTION decide_quarantine() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    row plugin_quarantine%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN row := OLD; ELSE row := NEW; END IF;
    UPDATE plugins SET revision = 0 WHERE name = row.plugin;
    IF FOUND THEN
        INSERT INTO plugin_journal (node, plugin, what, actor, detail)
            VALUES (camlock_node(), row.plugin, CASE TG_OP WHEN 'DELETE' THEN 'pardoned' ELSE 'quarantined' END,
                    camlock_actor(), jsonb_build_object('digest', row.digest, 'reason', row.reason));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER quarantine_decide AFTER INSERT OR UPDATE OR DELETE ON plugin_quarantine
    FOR EACH ROW EXECUTE FUNCTION decide_quarantine();

-- For everything else it is enough to say that something came.
CREATE FUNCTION notify_camlock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], TG_TABLE_SCHEMA);
    RETURN NULL;
END
$$;

CREATE TRIGGER journal_notify AFTER INSERT ON plugin_journal
    FOR EACH STATEMENT EXECUTE FUNCTION notify_camlock('camlock_journal');
CREATE TRIGGER tokens_notify AFTER INSERT OR UPDATE OR DELETE ON api_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION notify_camlock('camlock_tokens');
CREATE TRIGGER rollouts_notify AFTER INSERT OR UPDATE ON rollouts
    FOR EACH STATEMENT EXECUTE FUNCTION notify_camlock('camlock_fleet');
CREATE TRIGGER answers_notify AFTER INSERT OR UPDATE ON rollout_answers
    FOR EACH STATEMENT EXECUTE FUNCTION notify_camlock('camlock_fleet');
CREATE TRIGGER artifacts_notify AFTER INSERT OR UPDATE ON artifacts
    FOR EACH STATEMENT EXECUTE FUNCTION notify_camlock('camlock_fleet');
CREATE TRIGGER rights_notify AFTER DELETE ON build_rights
    FOR EACH STATEMENT EXECUTE FUNCTION notify_camlock('camlock_fleet');

-- What is wanted of each plugin, and what each node serves of it.
CREATE VIEW plugin_status AS
    SELECT plugins.name, plugins.enabled, plugins.removed, plugins.version AS wanted_version,
           plugins.artifact_digest AS wanted_artifact, plugins.revision AS wanted_revision,
           served.node, served.state, served.reason, served.generation, served.version, served.artifact_digest,
           served.revision, nodes.heard_at
    FROM plugins
    LEFT JOIN node_plugins AS served ON served.plugin = plugins.name
    LEFT JOIN nodes ON nodes.id = served.node;
