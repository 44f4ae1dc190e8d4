-- Advisories that concern what is installed: each is told of a version once, and a plugin is disabled for one once, so that an operator
-- who enables it all the same is obeyed.
CREATE TABLE catalog_advised (
    plugin   TEXT NOT NULL,
    version  TEXT NOT NULL,
    advisory TEXT NOT NULL,
    act      TEXT NOT NULL CHECK (act IN ('told', 'disabled')),
    told_at  TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (plugin, version, advisory)
);

-- The newest version that was tried by itself, of each plugin, and by which server: none tries it again.
CREATE TABLE catalog_updates (
    plugin   TEXT PRIMARY KEY,
    version  TEXT NOT NULL,
    node     TEXT NOT NULL,
    tried_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
