//! Tokens: in the database, and all of them in memory.

use crate::{
    Trouble,
    clerk::{milliseconds, time},
    connection::{Dialect, Value},
    database::Work,
    record::count,
    shared::StoreCore,
    words::Words,
};
use camlock_policy::{
    BoxFuture,
    registry::{Actor, NewToken, Role, TokenView, Tokens, Unavailable},
};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use std::sync::PoisonError;

#[derive(QueryableByName)]
struct TokenRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    name: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    role: String,
    #[diesel(sql_type = Text, deserialize_as = Words)]
    hash: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    created_ms: Option<i64>,
    #[diesel(sql_type = Bool)]
    expires: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    expires_ms: Option<i64>,
    #[diesel(sql_type = Bool)]
    revoked: bool,
    #[diesel(sql_type = Nullable<BigInt>)]
    revoked_ms: Option<i64>,
}

fn columns(dialect: Dialect) -> String {
    format!(
        "id, name, role, hash, {} AS created_ms, expires_at IS NOT NULL AS expires, {} AS expires_ms, \
         revoked_at IS NOT NULL AS revoked, {} AS revoked_ms",
        dialect.milliseconds("created_at"),
        dialect.milliseconds("expires_at"),
        dialect.milliseconds("revoked_at")
    )
}

/// A row that this program does not understand lets nobody in, and says so. A time that cannot be read has long passed: a token
/// whose end is damaged has ended.
fn view(row: TokenRow) -> Option<TokenView> {
    let roles = [Role::Viewer, Role::Operator, Role::Admin];
    let role = roles.iter().find(|role| role.word() == row.role);
    let (Some(role), Ok(hash)) = (role, row.hash.parse()) else {
        tracing::warn!(
            id = row.id,
            "a row of `api_tokens` lets nobody in, for its role or hash cannot be read: delete it"
        );
        return None;
    };
    let at = |set: bool, milliseconds: Option<i64>| set.then(|| time(milliseconds.unwrap_or(0)));
    Some(TokenView {
        id: count(row.id),
        role: *role,
        hash,
        name: row.name,
        created: time(row.created_ms.unwrap_or(0)),
        expires: at(row.expires, row.expires_ms),
        revoked: at(row.revoked, row.revoked_ms),
    })
}

impl Tokens for StoreCore {
    fn known(&self) -> Vec<TokenView> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn create(&self, token: NewToken, by: Actor) -> BoxFuture<Result<Option<TokenView>, Unavailable>> {
        let this = self.clone();
        self.database.within(async move {
            let mut work = this.database.write().await?;
            let dialect = work.dialect();
            let free = format!(
                "UPDATE api_tokens SET revoked_at = expires_at WHERE name = $1 AND revoked_at IS NULL AND expires_at <= {}",
                dialect.now()
            );
            work.run(&free, vec![(&token.name).into()]).await?;
            let create = format!(
                "INSERT INTO api_tokens (name, role, hash, expires_at) VALUES ($1, $2, $3, {}) ON CONFLICT DO NOTHING RETURNING {}",
                dialect.time("$4"),
                columns(dialect)
            );
            let values: Vec<Value> = vec![
                (&token.name).into(),
                token.role.word().into(),
                token.hash.to_string().into(),
                token.expires.map(milliseconds).into(),
            ];
            let made = work.row::<TokenRow>(&create, values).await?.and_then(view);
            if let Some(made) = &made {
                this.note_token(&mut work, "token-created", made.id, &made.name, by.as_str()).await?;
            }
            let tokens = read(&mut work).await?;
            work.commit().await?;
            this.know_tokens(tokens);
            Ok(made)
        })
    }

    fn revoke(&self, id: u64, by: Actor) -> BoxFuture<Result<bool, Unavailable>> {
        let this = self.clone();
        self.database.within(async move {
            let mut work = this.database.write().await?;
            let dialect = work.dialect();
            let revoke = format!(
                "UPDATE api_tokens SET revoked_at = {} WHERE id = $1 AND revoked_at IS NULL RETURNING {}",
                dialect.now(),
                columns(dialect)
            );
            let revoked = work.row::<TokenRow>(&revoke, vec![id.into()]).await?;
            if let Some(revoked) = &revoked {
                this.note_token(&mut work, "token-revoked", id, &revoked.name, by.as_str()).await?;
            }
            let tokens = read(&mut work).await?;
            work.commit().await?;
            this.know_tokens(tokens);
            Ok(revoked.is_some())
        })
    }
}

async fn read(work: &mut Work) -> Result<Vec<TokenView>, Trouble> {
    let all = format!("SELECT {} FROM api_tokens ORDER BY id", columns(work.dialect()));
    Ok(work.rows::<TokenRow>(&all, vec![]).await?.into_iter().filter_map(view).collect())
}

impl StoreCore {
    fn know_tokens(&self, tokens: Vec<TokenView>) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
    }

    /// Reads them anew.
    pub(crate) async fn load_tokens(&self) -> Result<(), Trouble> {
        let tokens = read(&mut self.database.alone().await?).await?;
        self.know_tokens(tokens);
        Ok(())
    }

    /// The same, when word came of a change. If they cannot be read those that were known go on; the link breaks, and they are read
    /// when it stands again.
    pub(crate) async fn read_tokens(&self) {
        let this = self.clone();
        if let Err(error) = self.database.within(async move { this.load_tokens().await }).await {
            tracing::warn!("tokens could not be read, those known so far go on: {error}");
        }
    }

    async fn note_token(
        &self,
        work: &mut Work,
        what: &'static str,
        id: u64,
        name: &str,
        by: &str,
    ) -> Result<(), Trouble> {
        let note = format!(
            "INSERT INTO plugin_journal (node, what, actor, detail) VALUES ($1, $2, $3, {})",
            work.dialect().json("$4")
        );
        let detail = serde_json::json!({ "id": id, "name": name }).to_string();
        work.run(&note, vec![self.node().into(), what.into(), by.into(), detail.into()]).await.map(drop)
    }
}
