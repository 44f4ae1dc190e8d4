-- What plugins worked out: the log. Times are in milliseconds since 1970, durations in microseconds.
CREATE TABLE executions (
    id UUID PRIMARY KEY,
    plugin TEXT NOT NULL,
    generation BIGINT,
    status TEXT NOT NULL,
    begun BIGINT NOT NULL,
    took BIGINT NOT NULL,
    input_bytes BIGINT NOT NULL,
    output_bytes BIGINT NOT NULL,
    error TEXT,
    asked_by TEXT NOT NULL,
    -- Only where the server is told to keep them.
    input JSONB,
    result JSONB
);
CREATE INDEX executions_of_plugin ON executions (plugin, id);
CREATE INDEX executions_begun ON executions (begun);

-- The same, under other names for it.
CREATE VIEW plugin_execution_logs AS
    SELECT id, plugin AS plugin_id, to_timestamp(begun / 1000.0) AS execution_time, CAST(took / 1000 AS INTEGER) AS duration_ms, status,
        input AS input_data, result AS output_data, error AS error_message, CAST(NULL AS JSONB) AS resource_usage
    FROM executions;
