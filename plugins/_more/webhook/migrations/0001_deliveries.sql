-- What was to be delivered, and what became of it. Times are in milliseconds since 1970.
CREATE TABLE p_webhook__deliveries (
    id TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    -- waiting, delivered, failed
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- The status that was last answered.
    status BIGINT,
    error TEXT,
    made BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
CREATE INDEX p_webhook__deliveries_made ON p_webhook__deliveries (endpoint, made);
CREATE INDEX p_webhook__deliveries_changed ON p_webhook__deliveries (state, changed);

-- Endpoints that said that they are gone.
CREATE TABLE p_webhook__disabled (
    endpoint TEXT PRIMARY KEY,
    why TEXT NOT NULL,
    since BIGINT NOT NULL
);
