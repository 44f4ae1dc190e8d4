DO $camlock$
BEGIN
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
            ELSIF octet_length(topic) > 200 OR topic !~ '^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64})*$' THEN
                RAISE EXCEPTION 'that is no topic' USING ERRCODE = '22023';
            ELSIF octet_length(payload) > 262144 OR octet_length(trace) <> 16 OR depth NOT BETWEEN 0 AND 16 THEN
                RAISE EXCEPTION 'an event says 262144 bytes at most' USING ERRCODE = '22023';
            END IF;
            INSERT INTO %1$I.events (topic, payload, at, trace, depth)
                VALUES (topic, payload, CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT), trace, depth);
        END $body$
    $function$, current_schema());
END
$camlock$;
DROP FUNCTION _check_emit(TEXT, TEXT);
DROP TABLE event_emitters;
