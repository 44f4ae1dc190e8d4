-- What is on record. Times are text, in UTC.

-- What operators decide. `revision` and `registered` are set by triggers.
CREATE TABLE plugins (
    name            TEXT NOT NULL PRIMARY KEY CONSTRAINT a_name_for_a_plugin CHECK (
        -- Text ends at a NUL for `length` and `GLOB`.
        typeof(name) = 'text' AND instr(CAST(name AS BLOB), x'00') = 0
        AND length(name) BETWEEN 3 AND 50 AND name GLOB '[a-z]*' AND name NOT GLOB '*[^a-z0-9-]*'
        AND name NOT GLOB '*--*' AND name NOT GLOB '*-'
    ),
    enabled         BOOLEAN NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    version         TEXT NOT NULL DEFAULT '',
    kind            TEXT NOT NULL DEFAULT 'dynamic' CHECK (kind IN ('dynamic', 'static')),
    source_path     TEXT NOT NULL DEFAULT '',
    artifact_digest TEXT CHECK (artifact_digest GLOB 'sha256:*' AND length(artifact_digest) = 71),
    fingerprint     TEXT,
    config          TEXT NOT NULL DEFAULT '{}',
    reloads         INTEGER NOT NULL DEFAULT 0,
    removed         BOOLEAN NOT NULL DEFAULT 0 CHECK (removed IN (0, 1)),
    revision        INTEGER NOT NULL DEFAULT 0,
    registered      INTEGER NOT NULL DEFAULT 0,
    created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

-- One row. `revision` is the last one given out, to whichever plugin; so it grows over delete and insert too. `fleet` and `tokens`
-- count what changes in rollouts and artifacts, and in tokens. `actor` and `node` are who is at work: our own transactions set
-- them and set them back; else it is an operator. `deciding` is 1 while a trigger changes the row that it is about.
CREATE TABLE registry_clock (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    revision INTEGER NOT NULL DEFAULT 0,
    fleet    INTEGER NOT NULL DEFAULT 0,
    tokens   INTEGER NOT NULL DEFAULT 0,
    actor    TEXT NOT NULL DEFAULT 'registry',
    node     TEXT,
    deciding INTEGER NOT NULL DEFAULT 0
);
INSERT INTO registry_clock (only_one) VALUES (1);

-- What changed in `plugins`, for all processes that have this file open.
CREATE TABLE plugin_changes (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    op       TEXT NOT NULL,
    name     TEXT NOT NULL,
    revision INTEGER NOT NULL
);

CREATE TABLE plugin_endpoints (
    plugin TEXT NOT NULL REFERENCES plugins ON DELETE CASCADE,
    method TEXT NOT NULL,
    path   TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('openapi', 'manifest', 'mount')),
    PRIMARY KEY (plugin, method, path)
);

CREATE TABLE plugin_quarantine (
    plugin TEXT NOT NULL REFERENCES plugins ON DELETE CASCADE,
    digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (plugin, digest)
);

CREATE TABLE plugin_journal (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    node       TEXT,
    plugin     TEXT,
    generation INTEGER,
    what       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    detail     TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX plugin_journal_plugin ON plugin_journal (plugin, id);
CREATE INDEX plugin_journal_at ON plugin_journal (at);

-- What was built, of what. `elsewhere`: its bytes lie in an object store. `requested_at`: a server lacks its bytes since then, and
-- whoever has them offers them again.
CREATE TABLE artifacts (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    digest       TEXT NOT NULL,
    plugin       TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    version      TEXT NOT NULL,
    size         INTEGER NOT NULL,
    elsewhere    BOOLEAN NOT NULL DEFAULT 0,
    node         TEXT NOT NULL,
    created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    requested_at TEXT,
    UNIQUE (plugin, fingerprint)
);
CREATE INDEX artifacts_digest ON artifacts (digest);
CREATE INDEX artifacts_requested ON artifacts (number) WHERE requested_at IS NOT NULL;

-- Their bytes, by digest: the same bytes may have been built of different sources.
CREATE TABLE artifact_bytes (
    digest TEXT NOT NULL PRIMARY KEY,
    bytes  BLOB NOT NULL
);

-- Who builds what, until when.
CREATE TABLE build_rights (
    plugin      TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    node        TEXT NOT NULL,
    holder      TEXT NOT NULL,
    until       TEXT NOT NULL,
    PRIMARY KEY (plugin, fingerprint)
);

CREATE TABLE nodes (
    id         TEXT NOT NULL PRIMARY KEY,
    host       TEXT NOT NULL,
    address    TEXT NOT NULL,
    version    TEXT NOT NULL,
    started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    heard_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);

CREATE TABLE node_plugins (
    node            TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE,
    plugin          TEXT NOT NULL,
    state           TEXT NOT NULL,
    reason          TEXT,
    generation      INTEGER,
    artifact_digest TEXT,
    version         TEXT,
    seen            TEXT,
    revision        INTEGER NOT NULL DEFAULT 0,
    at              TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (node, plugin)
);
CREATE INDEX node_plugins_plugin ON node_plugins (plugin);

CREATE TABLE rollouts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    plugin      TEXT NOT NULL,
    fingerprint TEXT,
    digest      TEXT NOT NULL,
    version     TEXT NOT NULL,
    from_digest TEXT,
    proposer    TEXT NOT NULL,
    actor       TEXT NOT NULL,
    nodes       TEXT NOT NULL,
    state       TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'committed', 'failed')),
    reason      TEXT,
    begun_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    deadline    TEXT NOT NULL
);
CREATE UNIQUE INDEX rollouts_open ON rollouts (plugin) WHERE state = 'open';

CREATE TABLE rollout_answers (
    rollout INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE,
    node    TEXT NOT NULL,
    ok      BOOLEAN NOT NULL CHECK (ok IN (0, 1)),
    reason  TEXT,
    at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (rollout, node)
);

-- Only hashes of secrets are kept.
CREATE TABLE api_tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    hash       TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    expires_at TEXT,
    revoked_at TEXT
);
CREATE UNIQUE INDEX api_tokens_name ON api_tokens (name) WHERE revoked_at IS NULL;
