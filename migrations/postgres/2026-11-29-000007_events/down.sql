DROP FUNCTION emit(TEXT, JSONB);
DROP FUNCTION _emit_bytes(TEXT, BYTEA, BYTEA, BIGINT);
ALTER TABLE _plugin_roles DROP COLUMN run;
DROP TABLE event_dead;
DROP TABLE subscriptions;
DROP TABLE event_heads;
DROP TABLE events;
