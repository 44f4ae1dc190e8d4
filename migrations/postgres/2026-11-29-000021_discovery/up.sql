-- Organisations whose repositories were looked at for plugins, with what is known of the last scan. The revision is raised whenever
-- anything of an organisation is changed, and never goes back: by it a server sees that another one has looked.
CREATE TABLE discovery_scans (
    organization TEXT PRIMARY KEY,
    revision     BIGINT NOT NULL,
    scan         TEXT NOT NULL,
    changed_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

-- Their repositories, also those that hold no plugin.
CREATE TABLE discovery_repositories (
    organization TEXT NOT NULL,
    repository   TEXT NOT NULL,
    -- Null: its latest release has no manifest that holds.
    plugin       TEXT,
    version      TEXT,
    -- What is known of it, as JSON.
    document     TEXT NOT NULL,
    changed_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization, repository)
);

CREATE VIEW discovered_plugins AS
    SELECT plugin AS name, version, organization, repository, changed_at FROM discovery_repositories WHERE plugin IS NOT NULL;
