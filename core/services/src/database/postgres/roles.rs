//! The roles of a plugin: their names, their passwords, their rights.

use super::rights::write_rights;
use crate::database::MigrationError;
use camlock_policy::SqlRights;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use tokio_postgres::{Client, Error, Transaction};

/// The two roles of a plugin in one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginRoles {
    /// The schema in which the host's tables and those of plugins are.
    pub schema: String,
    /// The plugin.
    pub plugin: String,
    /// The one for run time.
    pub run: String,
    /// The one for migrations.
    pub migrate: String,
}

/// PostgreSQL cuts off what is longer.
const MOST_NAME_BYTES: usize = 63;

impl PluginRoles {
    /// Roles belong to a whole server, on which there may be several registries, all in schemas of the same name: so the name has
    /// something of the database in it.
    pub fn of(database: &str, schema: &str, plugin: &str) -> Self {
        let whole = Sha256::digest(format!("{database}\0{schema}\0{plugin}"));
        let mark = hex(whole.get(..4).unwrap_or_default());
        let name = |end: &str| {
            let end = format!("_{mark}_{end}");
            let mut begin = format!("camlock_{schema}_{plugin}");
            let most = begin.floor_char_boundary(MOST_NAME_BYTES - end.len());
            begin.truncate(most);
            begin + &end
        };
        PluginRoles { schema: schema.to_owned(), plugin: plugin.to_owned(), run: name("run"), migrate: name("migrate") }
    }
}

/// The passwords of all roles, made of one key: servers of a fleet that have it need not tell each other any.
#[derive(Clone)]
pub struct RolePasswords([u8; 32]);

impl fmt::Debug for RolePasswords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RolePasswords")
    }
}

impl RolePasswords {
    /// Those of a key, which is of use for nothing else.
    pub fn new(key: [u8; 32]) -> Self {
        RolePasswords(key)
    }

    /// A role's password.
    pub fn of(&self, role: &str) -> Result<String, MigrationError> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0);
        let mut mac = mac.map_err(|error| MigrationError::Unavailable(error.to_string()))?;
        mac.update(role.as_bytes());
        Ok(hex(&mac.finalize().into_bytes()))
    }
}

/// What a role may use of the server.
#[derive(Clone, Copy, Debug)]
pub struct RoleLimits {
    /// So many connections at run time.
    pub connections: u32,
    /// A statement may take so long, unless the session says something else.
    pub statement_seconds: u32,
    /// A transaction may do nothing for so long, unless the session says something else.
    pub idle_seconds: u32,
}

impl Default for RoleLimits {
    fn default() -> Self {
        RoleLimits { connections: 20, statement_seconds: 10, idle_seconds: 5 }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(in crate::database) fn unavailable(error: &Error) -> MigrationError {
    let told = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
    MigrationError::Unavailable(format!("PostgreSQL: {told}"))
}

/// The registry's database, and the passwords of all roles in it: servers of a fleet have the same key, whoever made it first.
pub async fn passwords(host: &Client, schema: &str) -> Result<(String, RolePasswords), MigrationError> {
    let told = |error: Error| unavailable(&error);
    let keys = format!("{}._plugin_role_key", quoted(schema));
    let question = format!("SELECT pg_catalog.current_database()::text, (SELECT key FROM {keys})");
    let make = format!(
        "INSERT INTO {keys} (key) VALUES (pg_catalog.sha256(pg_catalog.convert_to(\
         gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))) ON CONFLICT DO NOTHING"
    );
    for make_one in [true, false] {
        let row = host.query_one(&question, &[]).await.map_err(told)?;
        let (database, key): (String, Option<Vec<u8>>) = (row.get(0), row.get(1));
        match key.map(<[u8; 32]>::try_from) {
            Some(Ok(key)) => return Ok((database, RolePasswords::new(key))),
            None if make_one => drop(host.execute(&make, &[]).await.map_err(told)?),
            _ => break,
        }
    }
    Err(MigrationError::Unavailable(format!("{keys} has no key")))
}

/// Whether a plugin has roles.
pub async fn has_roles(host: &Client, roles: &PluginRoles) -> Result<bool, MigrationError> {
    let question = format!("SELECT 1 FROM {}._plugin_roles WHERE plugin = $1", quoted(&roles.schema));
    Ok(host.query_opt(&question, &[&roles.plugin]).await.map_err(|error| unavailable(&error))?.is_some())
}

/// Begins to change roles and what is granted to them: one server after the other does, for PostgreSQL gives up whoever finds a row
/// of its catalog changed by another. Migrations that run meanwhile are not held up.
pub(super) async fn begin_to_change<'a>(
    host: &'a mut Client,
    roles: &PluginRoles,
) -> Result<Transaction<'a>, MigrationError> {
    let told = |error: Error| unavailable(&error);
    let transaction = host.transaction().await.map_err(told)?;
    let lock = format!(
        "SET LOCAL lock_timeout = '20s'; LOCK TABLE {}._plugin_roles IN SHARE ROW EXCLUSIVE MODE",
        quoted(&roles.schema)
    );
    transaction.batch_execute(&lock).await.map_err(told)?;
    Ok(transaction)
}

/// While this lasts no other server drops what plugins had: it locks what no plugin may touch, and what others only read.
pub(in crate::database) async fn turn_to_purge<'a>(
    host: &'a mut Client,
    schema: &str,
) -> Result<Transaction<'a>, MigrationError> {
    let told = |error: Error| unavailable(&error);
    let transaction = host.transaction().await.map_err(told)?;
    let keys = format!("{}._plugin_role_key", quoted(schema));
    let lock = format!(
        "SET LOCAL lock_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = 0; \
         LOCK TABLE {keys} IN SHARE ROW EXCLUSIVE MODE"
    );
    transaction.batch_execute(&lock).await.map_err(told)?;
    Ok(transaction)
}

/// Makes the roles of a plugin, or sets them right again, with what it may by SQL, if that is known. `host` is a connection of the host's,
/// for which no transaction is open.
pub async fn ensure_roles(
    host: &mut Client,
    roles: &PluginRoles,
    passwords: &RolePasswords,
    limits: RoleLimits,
    rights: Option<&SqlRights>,
) -> Result<(), MigrationError> {
    let told = |error: Error| unavailable(&error);
    check_server(host, &roles.schema).await?;
    let host = begin_to_change(host, roles).await?;
    let schema = quoted(&roles.schema);
    for (role, connections, statement_seconds) in [
        (&roles.run, limits.connections, limits.statement_seconds),
        // Migrations may take longer, and are timed by the host.
        (&roles.migrate, 10, 0),
    ] {
        let password = postgres_protocol::password::scram_sha_256(passwords.of(role)?.as_bytes());
        let name = quoted(role);
        let is_there = "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1";
        if host.query_opt(is_there, &[role]).await.map_err(told)?.is_none() {
            host.batch_execute(&format!("CREATE ROLE {name} LOGIN NOINHERIT")).await.map_err(told)?;
        }
        let idle = limits.idle_seconds;
        let settings = format!(
            "ALTER ROLE {name} LOGIN NOINHERIT CONNECTION LIMIT {connections} PASSWORD {};
             ALTER ROLE {name} RESET ALL;
             ALTER ROLE {name} SET search_path = {schema};
             ALTER ROLE {name} SET statement_timeout = '{statement_seconds}s';
             ALTER ROLE {name} SET lock_timeout = '5s';
             ALTER ROLE {name} SET idle_in_transaction_session_timeout = '{idle}s';
             GRANT USAGE ON SCHEMA {schema} TO {name};
             GRANT SELECT ON {schema}.camlock_plugins TO {name};",
            literal(&password)
        );
        host.batch_execute(&settings).await.map_err(told)?;
        revoke_memberships(&host, role).await?;
    }
    let (migrate, run) = (quoted(&roles.migrate), quoted(&roles.run));
    let own = format!(
        "GRANT CREATE ON SCHEMA {schema} TO {migrate};
         GRANT REFERENCES (name) ON {schema}.plugins TO {migrate};
         GRANT EXECUTE ON FUNCTION {schema}._plugin_migration_begin(), {schema}._plugin_migration_done(text), \
         {schema}._plugin_forget() TO {migrate};
         GRANT EXECUTE ON FUNCTION {schema}.enqueue(text, jsonb, jsonb), {schema}.emit(text, jsonb), \
         {schema}._emit_bytes(text, bytea, bytea, bigint) TO {run};"
    );
    host.batch_execute(&own).await.map_err(told)?;
    // A row that is as it should be is not touched: a migration that runs elsewhere has it locked.
    for row in [
        format!(
            "INSERT INTO {schema}._plugin_roles (plugin, migrate, run) VALUES ($1, $2, $3) ON CONFLICT (plugin) DO NOTHING"
        ),
        format!(
            "UPDATE {schema}._plugin_roles SET migrate = $2, run = $3 WHERE plugin = $1 \
             AND (migrate <> $2 OR run IS DISTINCT FROM $3)"
        ),
    ] {
        host.execute(&row, &[&roles.plugin, &roles.migrate, &roles.run]).await.map_err(told)?;
    }
    if let Some(rights) = rights {
        write_rights(&host, roles, rights).await.map_err(told)?;
    }
    host.commit().await.map_err(told)
}

/// Whether this server, as it is set up, can hold a plugin to its tables.
async fn check_server(host: &Client, schema: &str) -> Result<(), MigrationError> {
    let question = "SELECT current_user::text, \
                    (SELECT rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user), \
                    (SELECT string_agg(nspname, ', ') FROM pg_catalog.pg_namespace WHERE nspname IN ('public', $1) AND \
                     pg_catalog.has_schema_privilege('public', oid, 'CREATE')), \
                    pg_catalog.has_database_privilege('public', pg_catalog.current_database(), 'CREATE')";
    let row = host.query_one(question, &[&schema]).await.map_err(|error| unavailable(&error))?;
    let (user, may_make, open): (String, bool, Option<String>) = (row.get(0), row.get(1), row.get(2));
    if !may_make {
        return Err(MigrationError::Unavailable(format!(
            "`database` needs a role of PostgreSQL for each plugin, which the user `{user}` may not make: let a superuser run \
             `ALTER ROLE {} CREATEROLE`, or use SQLite",
            quoted(&user)
        )));
    }
    if let Some(open) = open {
        return Err(MigrationError::Unavailable(format!(
            "anybody may make tables in the schema `{open}` of this database, plugins too: run \
             `REVOKE CREATE ON SCHEMA {open} FROM PUBLIC` as its owner"
        )));
    }
    if row.get(3) {
        return Err(MigrationError::Unavailable(
            "anybody may make schemas in this database, plugins too: run `REVOKE CREATE ON DATABASE … FROM PUBLIC`"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Nobody is a member of these roles, and they are members of none. The host is the exception: PostgreSQL makes it one.
async fn revoke_memberships(host: &Transaction<'_>, role: &str) -> Result<(), MigrationError> {
    let question = "SELECT pg_catalog.pg_get_userbyid(roleid)::text, pg_catalog.pg_get_userbyid(member)::text \
                    FROM pg_catalog.pg_auth_members \
                    WHERE $1 IN (pg_catalog.pg_get_userbyid(roleid), pg_catalog.pg_get_userbyid(member)) \
                    AND pg_catalog.pg_get_userbyid(member) <> current_user";
    for row in host.query(question, &[&role]).await.map_err(|error| unavailable(&error))? {
        let (group, member): (String, String) = (row.get(0), row.get(1));
        let revoke = format!("REVOKE {} FROM {} CASCADE", quoted(&group), quoted(&member));
        host.batch_execute(&revoke).await.map_err(|error| unavailable(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let roles = PluginRoles::of("fleet", "camlock", "my-shop");
        assert!(roles.run.starts_with("camlock_camlock_my-shop_") && roles.run.ends_with("_run"), "{roles:?}");
        assert!(roles.migrate.ends_with("_migrate"));
        assert_ne!(PluginRoles::of("staging", "camlock", "my-shop").run, roles.run, "another registry on that server");
        let long = "a-plugin-with-a-name-that-is-as-long-as-names-may-b";
        let (one, other) = (PluginRoles::of("d", "schema", &format!("{long}1")), PluginRoles::of("d", "schema", long));
        assert!([&one.run, &one.migrate, &other.migrate].iter().all(|name| name.len() <= 63));
        assert_ne!(one.migrate, other.migrate);
        let wide = PluginRoles::of("d", &"ö".repeat(40), "shop");
        assert!(wide.run.len() <= 63 && wide.run.ends_with("_run"));
    }

    #[test]
    fn passwords_come_of_the_key_and_the_role() {
        let passwords = RolePasswords::new([7; 32]);
        let of = |role| passwords.of(role).unwrap();
        assert_eq!((of("a"), of("a").len()), (of("a"), 64));
        assert_ne!(of("a"), of("b"));
        assert_ne!(of("a"), RolePasswords::new([8; 32]).of("a").unwrap());
        assert_eq!(format!("{passwords:?}"), "RolePasswords");
    }
}
