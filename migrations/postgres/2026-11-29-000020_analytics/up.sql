-- How plugins are used, over time. A row is a page of points that follow each other: of a tier (1: minutes, 2: hours, 3: days; 0: what
-- each generation came to), on one server. What the points say is packed, so that a plugin takes a few dozen KiB however old it is.
CREATE TABLE analytics (
    plugin TEXT NOT NULL,
    node TEXT NOT NULL,
    tier SMALLINT NOT NULL,
    page BIGINT NOT NULL,
    points BYTEA NOT NULL,
    PRIMARY KEY (plugin, node, tier, page)
) WITH (fillfactor = 80);
CREATE INDEX analytics_pages ON analytics (tier, page);
