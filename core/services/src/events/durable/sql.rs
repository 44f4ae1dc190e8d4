//! The statements of kept events, for both databases, and the tables of SQLite. Those of PostgreSQL are a migration of the registry.
//!
//! Parameters come in the order of their numbers: SQLite counts them as they appear. What must not live here: running them.

/// A statement as each database wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BothSql {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

/// One for both, in which `NOW` is the database's own time, in milliseconds since 1970: that of all servers.
macro_rules! both {
    ($first:literal $(NOW $more:literal)*) => {
        BothSql {
            sqlite: concat!($first $(, "CAST(unixepoch('subsec') * 1000 AS INTEGER)", $more)*),
            postgres: concat!($first $(, "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)", $more)*),
        }
    };
}

pub(crate) const SQLITE_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, at INTEGER NOT NULL,
        trace BLOB NOT NULL, depth INTEGER NOT NULL, number INTEGER, position INTEGER
    );
    CREATE UNIQUE INDEX IF NOT EXISTS events_number ON events (number) WHERE number IS NOT NULL;
    CREATE INDEX IF NOT EXISTS events_unnumbered ON events (id) WHERE number IS NULL;
    CREATE TABLE IF NOT EXISTS event_heads (topic TEXT PRIMARY KEY, last INTEGER NOT NULL);
    INSERT OR IGNORE INTO event_heads (topic, last) VALUES ('', 0);
    CREATE TABLE IF NOT EXISTS subscriptions (
        id TEXT NOT NULL, node TEXT NOT NULL, plugin TEXT NOT NULL, pattern TEXT NOT NULL, deliver TEXT NOT NULL,
        done INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0,
        given_up INTEGER NOT NULL DEFAULT 0, paused TEXT, reason TEXT, delivered INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0, lost INTEGER NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '',
        held INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0, seen INTEGER NOT NULL,
        PRIMARY KEY (id, node)
    );
    CREATE TABLE IF NOT EXISTS event_dead (
        subscription TEXT NOT NULL, node TEXT NOT NULL, number INTEGER NOT NULL, plugin TEXT NOT NULL, topic TEXT NOT NULL,
        position INTEGER NOT NULL, payload BLOB NOT NULL, at INTEGER NOT NULL, trace BLOB NOT NULL, depth INTEGER NOT NULL,
        attempts INTEGER NOT NULL, reason TEXT NOT NULL, died INTEGER NOT NULL, replay INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (subscription, node, number)
    );
";

pub(crate) const INSERT_ONE: &str = "INSERT INTO events (topic, payload, at, trace, depth) VALUES ($1, $2, $3, $4, $5)";

/// In PostgreSQL, many at once, and with their numbers unless some wait for theirs that came before them. The heads are changed in the
/// order of their topics, that of all events first: so servers wait for one another there, and see what those before them wrote.
pub(super) const KEEP_MANY: &str = "WITH given AS (SELECT topic, payload, at, trace, depth, place, \
     row_number() OVER (PARTITION BY topic ORDER BY place) AS among_its FROM \
     unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[]) \
     WITH ORDINALITY AS given (topic, payload, at, trace, depth, place)), \
     counted AS (SELECT '' AS topic, count(*) AS events FROM given UNION ALL SELECT topic, count(*) FROM given GROUP BY topic), \
     heads AS (INSERT INTO event_heads AS head (topic, last) SELECT topic, events FROM counted \
     WHERE NOT EXISTS (SELECT 1 FROM events WHERE number IS NULL) ORDER BY topic COLLATE \"C\" \
     ON CONFLICT (topic) DO UPDATE SET last = head.last + excluded.last RETURNING topic, last), \
     before AS (SELECT topic, last - events AS last FROM heads JOIN counted USING (topic)), \
     kept AS (INSERT INTO events (topic, payload, at, trace, depth, number, position) \
     SELECT given.topic, payload, at, trace, depth, of_all.last + place, of_topic.last + among_its FROM given \
     LEFT JOIN before AS of_all ON of_all.topic = '' LEFT JOIN before AS of_topic ON of_topic.topic = given.topic ORDER BY place) \
     SELECT pg_notify('camlock_events', '') FROM before WHERE topic = ''";

pub(super) const UNNUMBERED: &str = "SELECT 1 FROM events WHERE number IS NULL LIMIT 1";

#[cfg(feature = "nats")]
pub(super) const FRESH: &str =
    "SELECT id, topic, payload, at, trace, depth FROM events WHERE number IS NULL ORDER BY id LIMIT 500";

#[cfg(feature = "nats")]
pub(super) const REMOVE_FRESH: &str = "DELETE FROM events WHERE id = $1 AND number IS NULL";

/// Nobody else numbers until the transaction ends.
pub(super) const LOCK_HEAD: &str = "UPDATE event_heads SET last = last WHERE topic = '' RETURNING last";

pub(super) const NUMBER_FRESH: &str = "WITH fresh AS (SELECT id, topic, row_number() OVER (ORDER BY id) AS among_all, \
     row_number() OVER (PARTITION BY topic ORDER BY id) AS among_its FROM \
     (SELECT id, topic FROM events WHERE number IS NULL ORDER BY id LIMIT 1000) AS unnumbered) \
     UPDATE events SET number = CAST($1 AS BIGINT) + fresh.among_all, position = \
     COALESCE((SELECT last FROM event_heads AS head WHERE head.topic = fresh.topic), 0) + fresh.among_its \
     FROM fresh WHERE events.id = fresh.id";

pub(super) const KEEP_POSITIONS: &str = "INSERT INTO event_heads (topic, last) SELECT topic, max(position) FROM events \
     WHERE number > $1 GROUP BY topic ON CONFLICT (topic) DO UPDATE SET last = excluded.last";

pub(super) const KEEP_HEAD: &str = "UPDATE event_heads SET last = $1 WHERE topic = ''";

pub(super) const HEAD: BothSql = both!("SELECT last FROM event_heads WHERE topic = ''");

pub(super) const REGISTER: BothSql = both!(
    "INSERT INTO subscriptions (id, node, plugin, pattern, deliver, done, seen) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), \
     CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), last, " NOW " FROM event_heads WHERE topic = '' \
     ON CONFLICT (id, node) DO UPDATE SET plugin = excluded.plugin, pattern = excluded.pattern, deliver = excluded.deliver, \
     seen = excluded.seen"
);

/// Has the right to bring events for a while, if nobody else has it.
pub(super) const CLAIM: BothSql = both!(
    "UPDATE subscriptions SET epoch = CASE WHEN holder = $1 THEN epoch ELSE epoch + 1 END, holder = $1, held = " NOW
    " + 15000, seen = " NOW " WHERE id = $2 AND node = $3 AND (holder = $1 OR held < " NOW
    ") RETURNING done, attempts, due - " NOW ", epoch, CASE WHEN paused IS NULL THEN 0 ELSE 1 END, \
     (SELECT count(*) FROM event_dead WHERE subscription = id AND event_dead.node = subscriptions.node AND replay = 1)"
);

/// Somebody else may have it at once.
pub(super) const RELEASE: BothSql =
    both!("UPDATE subscriptions SET held = 0 WHERE holder = $1 AND id = $2 AND node = $3");

pub(super) const READ: BothSql = both!(
    "SELECT number, topic, position, payload, at, trace, depth FROM events WHERE number > $1 ORDER BY number LIMIT 256"
);

/// What was brought is handled, up to there.
pub(super) const ADVANCE: BothSql = both!(
    "UPDATE subscriptions SET done = $1, delivered = delivered + $2, lost = lost + $3, attempts = 0, due = 0, \
     given_up = CASE WHEN CAST($2 AS BIGINT) > 0 THEN 0 ELSE given_up END, \
     reason = CASE WHEN CAST($2 AS BIGINT) > 0 THEN NULL ELSE reason END, held = " NOW " + 15000, seen = " NOW
    " WHERE id = $4 AND node = $5 AND holder = $6 AND epoch = $7 RETURNING 1"
);

/// The next event failed, and is tried again later.
pub(super) const FAILED: BothSql = both!(
    "UPDATE subscriptions SET attempts = $1, reason = $2, failed = failed + 1, due = " NOW " + $3 \
     WHERE id = $4 AND node = $5 AND holder = $6 AND epoch = $7 RETURNING 1"
);

/// The next event is given up.
pub(super) const BURY: BothSql = both!(
    "INSERT INTO event_dead (subscription, node, number, plugin, topic, position, payload, at, trace, depth, attempts, reason, \
     died) SELECT id, node, CAST($1 AS BIGINT), plugin, CAST($2 AS TEXT), CAST($3 AS BIGINT), $4, \
     CAST($5 AS BIGINT), $6, CAST($7 AS BIGINT), CAST($8 AS BIGINT), CAST($9 AS TEXT), " NOW
    " FROM subscriptions WHERE id = $10 AND node = $11 AND holder = $12 AND epoch = $13 ON CONFLICT DO NOTHING"
);

pub(super) const GIVE_UP: BothSql = both!(
    "UPDATE subscriptions SET done = $1, attempts = 0, due = 0, failed = failed + 1, given_up = given_up + 1, reason = $2, \
     paused = CASE WHEN given_up + 1 >= 20 THEN 'events were given up one after the other, 20 of them' ELSE paused END \
     WHERE id = $3 AND node = $4 AND holder = $5 AND epoch = $6"
);

pub(super) const TO_REPLAY: BothSql = both!(
    "SELECT number, topic, position, payload, at, trace, depth, attempts FROM event_dead WHERE subscription = $1 AND node = $2 \
     AND replay = 1 ORDER BY number LIMIT 1"
);

pub(super) const REVIVED: BothSql =
    both!("DELETE FROM event_dead WHERE subscription = $1 AND node = $2 AND number = $3");

pub(super) const STILL_DEAD: BothSql = both!(
    "UPDATE event_dead SET replay = 0, attempts = attempts + 1, reason = $1, died = " NOW
    " WHERE subscription = $2 AND node = $3 AND number = $4"
);

pub(super) const REPLAY: BothSql = both!(
    "UPDATE event_dead SET replay = 1 WHERE subscription = $1 AND (CAST($2 AS BIGINT) = 0 OR number = $2) RETURNING number"
);

pub(super) const DEAD: BothSql = both!(
    "SELECT number, topic, position, payload, at, trace, depth, node, attempts, reason, died FROM event_dead \
     WHERE subscription = $1 AND number > $2 ORDER BY number, node LIMIT $3"
);

pub(super) const PAUSE: BothSql = both!("UPDATE subscriptions SET paused = $1 WHERE id = $2 RETURNING id");

pub(super) const RESUME: BothSql =
    both!("UPDATE subscriptions SET paused = NULL, due = 0, given_up = 0 WHERE id = $1 RETURNING id");

pub(super) const LIST: BothSql = both!(
    "SELECT id, node, plugin, pattern, deliver, done, attempts, given_up, COALESCE(paused, ''), COALESCE(reason, ''), \
     delivered, failed, lost, " NOW " - seen, (SELECT count(*) FROM event_dead AS dead WHERE dead.subscription = id AND \
     dead.node = subscriptions.node), (SELECT last FROM event_heads WHERE topic = '') FROM subscriptions ORDER BY id, node"
);

pub(super) const IS_THERE: BothSql = both!("SELECT count(*) FROM subscriptions WHERE id = $1");

/// What everybody has had goes after an hour, and the rest after a week: whoever did not have it sees how many those were.
pub(super) const SWEEP: [BothSql; 2] = [
    both!("DELETE FROM subscriptions WHERE seen < " NOW " - 604800000"),
    both!(
        "DELETE FROM events WHERE number IS NOT NULL AND (at / 1000 < " NOW " - 604800000 OR (at / 1000 < " NOW
        " - 3600000 AND number <= COALESCE((SELECT min(done) FROM subscriptions), number)))"
    ),
];

pub(super) const PURGE: [BothSql; 2] =
    [both!("DELETE FROM event_dead WHERE plugin = $1"), both!("DELETE FROM subscriptions WHERE plugin = $1")];
