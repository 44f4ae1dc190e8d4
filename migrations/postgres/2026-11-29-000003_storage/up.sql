-- Values that plugins keep. A deleted key stays for a while, without a value, for those who watch.
CREATE TABLE plugin_storage (
    plugin TEXT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    value BYTEA,
    -- In milliseconds since 1970.
    expires BIGINT,
    PRIMARY KEY (plugin, key)
);
CREATE INDEX plugin_storage_revision ON plugin_storage (plugin, revision);
CREATE INDEX plugin_storage_expires ON plugin_storage (plugin, expires) WHERE expires IS NOT NULL;

-- What is counted of each plugin. Whoever writes values of a plugin locks its row first.
CREATE TABLE plugin_storage_use (
    plugin TEXT PRIMARY KEY,
    keys BIGINT NOT NULL DEFAULT 0,
    bytes BIGINT NOT NULL DEFAULT 0,
    revision BIGINT NOT NULL DEFAULT 0,
    gone BIGINT NOT NULL DEFAULT 0,
    swept BIGINT NOT NULL DEFAULT 0
);
