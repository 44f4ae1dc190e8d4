//! Tokens: made with a secret that is shown once, listed without it, revoked.

use crate::{
    admit::Visitor,
    ask::{bad, read_some},
    journal::unavailable,
    keys::holds,
    state::ControlState,
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use camlock_api::{CreatedToken, Page, TokenStatus, UtcTime};
use camlock_http::Problem;
use camlock_policy::{
    Digest,
    registry::{Actor, NewToken, Role, TokenView},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, LOCATION},
};
use jiff::Timestamp;
use serde::Deserialize;
use std::{
    fs::File,
    io::{self, Read},
    time::SystemTime,
};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, schema::Type},
};

/// What secrets begin with, so that people and tools know one when they see it.
const PREFIX: &str = "camlock_";
/// The longest name.
const LONGEST: usize = 64;

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// What it is called in the journal: letters, digits, `.`, `_`, `-`.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    name: String,
    #[schema(schema_with = roles)]
    role: Role,
    /// Until when it holds, as RFC 3339 has it; for good, without.
    #[schema(format = DateTime)]
    expires: Option<String>,
}

fn roles() -> Object {
    let words = [Role::Viewer, Role::Operator, Role::Admin].map(Role::word);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

fn shown(token: TokenView) -> TokenStatus {
    TokenStatus {
        holds: holds(&token, SystemTime::now()),
        id: token.id,
        name: token.name,
        role: token.role,
        created: token.created.into(),
        expires: token.expires.map(UtcTime::from),
        revoked: token.revoked.map(UtcTime::from),
    }
}

/// All tokens on record.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "tokens", responses(
    (status = 200, description = "All, also those that hold no longer", body = Page<TokenStatus>),
))]
pub(super) async fn list(State(control): ControlState) -> Json<Page<TokenStatus>> {
    Json(Page::whole(control.options.tokens.known().into_iter().map(shown).collect()))
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "create_token", request_body = TokenRequest, responses(
    (status = 201, description = "It is made; its secret is shown now and never again", body = CreatedToken),
    (status = 409, description = "A token of this name holds already"),
    (status = 503, description = "The registry cannot be written"),
))]
pub(super) async fn create(State(control): ControlState, visitor: Visitor, body: Body) -> Result<Response, Problem> {
    let wish: TokenRequest = read_some(body).await?;
    let TokenRequest { name, role, .. } = &wish;
    check(name)?;
    let expires = wish.expires.as_deref().map(|expires| until(expires, SystemTime::now())).transpose()?;
    let secret = secret().map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the system gives no random numbers: {error}"))
    })?;
    let token = NewToken { name: name.clone(), role: *role, hash: Digest::of(secret.as_bytes()), expires };
    let Some(made) = control.options.tokens.create(token, visitor.by).await.map_err(unavailable)? else {
        let detail = format!("there is a token `{name}` that holds: revoke it, or choose another name");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    let headers = [(LOCATION, format!("/api/v1/tokens/{}", made.id)), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, Json(CreatedToken { about: shown(made), token: secret })).into_response())
}

/// Revokes a token. Once more changes nothing.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "revoke_token",
    params(("id" = u64, Path, description = "The token's number")), responses(
    (status = 204, description = "It lets nobody in any more"),
    (status = 503, description = "The registry cannot be written"),
))]
pub(super) async fn revoke(
    State(control): ControlState,
    visitor: Visitor,
    id: Result<Path<u64>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "there is no such token: see GET /api/v1/tokens");
    let Ok(Path(id)) = id else { return Err(none()) };
    let revoked = control.options.tokens.revoke(id, visitor.by).await.map_err(unavailable)?;
    if revoked { Ok(StatusCode::NO_CONTENT) } else { Err(none()) }
}

fn check(name: &str) -> Result<(), Problem> {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !good || name.len() > LONGEST || !name.bytes().all(fit) {
        let rule = format!("letters, digits, `.`, `_` and `-`, {LONGEST} at most, the first a letter or a digit");
        return Err(bad(format!("`name` is no name for a token: {rule}")));
    }
    if !Actor::is_free_for_a_token(name) {
        return Err(bad(format!("`{name}` is no name for a token: the journal uses it for something else")));
    }
    Ok(())
}

fn until(expires: &str, now: SystemTime) -> Result<SystemTime, Problem> {
    let at: Timestamp = expires
        .parse()
        .map_err(|_| bad(format!("`expires` is a time like 2030-01-31T12:00:00Z, and not `{expires}`")))?;
    let at = SystemTime::from(at);
    if at <= now {
        return Err(bad(format!("`expires` is over already: {expires}")));
    }
    Ok(at)
}

/// 256 bits that nobody can guess.
pub(super) fn secret() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(PREFIX.to_owned(), |text, byte| text + &format!("{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn names_and_times_are_checked() {
        for (name, good) in [
            ("ci", true),
            ("Release.Bot_7-x", true),
            ("", false),
            ("-x", false),
            ("a b", false),
            ("ä", false),
            ("admin", false),
            ("health", false),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(check(name).is_ok(), good, "{name}");
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (expires, good) in [
            ("2030-01-31T12:00:00Z", true),
            ("2030-01-31T12:00:00+01:00", true),
            ("2001-01-31T12:00:00Z", false),
            ("2030-01-31", false),
            ("soon", false),
            ("", false),
        ] {
            assert_eq!(until(expires, now).is_ok(), good, "{expires}");
        }
    }

    #[test]
    fn secrets_differ() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert!(one != other && one.len() == PREFIX.len() + 64 && one.starts_with(PREFIX));
    }
}
