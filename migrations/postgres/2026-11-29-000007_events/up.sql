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
