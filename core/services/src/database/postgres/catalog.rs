//! The look at the catalog before a migration is committed: whatever the migrating role owns is a table of the plugin, an index or a
//! view; nothing runs by itself, and nobody else was let in.
//!
//! It reads as the migrating role, within the migration's transaction, with a search path of `pg_catalog` alone: so no name in it
//! can be made to mean something else.

use super::PluginRoles;
use crate::database::names::TableNames;
use tokio_postgres::{Error, Transaction, types::Type};

/// What came out.
pub(super) enum Look {
    /// All is well; so are called the tables and views, and so the sequences.
    Well { tables: Vec<String>, sequences: Vec<String> },
    /// A clause says what is wrong.
    Wrong(String),
}

const RELATIONS: &str = "
    SELECT c.relname::text, c.relkind::text, n.nspname::text, c.relpersistence::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE pg_catalog.pg_get_userbyid(c.relowner) = session_user AND c.relkind <> 't' AND n.nspname <> 'pg_toast'
    ORDER BY 1";

/// Each answers with a clause for each thing that is wrong. `$1` is the schema, `$2` the role for run time.
const WRONG: [&str; 5] = [
    // Whatever is owned and is no relation: functions, types, schemas, operators, large objects, default rights.
    "SELECT 'it made the ' || pg_catalog.pg_describe_object(classid, objid, objsubid)
     FROM pg_catalog.pg_shdepend
     WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND pg_catalog.pg_get_userbyid(refobjid) = session_user
       AND deptype = 'o' AND classid <> 'pg_catalog.pg_class'::regclass AND $1::text IS NOT NULL AND $2::text IS NOT NULL
       AND dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))",
    // Whatever runs when something else does.
    "SELECT 'it made the trigger `' || t.tgname || '`, which no migration may'
     FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
     WHERE NOT t.tgisinternal AND pg_catalog.pg_get_userbyid(c.relowner) = session_user
       AND $1::text IS NOT NULL AND $2::text IS NOT NULL
     UNION ALL
     SELECT 'it made the rule `' || r.rulename || '`, which no migration may'
     FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
     WHERE r.rulename <> '_RETURN' AND pg_catalog.pg_get_userbyid(c.relowner) = session_user",
    // Keys to tables of others.
    "SELECT 'its foreign key `' || k.conname || '` leads to `' || c.relname || '`, or does more than to be removed with it'
     FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class o ON o.oid = k.conrelid
     JOIN pg_catalog.pg_class c ON c.oid = k.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND pg_catalog.pg_get_userbyid(o.relowner) = session_user
       AND pg_catalog.pg_get_userbyid(c.relowner) <> session_user AND $2::text IS NOT NULL
       AND NOT (n.nspname = $1 AND c.relname = 'plugins' AND k.confdeltype = 'c' AND k.confupdtype IN ('a', 'c'))",
    // Rights that were given away.
    "SELECT 'it gave rights on `' || c.relname || '` to others'
     FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
     WHERE pg_catalog.pg_get_userbyid(c.relowner) = session_user AND $1::text IS NOT NULL
       AND pg_catalog.pg_get_userbyid(a.grantee)::text NOT IN (session_user::text, $2)
     UNION ALL
     SELECT 'it gave rights on columns of `' || c.relname || '` to others'
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid, pg_catalog.aclexplode(t.attacl) a
     WHERE pg_catalog.pg_get_userbyid(c.relowner) = session_user
       AND pg_catalog.pg_get_userbyid(a.grantee)::text NOT IN (session_user::text, $2)",
    // Members, which a role may take on old servers. On new ones its maker is one, but by another's grant.
    "SELECT 'it made `' || pg_catalog.pg_get_userbyid(m.member) || '` a member of `' || pg_catalog.pg_get_userbyid(m.roleid) || '`'
     FROM pg_catalog.pg_auth_members m
     WHERE session_user IN (pg_catalog.pg_get_userbyid(m.roleid), pg_catalog.pg_get_userbyid(m.member))
       AND pg_catalog.pg_get_userbyid(m.grantor) IN (session_user, $2) AND $1::text IS NOT NULL",
];

pub(super) async fn look(
    transaction: &Transaction<'_>,
    roles: &PluginRoles,
    names: &TableNames,
) -> Result<Look, Error> {
    let (mut tables, mut sequences) = (Vec::new(), Vec::new());
    for row in transaction.query_typed(RELATIONS, &[]).await? {
        let (name, kind, schema, persistence): (String, String, String, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let what = kind_in_words(&kind);
        if schema != roles.schema || persistence == "t" {
            return Ok(Look::Wrong(format!("it made the {what} `{name}` in the schema `{schema}`")));
        }
        // PostgreSQL makes names of indexes and sequences by itself, and shortens them.
        let begin = names.prefix().get(..names.prefix().len().min(20)).unwrap_or_default();
        match kind.as_str() {
            "r" | "p" | "v" | "m" if names.owns(&name) => tables.push(name),
            "S" if name.starts_with(begin) => sequences.push(name),
            "i" | "I" if name.starts_with(begin) => {}
            "r" | "p" | "v" | "m" | "S" | "i" | "I" => {
                let prefix = names.prefix();
                return Ok(Look::Wrong(format!(
                    "it made the {what} `{name}`, whose name does not begin with `{prefix}`"
                )));
            }
            _ => return Ok(Look::Wrong(format!("it made the {what} `{name}`, which no migration may"))),
        }
    }
    let known = [(&roles.schema as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT), (&roles.run, Type::TEXT)];
    for question in WRONG {
        if let Some(row) = transaction.query_typed(question, &known).await?.first() {
            return Ok(Look::Wrong(row.get(0)));
        }
    }
    Ok(Look::Well { tables, sequences })
}

fn kind_in_words(kind: &str) -> &'static str {
    match kind {
        "r" | "p" => "table",
        "v" | "m" => "view",
        "S" => "sequence",
        "i" | "I" => "index",
        "c" => "type",
        "f" => "foreign table",
        _ => "relation",
    }
}
