DROP VIEW camlock_plugins;
DROP FUNCTION _plugin_forget();
DROP FUNCTION _plugin_migration_done(TEXT);
DROP FUNCTION _plugin_migration_begin();
DROP TABLE _plugin_tickets;
DROP TABLE _plugin_role_key;
DROP TABLE _plugin_roles;
DROP TABLE _plugin_migrations;
