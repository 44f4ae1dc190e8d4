//! A registry in PostgreSQL, with what the host and another plugin keep in it.

use crate::sqlite::{SECRET, WITHIN, file};
use camlock_policy::SqlRights;
use camlock_services::database::{
    MigrationError, TableChange,
    postgres::{self, PluginRoles, RoleLimits, RolePasswords},
};
use camlock_testing::Postgres;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Who the host is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostIs {
    Superuser,
    /// One that may make roles, and owns the database.
    Owner,
}

pub(crate) struct Registry {
    url: String,
    host_url: String,
    pub(crate) host: Client,
    superuser: Client,
    pub(crate) shop: PluginRoles,
    other: PluginRoles,
}

pub(crate) const CORE: &str = "
    CREATE SCHEMA camlock;
    SET search_path = camlock;
    CREATE TABLE plugins (name TEXT PRIMARY KEY, enabled BOOLEAN NOT NULL DEFAULT true, version TEXT NOT NULL DEFAULT '',
        removed BOOLEAN NOT NULL DEFAULT false, source TEXT NOT NULL DEFAULT 'directory');
    CREATE TABLE plugin_grants (plugin TEXT NOT NULL, source TEXT NOT NULL DEFAULT 'directory', granted TEXT NOT NULL);
    INSERT INTO plugins VALUES ('shop', true), ('other', true);
    CREATE TABLE api_tokens (id INTEGER PRIMARY KEY, token TEXT);
    INSERT INTO api_tokens VALUES (1, 'a secret of others');
    CREATE VIEW all_tokens AS SELECT * FROM api_tokens;
    CREATE SEQUENCE counting;
    CREATE FUNCTION at_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';";

const OTHERS: &str = "
    CREATE TABLE p_other__things (id INTEGER PRIMARY KEY GENERATED ALWAYS AS IDENTITY, word TEXT UNIQUE);
    INSERT INTO p_other__things (word) VALUES ('a secret of others'), ('two');
    CREATE VIEW p_other__all AS SELECT * FROM p_other__things;";

/// What the registry has for plugins' tables.
pub(crate) const TABLES: &str = concat!(
    include_str!("../../../../migrations/postgres/2026-11-29-000005_plugin_tables/up.sql"),
    include_str!("../../../../migrations/postgres/2026-11-29-000007_events/up.sql"),
    include_str!("../../../../migrations/postgres/2026-11-29-000008_tasks/up.sql"),
    include_str!("../../../../migrations/postgres/2026-11-29-000023_emit_grants/up.sql"),
);

const OWN: &str = "
    CREATE TABLE p_shop__orders (id SERIAL PRIMARY KEY, note TEXT NOT NULL);
    INSERT INTO p_shop__orders (note) VALUES ('mine'), ('mine too');
    CREATE VIEW p_shop__notes AS SELECT note FROM p_shop__orders;";

/// In a thread of its own: what a session is refused ends it for some tricks.
pub(crate) fn run<F: Future<Output = ()>>(trial: F) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(trial);
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl Registry {
    pub(crate) async fn new(host: HostIs) -> Self {
        let server = Postgres::shared();
        let url = server.database();
        let name = url.rsplit('/').next().unwrap().to_owned();
        let superuser = connect(&url).await;
        let host_url = match host {
            HostIs::Superuser => url.clone(),
            HostIs::Owner => {
                let make =
                    format!("CREATE ROLE host_{name} LOGIN CREATEROLE; ALTER DATABASE {name} OWNER TO host_{name}");
                superuser.batch_execute(&make).await.unwrap();
                url.replace("camlock@", &format!("host_{name}@"))
            }
        };
        let host = connect(&host_url).await;
        host.batch_execute(CORE).await.unwrap();
        host.batch_execute(&format!("SET search_path = camlock; {TABLES}; RESET search_path")).await.unwrap();
        let (shop, other) = (PluginRoles::of(&name, "camlock", "shop"), PluginRoles::of(&name, "camlock", "other"));
        let registry = Registry { url, host_url, host, superuser, shop, other };
        for (roles, text) in [(&registry.other, OTHERS), (&registry.shop, OWN)] {
            registry.ensure(roles).await.unwrap();
            registry.migrate_as(roles, 1, text).await.unwrap();
        }
        registry
    }

    async fn ensure(&self, roles: &PluginRoles) -> Result<(), MigrationError> {
        let mut host = connect(&self.host_url).await;
        postgres::ensure_roles(&mut host, roles, &RolePasswords::new([1; 32]), RoleLimits::default(), None).await
    }

    /// From now on the shop may this by SQL.
    pub(crate) async fn let_by_sql(&self, rights: &SqlRights) {
        let mut host = connect(&self.host_url).await;
        postgres::let_by_sql(&mut host, &self.shop, rights).await.unwrap();
    }

    pub(crate) async fn as_role(&self, role: &str) -> Client {
        connect(&self.url.replace("camlock@", &format!("{role}@"))).await
    }

    pub(crate) async fn migrate(&self, number: u32, text: &str) -> Result<(), MigrationError> {
        self.migrate_as(&self.shop, number, text).await
    }

    async fn migrate_as(&self, roles: &PluginRoles, number: u32, text: &str) -> Result<(), MigrationError> {
        let mut migrating = self.as_role(&roles.migrate).await;
        postgres::migrate(&self.host, &mut migrating, roles, &TableChange::Migration(file(number, text)), WITHIN).await
    }

    /// Runs a text on a connection of the plugin's, as one message: what it saw, and whether it went well.
    pub(crate) async fn run(&self, client: &Client, text: &str) -> (Vec<String>, Result<(), String>) {
        match client.simple_query(text).await {
            Ok(messages) => {
                let rows = messages.iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row),
                    _ => None,
                });
                let cells = rows.flat_map(|row| (0..row.len()).filter_map(|at| row.get(at).map(str::to_owned)));
                (cells.collect(), Ok(()))
            }
            Err(error) => {
                let told = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
                (vec![told.clone()], Err(told))
            }
        }
    }

    /// All that the plugin must not change.
    pub(crate) async fn others(&self) -> Vec<String> {
        let own = "SELECT oid FROM pg_roles WHERE rolname LIKE 'camlock_camlock_shop_%'";
        let mut all = Vec::new();
        for question in [
            "SELECT concat_ws(' ', 'plugins', name, enabled) FROM camlock.plugins".to_owned(),
            "SELECT concat_ws(' ', 'tokens', id, token) FROM camlock.api_tokens".to_owned(),
            "SELECT concat_ws(' ', 'counting', last_value, is_called) FROM camlock.counting".to_owned(),
            "SELECT concat_ws(' ', 'things', id, word) FROM camlock.p_other__things".to_owned(),
            "SELECT concat_ws(' ', 'applied', plugin, number, checksum) FROM camlock._plugin_migrations WHERE plugin <> 'shop'".to_owned(),
            "SELECT concat_ws(' ', 'roles', plugin, migrate) FROM camlock._plugin_roles".to_owned(),
            "SELECT concat_ws(' ', 'tickets', count(*)) FROM camlock._plugin_tickets".to_owned(),
            format!(
                "SELECT concat_ws(' ', 'relation ', relname, relkind, relowner, coalesce(relacl::text, ''), relhastriggers, relhasrules) \
                 FROM pg_class WHERE relowner NOT IN ({own}) AND relnamespace <> 'pg_toast'::regnamespace AND relname <> 'plugins'"
            ),
            "SELECT concat_ws(' ', 'plugins ', relowner, coalesce(relacl::text, ''), relhasrules) FROM pg_class WHERE oid = 'camlock.plugins'::regclass"
                .to_owned(),
            format!(
                "SELECT concat_ws(' ', 'owned by the plugin ', relname, relnamespace::regnamespace) FROM pg_class \
                 WHERE relowner IN ({own}) AND relkind IN ('r', 'v', 'm', 'f', 'p') AND relnamespace::regnamespace::text NOT LIKE 'pg_temp%' \
                 AND (relnamespace <> 'camlock'::regnamespace OR relname !~ '^p_shop__[a-z]')"
            ),
            "SELECT concat_ws(' ', 'function ', oid, proname, proowner, coalesce(proacl::text, '')) FROM pg_proc \
             WHERE pronamespace::regnamespace::text !~ '^pg_'"
                .to_owned(),
            "SELECT concat_ws(' ', 'type ', typname) FROM pg_type WHERE typrelid = 0 AND typelem = 0 AND typnamespace::regnamespace::text !~ '^pg_'".to_owned(),
            "SELECT concat_ws(' ', 'schema ', nspname, nspowner, coalesce(nspacl::text, '')) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'".to_owned(),
            "SELECT concat_ws(' ', 'trigger ', tgname) FROM pg_trigger WHERE NOT tgisinternal".to_owned(),
            "SELECT concat_ws(' ', 'rule ', rulename) FROM pg_rewrite WHERE rulename <> '_RETURN'".to_owned(),
            "SELECT concat_ws(' ', 'key ', conname) FROM pg_constraint WHERE contype = 'f' AND confrelid <> 'camlock.plugins'::regclass \
             AND confrelid::regclass::text NOT LIKE '%p_shop__%'"
                .to_owned(),
            "SELECT concat_ws(' ', 'large object ', oid) FROM pg_largeobject_metadata".to_owned(),
            "SELECT concat_ws(' ', 'extension ', extname) FROM pg_extension".to_owned(),
            "SELECT concat_ws(' ', 'publication ', pubname) FROM pg_publication".to_owned(),
            "SELECT concat_ws(' ', 'server ', srvname) FROM pg_foreign_server".to_owned(),
            "SELECT concat_ws(' ', 'database ', datname, datdba, coalesce(datacl::text, '')) FROM pg_database WHERE datname = current_database()".to_owned(),
            "SELECT concat_ws(' ', 'role ', rolname) FROM pg_roles WHERE rolname LIKE '%trick%'".to_owned(),
            format!(
                "SELECT concat_ws(' ', 'role ', rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication, rolconnlimit) \
                 FROM pg_roles WHERE rolname IN ('camlock', '{}', '{}', '{}', '{}')",
                self.shop.run, self.shop.migrate, self.other.run, self.other.migrate
            ),
            format!("SELECT concat_ws(' ', 'setting ', setrole, setconfig::text) FROM pg_db_role_setting WHERE setrole NOT IN ({own}) AND setrole = 0"),
            "SELECT concat_ws(' ', 'locked ', objid) FROM pg_locks WHERE locktype = 'advisory' AND database = \
             (SELECT oid FROM pg_database WHERE datname = current_database())"
                .to_owned(),
        ] {
            let rows = self.superuser.query(&question, &[]).await.unwrap_or_else(|error| panic!("{question}: {error}"));
            let mut rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            rows.sort();
            all.append(&mut rows);
        }
        all
    }
}

#[test]
fn a_plugin_reads_and_writes_its_own_rows() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        let client = registry.as_role(&registry.shop.run).await;
        for text in [
            "INSERT INTO p_shop__orders (note) VALUES ('a') RETURNING id",
            "UPDATE p_shop__orders SET note = upper(note) WHERE id = 1",
            "DELETE FROM p_shop__orders WHERE id = 2",
            "SELECT count(*), max(note) FROM p_shop__notes",
            "WITH n AS (SELECT generate_series(1, 3) AS i) SELECT * FROM n, p_shop__orders",
            "BEGIN; INSERT INTO p_shop__orders (note) VALUES ('b'); ROLLBACK",
        ] {
            assert_eq!(registry.run(&client, text).await.1, Ok(()), "{text}");
        }
    });
}

#[test]
fn migrations_make_and_change_tables() {
    for host in [HostIs::Owner, HostIs::Superuser] {
        run(async move {
            let registry = Registry::new(host).await;
            let before = registry.others().await;
            for (number, text) in [
                (
                    2,
                    "CREATE TABLE p_shop__lines (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES p_shop__orders (id), UNIQUE (order_id))",
                ),
                (
                    3,
                    "ALTER TABLE p_shop__orders ADD COLUMN price REAL NOT NULL DEFAULT 1 CHECK (price > 0); UPDATE p_shop__orders SET price = 2",
                ),
                (
                    4,
                    "CREATE INDEX p_shop__by_price ON p_shop__orders (price); CREATE INDEX ON p_shop__lines (order_id); DROP VIEW p_shop__notes",
                ),
                (
                    5,
                    "CREATE TABLE p_shop__of (plugin TEXT REFERENCES plugins (name) ON DELETE CASCADE); INSERT INTO p_shop__of VALUES ('shop')",
                ),
                (
                    6,
                    "ALTER TABLE p_shop__orders RENAME COLUMN note TO words; ALTER TABLE p_shop__orders RENAME TO p_shop__bought",
                ),
                (
                    7,
                    "ALTER TABLE p_shop__bought DROP COLUMN words; DROP INDEX p_shop__by_price; DROP TABLE p_shop__lines",
                ),
                (8, "-- Nothing."),
            ] {
                registry.migrate(number, text).await.unwrap_or_else(|error| panic!("{error}"));
            }
            let on_record = postgres::applied(&registry.host, "camlock", "shop").await.unwrap();
            assert_eq!(on_record.iter().map(|applied| applied.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
            assert_eq!(registry.others().await, before);
            registry.host.execute("DELETE FROM camlock.plugins WHERE name = 'shop'", &[]).await.unwrap();
            // What the plugin can make at run time without a right to anything is not in the way.
            let mut migrating = registry.as_role(&registry.shop.migrate).await;
            let running = registry.as_role(&registry.shop.run).await;
            let besides = "SELECT lo_create(0); ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC";
            running.batch_execute(besides).await.unwrap();
            let mut host = connect(&registry.host_url).await;
            postgres::drop_tables(&mut host, &mut migrating, &running, &registry.shop).await.unwrap();
            assert_eq!(postgres::applied(&registry.host, "camlock", "shop").await.unwrap(), []);
            let left =
                format!("SELECT 1 FROM pg_roles WHERE rolname LIKE '{}%'", registry.shop.run.trim_end_matches("run"));
            assert_eq!(registry.host.query(&left, &[]).await.unwrap().len(), 0);
        });
    }
}

#[test]
fn a_migration_runs_once_and_wholly_whoever_tries() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        let once = "INSERT INTO p_shop__orders (note) VALUES ('once')";
        let several = [registry.migrate(2, once), registry.migrate(2, once), registry.migrate(2, once)];
        let [a, b, c] = several;
        assert_eq!(tokio::join!(a, b, c), (Ok(()), Ok(()), Ok(())));
        let client = registry.as_role(&registry.shop.run).await;
        let count = "SELECT count(*) FROM p_shop__orders WHERE note = 'once'";
        assert_eq!(registry.run(&client, count).await.0, ["1"]);
        let refused = registry.migrate(2, "SELECT 1").await.unwrap_err();
        assert_eq!(refused.to_string(), "`migrations/0002_trick.sql` is not what has run as number 0002");
        let half = "CREATE TABLE p_shop__half (a INT); INSERT INTO p_shop__half VALUES (1); SELECT * FROM nowhere";
        assert!(matches!(registry.migrate(3, half).await, Err(MigrationError::Failed { .. })));
        registry.migrate(3, "CREATE TABLE p_shop__half (a INT)").await.unwrap();
    });
}

#[test]
fn others_in_the_way_are_no_fault_of_the_migration() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        let lock = "BEGIN; LOCK TABLE camlock.p_shop__orders IN ACCESS EXCLUSIVE MODE";
        registry.superuser.batch_execute(lock).await.unwrap();
        let impatient = "SET LOCAL lock_timeout = '50ms'; ALTER TABLE p_shop__orders ADD COLUMN paid BOOLEAN";
        let held_up = registry.migrate(2, impatient).await.unwrap_err();
        assert!(matches!(held_up, MigrationError::Unavailable(_)), "{held_up}");
        registry.superuser.batch_execute("ROLLBACK").await.unwrap();
        registry.migrate(2, impatient).await.unwrap();
    });
}

#[test]
fn what_cannot_hold_plugins_says_so() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        let host: String = registry.host.query_one("SELECT current_user::text", &[]).await.unwrap().get(0);
        registry.superuser.batch_execute(&format!("ALTER ROLE {host} NOCREATEROLE")).await.unwrap();
        let told = registry.ensure(&registry.shop).await.unwrap_err().to_string();
        assert!(told.contains("which the user `host_test_") && told.contains("CREATEROLE`, or use SQLite"), "{told}");
        registry.superuser.batch_execute(&format!("ALTER ROLE {host} CREATEROLE")).await.unwrap();
        registry.superuser.batch_execute("GRANT CREATE ON SCHEMA public TO PUBLIC").await.unwrap();
        let told = registry.ensure(&registry.shop).await.unwrap_err().to_string();
        assert!(told.contains("run `REVOKE CREATE ON SCHEMA public FROM PUBLIC` as its owner"), "{told}");
    });
}

/// What a role may do to itself gives it nothing, and is set right.
#[test]
fn a_role_that_changed_itself_is_set_right() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        let (run, other) = (&registry.shop.run, &registry.other.run);
        let client = registry.as_role(run).await;
        let change = format!("ALTER ROLE \"{run}\" PASSWORD 'mine'; ALTER ROLE \"{run}\" SET statement_timeout = 0");
        assert_eq!(registry.run(&client, &change).await.1, Ok(()));
        // As one of an older server may itself.
        registry.superuser.batch_execute(&format!("GRANT \"{run}\" TO \"{other}\"")).await.unwrap();
        registry.ensure(&registry.shop).await.unwrap();
        let members = "SELECT count(*) FROM pg_auth_members WHERE pg_get_userbyid(roleid) = $1 AND pg_get_userbyid(member) LIKE 'camlock_%'";
        let count: i64 = registry.superuser.query_one(members, &[run]).await.unwrap().get(0);
        assert_eq!(count, 0);
        let client = registry.as_role(run).await;
        assert_eq!(registry.run(&client, "SHOW statement_timeout").await.0, ["10s"]);
        let password = "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = $1";
        assert!(registry.superuser.query_one(password, &[run]).await.unwrap().get::<_, bool>(0));
    });
}

#[test]
fn what_is_not_its_own_is_found_in_the_catalog() {
    run(async {
        let registry = Registry::new(HostIs::Owner).await;
        let before = registry.others().await;
        let (run, other) = (&registry.shop.run, &registry.other.run);
        for (text, told) in [
            ("ALTER TABLE p_shop__orders RENAME TO orders", "it made the table `orders`"),
            ("CREATE TABLE p_other__more (a INT)", "it made the table `p_other__more`"),
            ("CREATE INDEX plugins_by_a ON p_shop__orders (note)", "it made the index `plugins_by_a`"),
            ("CREATE SEQUENCE counting_2", "it made the sequence `counting_2`"),
            ("CREATE TEMP TABLE p_shop__t (a INT)", "in the schema `pg_temp"),
            (
                "CREATE FUNCTION p_shop__f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "it made the function camlock.p_shop__f()",
            ),
            ("CREATE TYPE p_shop__y AS ENUM ('a')", "it made the type camlock.p_shop__y"),
            ("CREATE TYPE p_shop__y AS (a int)", "it made the type `p_shop__y`"),
            ("SELECT lo_create(0)", "it made the large object"),
            ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "it made the default privileges"),
            (
                "CREATE TRIGGER p_shop__t BEFORE UPDATE ON p_shop__orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
                "it made the trigger `p_shop__t`",
            ),
            ("CREATE RULE p_shop__r AS ON INSERT TO p_shop__orders DO ALSO NOTIFY x", "it made the rule `p_shop__r`"),
            (
                "CREATE TABLE p_shop__k (a TEXT REFERENCES plugins (name))",
                "its foreign key `p_shop__k_a_fkey` leads to `plugins`",
            ),
            ("CREATE TABLE p_shop__k (a TEXT REFERENCES plugins (name) ON DELETE SET NULL)", "leads to `plugins`"),
            ("GRANT SELECT ON p_shop__orders TO PUBLIC", "it gave rights on `p_shop__orders` to others"),
            (
                &format!("GRANT SELECT (note) ON p_shop__orders TO \"{other}\""),
                "it gave rights on columns of `p_shop__orders`",
            ),
        ] {
            let escaped = registry.migrate(2, text).await.unwrap_err();
            assert!(
                matches!(&escaped, MigrationError::Escaped { what, .. } if what.contains(told)),
                "{text}: {escaped}"
            );
            assert_eq!(registry.others().await, before, "{text}");
        }
        let client = registry.as_role(run).await;
        assert!(
            !registry.run(&client, "SELECT * FROM p_other__things").await.0.iter().any(|seen| seen.contains(SECRET))
        );
    });
}
