DROP VIEW discovered_plugins;
DROP TABLE discovery_repositories;
DROP TABLE discovery_scans;
