-- Which topics plugins emit by SQL: what their manifests ask for and was granted, as servers write it that run them. What is on record of
-- grants is looked at besides, each time: so what is revoked is refused from the moment of the revocation on, whichever server hears of
-- it when.
CREATE TABLE event_emitters (
    role TEXT NOT NULL,
    plugin TEXT NOT NULL,
    pattern TEXT NOT NULL,
    PRIMARY KEY (role, pattern)
);

-- No backslashes in patterns: what they mean is a setting of the plugin's session.
DO $camlock$
BEGIN
    EXECUTE format($function$
        CREATE FUNCTION %1$I._check_emit(mine TEXT, topic TEXT)
        RETURNS VOID LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE is_there BOOLEAN;
        BEGIN
            -- Such a transaction sees what was granted when it began. If anything was decided of the plugin since then, this fails; who
            -- is deciding now is not waited for, and the lock is let go at once, so that nobody waits for this transaction either.
            IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
                BEGIN
                    PERFORM 1 FROM %1$I.plugins p WHERE p.name = mine FOR SHARE SKIP LOCKED;
                    is_there := FOUND;
                    RAISE EXCEPTION USING ERRCODE = 'CL001';
                EXCEPTION WHEN SQLSTATE 'CL001' THEN NULL;
                END;
                IF NOT is_there THEN
                    RAISE EXCEPTION 'something is being decided of this plugin' USING ERRCODE = 'serialization_failure';
                END IF;
            END IF;
            IF NOT EXISTS (
                SELECT 1 FROM %1$I.event_emitters e
                JOIN %1$I.plugins p ON p.name = e.plugin AND NOT p.removed
                LEFT JOIN %1$I.plugin_grants g ON g.plugin = p.name AND g.source = p.source
                WHERE e.role = session_user AND e.plugin = mine
                    AND '.' || topic ~ ('^' || replace(replace(replace(regexp_replace('.' || e.pattern, '[.][*][*]$', '<'),
                        '.', '[.]'), '*', '[^.]+'), '<', '([.][^.]+)*') || '$')
                    AND (g.granted IS NULL OR g.granted = 'asked' OR EXISTS (
                        SELECT 1 FROM unnest(string_to_array(g.granted, ' ')) AS one (permission)
                        WHERE one.permission = 'events:emit:' || e.pattern
                            OR right(one.permission, 1) = '*' AND starts_with('events:emit:' || e.pattern, left(one.permission, -1))
                    ))
            ) THEN
                RAISE EXCEPTION '`events:emit:%%` is not granted to this plugin', topic USING ERRCODE = 'insufficient_privilege';
            END IF;
        END $body$
    $function$, current_schema());
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I._emit_bytes(topic TEXT, payload BYTEA, trace BYTEA, depth BIGINT)
        RETURNS VOID LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE mine TEXT;
        BEGIN
            SELECT r.plugin INTO mine FROM %1$I._plugin_roles r WHERE r.run = session_user;
            IF mine IS NULL THEN
                RAISE EXCEPTION 'events are emitted by plugins, each by its own role' USING ERRCODE = '42501';
            ELSIF NOT starts_with(topic, 'plugin.' || mine || '.') THEN
                RAISE EXCEPTION 'the topics of this plugin begin with plugin.%%.', mine USING ERRCODE = '42501';
            ELSIF octet_length(topic) > 200 OR topic !~ '^[A-Za-z0-9_-]{1,64}([.][A-Za-z0-9_-]{1,64})*$' THEN
                RAISE EXCEPTION 'that is no topic' USING ERRCODE = '22023';
            ELSIF octet_length(payload) > 262144 OR octet_length(trace) <> 16 OR depth NOT BETWEEN 0 AND 16 THEN
                RAISE EXCEPTION 'an event says 262144 bytes at most' USING ERRCODE = '22023';
            END IF;
            PERFORM %1$I._check_emit(mine, topic);
            INSERT INTO %1$I.events (topic, payload, at, trace, depth)
                VALUES (topic, payload, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT), trace, depth);
        END $body$
    $function$, current_schema());
END
$camlock$;
REVOKE ALL ON FUNCTION _check_emit(TEXT, TEXT) FROM PUBLIC;
