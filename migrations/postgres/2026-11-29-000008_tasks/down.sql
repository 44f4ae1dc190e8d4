DROP FUNCTION enqueue(TEXT, JSONB, JSONB);
DROP TABLE task_senders;
DROP TABLE schedules;
DROP TABLE task_limits;
DROP TABLE task_runners;
DROP TABLE tasks;
