DROP TABLE catalog_updates;
DROP TABLE catalog_advised;
