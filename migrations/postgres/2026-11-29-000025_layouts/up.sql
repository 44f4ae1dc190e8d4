-- How people arranged their dashboards, by the names of their tokens: which widgets, as JSON.
CREATE TABLE page_layouts (
    token      TEXT PRIMARY KEY,
    layout     TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
