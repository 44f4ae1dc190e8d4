-- Events that are kept until they are handled. They are written in any order, and numbered by one server after the other, which locks
-- the first row of `event_heads` for that: so numbers have no gaps, and are in the order in which events can be read.
CREATE TABLE events (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic TEXT COLLATE "C" NOT NULL,
    payload BYTEA NOT NULL,
    -- In microseconds since 1970.
    at BIGINT NOT NULL,
    trace BYTEA NOT NULL,
    depth BIGINT NOT NULL,
    -- Among all events, and among those of its topic.
    number BIGINT,
    position BIGINT
);
CREATE UNIQUE INDEX events_number ON events (number) WHERE number IS NOT NULL;
CREATE INDEX events_unnumbered ON events (id) WHERE number IS NULL;

-- The last number of each topic; that of no topic is the last of all.
CREATE TABLE event_heads (topic TEXT COLLATE "C" PRIMARY KEY, last BIGINT NOT NULL);
INSERT INTO event_heads (topic, last) VALUES ('', 0);

-- Who hears of them: once for all servers (the node is empty), or once for each.
CREATE TABLE subscriptions (
    id TEXT NOT NULL,
    node TEXT NOT NULL,
    plugin TEXT NOT NULL,
    pattern TEXT NOT NULL,
    deliver TEXT NOT NULL,
    -- Up to this number everything is handled, or given up.
    done BIGINT NOT NULL,
    -- Of the next event.
    attempts BIGINT NOT NULL DEFAULT 0,
    due BIGINT NOT NULL DEFAULT 0,
    -- So many in a row were given up.
    given_up BIGINT NOT NULL DEFAULT 0,
    paused TEXT,
    reason TEXT,
    delivered BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    lost BIGINT NOT NULL DEFAULT 0,
    -- Who brings events to it, until when, and how often that changed. Times are in milliseconds since 1970.
    holder TEXT NOT NULL DEFAULT '',
    held BIGINT NOT NULL DEFAULT 0,
    epoch BIGINT NOT NULL DEFAULT 0,
    seen BIGINT NOT NULL,
    PRIMARY KEY (id, node)
);

-- What was given up, with all that it says: it is there however long that is.
CREATE TABLE event_dead (
    subscription TEXT NOT NULL,
    node TEXT NOT NULL,
    number BIGINT NOT NULL,
    plugin TEXT NOT NULL,
    topic TEXT NOT NULL,
    position BIGINT NOT NULL,
    payload BYTEA NOT NULL,
    at BIGINT NOT NULL,
    trace BYTEA NOT NULL,
    depth BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    reason TEXT NOT NULL,
    died BIGINT NOT NULL,
    replay BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (subscription, node, number)
);

-- Plugins emit within their own transactions, by the role that they log in as: the function knows them by it.
ALTER TABLE _plugin_roles ADD COLUMN run TEXT UNIQUE;
DO $camlock$
BEGIN
    EXECUTE format($function$
        CREATE FUNCTION %1$I._emit_bytes(topic TEXT, payload BYTEA, trace BYTEA, depth BIGINT)
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
    EXECUTE format($function$
        CREATE FUNCTION %1$I.emit(topic TEXT, payload JSONB)
        RETURNS BOOLEAN LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            PERFORM %1$I._emit_bytes(topic, convert_to(payload::text, 'UTF8'), decode(repeat('00', 16), 'hex'), 0);
            RETURN TRUE;
        END $body$
    $function$, current_schema());
END
$camlock$;
REVOKE ALL ON FUNCTION _emit_bytes(TEXT, BYTEA, BYTEA, BIGINT), emit(TEXT, JSONB) FROM PUBLIC;
