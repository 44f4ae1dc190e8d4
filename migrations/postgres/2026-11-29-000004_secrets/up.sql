-- What the masks in plugins' configurations stand for, sealed with the key that `key_id` names. `pointer` is the place (RFC 6901).
CREATE TABLE plugin_secrets (
    plugin  TEXT NOT NULL REFERENCES plugins ON DELETE CASCADE,
    pointer TEXT NOT NULL,
    key_id  TEXT NOT NULL,
    sealed  BYTEA NOT NULL,
    at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plugin, pointer)
);

-- Which key that is: one row, with something that only this key opens. Who writes it first decides.
CREATE TABLE secrets_key (
    one    BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    key_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    at     TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

-- A secret is part of what is decided about the plugin. Sealed anew with another key it is the same.
CREATE FUNCTION decide_secrets() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    row plugin_secrets%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN row := OLD; ELSE row := NEW; END IF;
    UPDATE plugins SET revision = 0 WHERE name = row.plugin;
    IF FOUND AND NOT (TG_OP = 'UPDATE' AND OLD.key_id <> NEW.key_id) THEN
        INSERT INTO plugin_journal (node, plugin, what, actor)
            VALUES (camlock_node(), row.plugin, CASE TG_OP WHEN 'DELETE' THEN 'secret-removed' ELSE 'secret-set' END,
                    camlock_actor());
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER secrets_decide AFTER INSERT OR UPDATE OR DELETE ON plugin_secrets
    FOR EACH ROW EXECUTE FUNCTION decide_secrets();
