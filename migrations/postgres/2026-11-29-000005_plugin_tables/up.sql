-- Plugins' own tables: which of their migrations have run, and how one gets on record.
--
-- A plugin's tables are made by a role of its own, which may not write here. It asks for that through a function, with a ticket that
-- the host wrote down and that no plugin's SQL ever sees.
CREATE TABLE _plugin_migrations (
    plugin TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    contracts BOOLEAN NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plugin, number)
);

-- Its row is what servers lock that run migrations of one plugin.
CREATE TABLE _plugin_roles (plugin TEXT PRIMARY KEY, migrate TEXT NOT NULL UNIQUE);

-- One row: of this the passwords of all these roles are made. Whoever can read it could set them.
CREATE TABLE _plugin_role_key (
    only_one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_one),
    key BYTEA NOT NULL CHECK (length(key) = 32)
);

CREATE TABLE _plugin_tickets (
    ticket TEXT PRIMARY KEY,
    migrate TEXT NOT NULL,
    plugin TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    contracts BOOLEAN NOT NULL,
    made_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

-- Functions that run with the host's rights name everything in full: a role's search path means nothing to them.
DO $camlock$
BEGIN
    EXECUTE format($function$
        CREATE FUNCTION %1$I._plugin_migration_begin()
        RETURNS TABLE (done_number INTEGER, done_name TEXT, done_checksum TEXT, done_contracts BOOLEAN)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE mine TEXT;
        BEGIN
            SELECT plugin INTO mine FROM %1$I._plugin_roles WHERE migrate = session_user FOR UPDATE;
            RETURN QUERY SELECT number, name, checksum, contracts FROM %1$I._plugin_migrations
                WHERE plugin = mine ORDER BY number;
        END $body$
    $function$, current_schema());
    EXECUTE format($function$
        CREATE FUNCTION %1$I._plugin_migration_done(shown TEXT)
        RETURNS BOOLEAN LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            WITH used AS (
                DELETE FROM %1$I._plugin_tickets WHERE ticket = shown AND migrate = session_user
                RETURNING plugin, number, name, checksum, contracts
            )
            INSERT INTO %1$I._plugin_migrations (plugin, number, name, checksum, contracts) SELECT * FROM used;
            RETURN FOUND;
        END $body$
    $function$, current_schema());
    -- Called by the host, in the transaction in which a plugin's tables go. The right that is revoked is one of a column, which who has
    -- it cannot drop.
    EXECUTE format($function$
        CREATE FUNCTION %1$I._plugin_forget()
        RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            DELETE FROM %1$I._plugin_migrations
                WHERE plugin = (SELECT r.plugin FROM %1$I._plugin_roles r WHERE r.migrate = session_user);
            LOCK TABLE %1$I._plugin_roles IN SHARE ROW EXCLUSIVE MODE;
            EXECUTE pg_catalog.format('REVOKE ALL (name) ON %%I.plugins FROM %%I', %1$L, session_user);
        END $body$
    $function$, current_schema());
END
$camlock$;
REVOKE ALL ON FUNCTION _plugin_migration_begin(), _plugin_migration_done(TEXT), _plugin_forget() FROM PUBLIC;

-- What plugins with tables of their own may know of others.
CREATE VIEW camlock_plugins AS
    SELECT name, version, enabled FROM plugins WHERE NOT removed;
