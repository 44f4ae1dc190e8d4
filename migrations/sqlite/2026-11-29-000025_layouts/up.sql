-- How people arranged their dashboards, by the names of their tokens: which widgets, as JSON.
CREATE TABLE page_layouts (
    token      TEXT PRIMARY KEY NOT NULL,
    layout     TEXT NOT NULL,
    changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
