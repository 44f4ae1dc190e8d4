DROP VIEW installed_plugins;
DROP TABLE catalog_intents;
DROP TABLE catalog_installs;
DROP TABLE catalog_names;
DROP TABLE catalogs;
