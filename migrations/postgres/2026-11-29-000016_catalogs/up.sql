-- The catalogs from which plugins are installed by name, each with what an operator lets it do.
CREATE TABLE catalogs (
    name       TEXT PRIMARY KEY,
    url        TEXT NOT NULL,
    -- The first root that is trusted, and the metadata that was proved last, by file: what is older than that is never believed again.
    root       TEXT NOT NULL,
    metadata   TEXT NOT NULL DEFAULT '{}',
    -- The versions of what vouches for it, and of it.
    proved     BIGINT NOT NULL DEFAULT 0,
    version    BIGINT NOT NULL DEFAULT 0,
    -- Where two catalogs have a name, the one with the higher number has it.
    priority   INTEGER NOT NULL DEFAULT 0,
    -- Lists, as JSON: which names it may provide (`*` at an end covers all that begin alike), and whose keys are taken; empty: all.
    names      TEXT NOT NULL DEFAULT '[]',
    publishers TEXT NOT NULL DEFAULT '[]',
    -- Whether packages are taken that nobody signed.
    unsigned   BOOLEAN NOT NULL DEFAULT false,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

-- To which catalog and publisher a name belongs: those that it first came from. It stays when the plugin is removed.
CREATE TABLE catalog_names (
    plugin    TEXT PRIMARY KEY,
    catalog   TEXT NOT NULL,
    publisher TEXT NOT NULL
);

-- What was installed from a catalog, with what was asked for.
CREATE TABLE catalog_installs (
    plugin       TEXT PRIMARY KEY,
    catalog      TEXT NOT NULL,
    version      TEXT NOT NULL,
    -- The package's: what its `package.json` is known by.
    digest       TEXT NOT NULL,
    wanted       TEXT NOT NULL,
    dependencies TEXT NOT NULL DEFAULT '{}',
    installed_by TEXT NOT NULL,
    installed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    updated_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

-- Installs that were begun, with how far they are: whoever ends in the middle goes on, or takes back, when it starts again.
CREATE TABLE catalog_intents (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('planned', 'fetched', 'verified', 'placed', 'serving', 'done', 'undone')),
    plan       TEXT NOT NULL,
    reason     TEXT,
    actor      TEXT NOT NULL,
    begun_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    changed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE VIEW installed_plugins AS
    SELECT catalog_installs.plugin AS name, catalog_installs.version, plugins.enabled, plugins.config, catalog_installs.installed_by,
        catalog_installs.installed_at, catalog_installs.updated_at
    FROM catalog_installs JOIN plugins ON plugins.name = catalog_installs.plugin WHERE NOT plugins.removed;
