DROP VIEW plugin_execution_logs;
DROP TABLE executions;
