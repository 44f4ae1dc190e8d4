-- Tasks that plugins have done later. All times are the database's own, in milliseconds since 1970.
CREATE TABLE tasks (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plugin TEXT NOT NULL,
    type TEXT NOT NULL,
    -- `delayed` becomes `waiting` when it is due: so whoever looks for work never passes over what is not.
    state TEXT NOT NULL CHECK (state IN ('delayed', 'waiting', 'running', 'done', 'dead', 'cancelled')),
    priority INTEGER NOT NULL DEFAULT 0,
    due BIGINT NOT NULL,
    input TEXT NOT NULL,
    unique_key TEXT,
    -- Counts claims, and is the fence: only who has the last one may say what came of it.
    attempt INTEGER NOT NULL DEFAULT 0,
    -- Counts what is held against it.
    failures INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER,
    backoff BIGINT,
    time_limit BIGINT,
    retention BIGINT,
    runner TEXT,
    cancel BOOLEAN NOT NULL DEFAULT FALSE,
    progress TEXT,
    result TEXT,
    error TEXT,
    trace TEXT,
    enqueued BIGINT NOT NULL,
    begun BIGINT,
    ended BIGINT,
    forget BIGINT
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX tasks_next ON tasks (plugin, type, priority DESC, id) WHERE state = 'waiting';
CREATE INDEX tasks_delayed ON tasks (due) WHERE state = 'delayed';
CREATE INDEX tasks_running ON tasks (plugin, type) WHERE state = 'running';
CREATE INDEX tasks_dead ON tasks (id) WHERE state = 'dead';
CREATE INDEX tasks_forget ON tasks (forget) WHERE forget IS NOT NULL;
CREATE UNIQUE INDEX tasks_unique ON tasks (plugin, type, unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('delayed', 'waiting', 'running');

-- Who runs tasks: one row for each process, not for each server, for one that starts anew runs nothing of what it ran before.
CREATE TABLE task_runners (
    id TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    heard BIGINT NOT NULL
);

-- Of types that are limited on all servers together. Whoever claims tasks of one locks its row.
CREATE TABLE task_limits (
    plugin TEXT NOT NULL,
    type TEXT NOT NULL,
    tokens DOUBLE PRECISION NOT NULL DEFAULT 0,
    filled BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (plugin, type)
);

-- When schedules of plugins are due. Whoever moves a row on enqueues the run in the same transaction: so there is one for each time.
CREATE TABLE schedules (
    plugin TEXT NOT NULL,
    name TEXT NOT NULL,
    times TEXT NOT NULL,
    next BIGINT,
    last BIGINT,
    last_task BIGINT,
    PRIMARY KEY (plugin, name)
);

-- Which plugin's role may enqueue by SQL. The host writes it as operators grant `tasks`.
CREATE TABLE task_senders (
    role TEXT PRIMARY KEY,
    plugin TEXT NOT NULL
);

-- For plugins' own SQL, within their own transactions. It runs with the host's rights, and names everything in full.
DO $camlock$
BEGIN
    EXECUTE format($function$
        CREATE FUNCTION %1$I.enqueue(type TEXT, input JSONB, options JSONB DEFAULT '{}')
        RETURNS BIGINT LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        #variable_conflict use_column
        DECLARE
            mine TEXT;
            known TEXT;
            made BIGINT;
            now_ms BIGINT := CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT);
            delay BIGINT;
            key TEXT := options->>'unique';
        BEGIN
            SELECT s.plugin INTO mine FROM %1$I.task_senders s WHERE s.role = session_user;
            IF mine IS NULL THEN
                RAISE EXCEPTION '`tasks` is not granted to this plugin' USING ERRCODE = 'insufficient_privilege';
            END IF;
            IF enqueue.type IS NULL OR enqueue.type !~ '^[A-Za-z][A-Za-z0-9_.-]{0,99}$' THEN
                RAISE EXCEPTION '`%%` is no type of tasks', left(coalesce(enqueue.type, 'NULL'), 60) USING ERRCODE = 'data_exception';
            END IF;
            IF enqueue.input IS NULL OR octet_length(enqueue.input::text) > 1048576 THEN
                RAISE EXCEPTION 'the input of a task is JSON of up to 1 MiB' USING ERRCODE = 'data_exception';
            END IF;
            FOR known IN SELECT jsonb_object_keys(coalesce(options, '{}')) LOOP
                IF known NOT IN ('priority', 'delay', 'unique', 'attempts', 'time_limit', 'backoff', 'retention') THEN
                    RAISE EXCEPTION 'a task has no option `%%`', left(known, 60) USING ERRCODE = 'data_exception';
                END IF;
            END LOOP;
            delay := coalesce((options->>'delay')::bigint, 0);
            IF delay NOT BETWEEN 0 AND 31622400000 OR coalesce((options->>'priority')::integer, 0) NOT BETWEEN -1000 AND 1000
                OR coalesce((options->>'attempts')::integer, 1) NOT BETWEEN 1 AND 1000000
                OR coalesce((options->>'time_limit')::bigint, 1) NOT BETWEEN 1 AND 31622400000
                OR coalesce((options->>'backoff')::bigint, 1) NOT BETWEEN 1 AND 31622400000
                OR coalesce((options->>'retention')::bigint, 1) NOT BETWEEN 1 AND 31622400000
                OR octet_length(coalesce(key, '')) > 500
            THEN
                RAISE EXCEPTION 'an option of the task is out of bounds' USING ERRCODE = 'data_exception';
            END IF;
            INSERT INTO %1$I.tasks AS t (plugin, type, state, priority, due, input, unique_key, attempts, time_limit, backoff,
                retention, enqueued)
            VALUES (mine, enqueue.type, CASE WHEN delay > 0 THEN 'delayed' ELSE 'waiting' END,
                coalesce((options->>'priority')::integer, 0), now_ms + delay, enqueue.input::text, key,
                (options->>'attempts')::integer, (options->>'time_limit')::bigint, (options->>'backoff')::bigint,
                (options->>'retention')::bigint, now_ms)
            ON CONFLICT (plugin, type, unique_key)
                WHERE unique_key IS NOT NULL AND state IN ('delayed', 'waiting', 'running') DO NOTHING
            RETURNING t.id INTO made;
            IF made IS NULL THEN
                SELECT t.id INTO made FROM %1$I.tasks t WHERE t.plugin = mine AND t.type = enqueue.type AND t.unique_key = key
                    AND t.state IN ('delayed', 'waiting', 'running');
            END IF;
            RETURN made;
        END $body$
    $function$, current_schema());
END
$camlock$;
REVOKE ALL ON FUNCTION enqueue(TEXT, JSONB, JSONB) FROM PUBLIC;
