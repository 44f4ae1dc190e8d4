-- Every event that was heard of, in one chain.
CREATE TABLE p_audit_log__events (
    number BIGINT PRIMARY KEY,
    topic TEXT NOT NULL,
    -- Microseconds since 1970.
    at BIGINT NOT NULL,
    -- Among the kept ones of its topic, from 1 on; 0 of one that is not kept.
    position BIGINT NOT NULL,
    depth BIGINT NOT NULL,
    trace TEXT NOT NULL,
    payload BLOB NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX p_audit_log__events_topic ON p_audit_log__events (topic, number);
CREATE INDEX p_audit_log__events_at ON p_audit_log__events (at);
CREATE UNIQUE INDEX p_audit_log__events_once ON p_audit_log__events (topic, position) WHERE position > 0;

-- One row: where the chain ends, and where what is left of it begins. Whoever adds to it holds this row.
CREATE TABLE p_audit_log__chain (
    id INTEGER PRIMARY KEY,
    last BIGINT NOT NULL,
    hash TEXT NOT NULL,
    first BIGINT NOT NULL,
    before TEXT NOT NULL
);
INSERT INTO p_audit_log__chain (id, last, hash, first, before) VALUES (1, 0, '', 1, '');
