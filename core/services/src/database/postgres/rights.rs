//! What a plugin may by SQL of its own, beside using its tables, as the functions look it up that do it for the role. What must not live
//! here: who is granted what.

use super::roles::{PluginRoles, begin_to_change, quoted, unavailable};
use crate::database::MigrationError;
use camlock_policy::SqlRights;
use tokio_postgres::{Client, Error, Transaction};

/// From now on a plugin's role for run time may this.
pub async fn let_by_sql(host: &mut Client, roles: &PluginRoles, rights: &SqlRights) -> Result<(), MigrationError> {
    let told = |error: Error| unavailable(&error);
    let host = begin_to_change(host, roles).await?;
    write_rights(&host, roles, rights).await.map_err(told)?;
    host.commit().await.map_err(told)
}

/// The same, within the transaction in which the role is made.
pub(super) async fn write_rights(host: &Transaction<'_>, roles: &PluginRoles, rights: &SqlRights) -> Result<(), Error> {
    let schema = quoted(&roles.schema);
    let patterns: Vec<&str> = rights.emits.iter().map(String::as_str).collect();
    let remove = format!("DELETE FROM {schema}.event_emitters WHERE role = $1 AND pattern <> ALL ($2)");
    host.execute(&remove, &[&roles.run, &patterns]).await?;
    let insert = format!(
        "INSERT INTO {schema}.event_emitters (role, plugin, pattern) SELECT $1, $2, unnest($3::text[]) ON CONFLICT DO NOTHING"
    );
    host.execute(&insert, &[&roles.run, &roles.plugin, &patterns]).await?;
    if rights.tasks {
        let insert = format!("INSERT INTO {schema}.task_senders (role, plugin) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        host.execute(&insert, &[&roles.run, &roles.plugin]).await?;
    } else {
        host.execute(&format!("DELETE FROM {schema}.task_senders WHERE role = $1"), &[&roles.run]).await?;
    }
    Ok(())
}
