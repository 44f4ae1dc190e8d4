-- What plugins may. `source` is where a plugin came from; what was granted to one from elsewhere is not granted to it.
ALTER TABLE plugins ADD COLUMN source TEXT NOT NULL DEFAULT 'directory'
    CONSTRAINT a_source CHECK (source IN ('directory', 'upload') OR source LIKE 'catalog:_%');

-- What it kept goes with it once it is removed.
ALTER TABLE plugins ADD COLUMN purge BOOLEAN NOT NULL DEFAULT false;

-- `granted`: `asked`, for whatever each version asks for, or permissions with a blank between two.
CREATE TABLE plugin_grants (
    plugin  TEXT NOT NULL REFERENCES plugins ON DELETE CASCADE,
    source  TEXT NOT NULL DEFAULT 'directory'
        CONSTRAINT a_source CHECK (source IN ('directory', 'upload') OR source LIKE 'catalog:_%'),
    granted TEXT NOT NULL CONSTRAINT permissions_with_blanks CHECK (granted !~ '["\\[:cntrl:]]'),
    at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plugin, source)
);

-- What is granted is part of what is decided about the plugin.
CREATE FUNCTION decide_grants() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    row plugin_grants%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN row := OLD; ELSE row := NEW; END IF;
    UPDATE plugins SET revision = 0 WHERE name = row.plugin;
    IF FOUND THEN
        INSERT INTO plugin_journal (node, plugin, what, actor, detail)
            VALUES (camlock_node(), row.plugin, 'granted', camlock_actor(), jsonb_build_object(
                'source', row.source, 'granted', CASE TG_OP WHEN 'DELETE' THEN NULL ELSE row.granted END));
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER grants_decide AFTER INSERT OR UPDATE OR DELETE ON plugin_grants
    FOR EACH ROW EXECUTE FUNCTION decide_grants();
