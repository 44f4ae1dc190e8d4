//! Rows that are added: all of a request's in one transaction.

use super::{
    RowsAsked,
    change::{ChangeOutcome, written},
};
use crate::{
    limits,
    problem::{NotWritten, OrRefused, Refused, Told},
    query::{Prefer, Query, Returned},
    rows::{Format, IncomingRows, RowWriter, Sent},
    schema::{ID, UserTable},
    sql::{Engine, Insert, OnConflict},
    store::Store,
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION},
    response::Response,
};
use camlock_plugin::database::{SqlValue, Transaction};
use std::sync::Arc;

/// Adds rows: one object, an array of them, CSV with a line of names, or NDJSON. Those that are there already are changed with
/// `Prefer: resolution=merge-duplicates`.
#[utoipa::path(
    post,
    path = "/{table}",
    params(
        ("table" = String, Path, description = "A table's name"),
        ("columns" = Option<String>, Query, description = "The columns that are written; others are passed over"),
        ("on_conflict" = Option<String>, Query, description = "The column that tells which rows are there, by default `id`"),
    ),
    request_body(content(
        (Vec<std::collections::BTreeMap<String, serde_json::Value>> = "application/json"),
        (String = "text/csv"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 201, description = "With `Prefer: return=representation`, the rows"),
        NotWritten,
    )
)]
pub async fn add_rows(
    State(store): State<Arc<Store>>,
    Told(Path(table)): Told<Path<String>>,
    RowsAsked(query): RowsAsked,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let (outcome, format) = (ChangeOutcome::wanted(&headers)?, Format::sent(&headers)?);
    let table = store.table(&table).await?;
    let dialect = store.dialect().await?;
    let prefer = outcome.prefer;
    let incoming = IncomingRows::new(Sent { table: &table, query: &query, prefer }, format, body);
    let conflict = on_conflict(&table, &query, prefer)?;
    let mut adding =
        Adding { table: &table, query: &query, outcome, conflict, dialect, incoming, last_id: None, highest: None };
    let (added, rows) = adding.all(&store).await.map_err(|refused| table.blaming(refused))?;
    if dialect == Engine::Postgres
        && let Some(highest) = adding.highest.filter(|id| *id > 0)
    {
        follow(&store, &table, highest).await;
    }
    let mut response = adding.outcome.response(StatusCode::CREATED, added, rows);
    if let (Returned::HeadersOnly, 1, Some(id)) = (prefer.returned, added, adding.last_id)
        && let Ok(location) = HeaderValue::try_from(format!("{}?id=eq.{id}", table.name))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn on_conflict(table: &UserTable, query: &Query, prefer: Prefer) -> OrRefused<Option<OnConflict>> {
    let Some(resolution) = prefer.resolution else { return Ok(None) };
    let column = query.on_conflict.clone().unwrap_or_else(|| ID.to_owned());
    table.kind(&column)?;
    if column != ID && !table.find(&column).is_some_and(|column| column.unique) {
        let message = format!("the column `{column}` is not unique, so it does not tell which row is there already");
        return Err(Refused::new(StatusCode::BAD_REQUEST, "42P10", message));
    }
    Ok(Some(OnConflict { column, resolution }))
}

/// The rows are there: should this fail, an id may be refused once that is taken, and no row is wrong.
async fn follow(store: &Store, table: &UserTable, highest: i64) {
    let question = format!("SELECT last_value FROM {}_id_seq", table.stored());
    let Ok(rows) = store.database().query(&question, ()).await else { return };
    let Ok(row) = rows.into_one().await else { return };
    if row.get::<i64>("last_value").is_ok_and(|last| last <= highest) {
        let _ = store.count_on(table).await;
    }
}

struct Adding<'a> {
    table: &'a UserTable,
    query: &'a Query,
    outcome: ChangeOutcome,
    conflict: Option<OnConflict>,
    dialect: Engine,
    incoming: IncomingRows<'a>,
    /// Of the last row, if it is asked for.
    last_id: Option<i64>,
    /// Of those that were given.
    highest: Option<i64>,
}

type Piece = Vec<Vec<Option<SqlValue>>>;

impl Adding<'_> {
    /// How many rows there are now, and those rows if they are answered with.
    async fn all(&mut self, store: &Store) -> OrRefused<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        // What fits in one statement has come before anybody waits for what a transaction holds.
        let Some(mut piece) = self.piece().await? else {
            if self.outcome.shows_rows() && self.outcome.format == Format::Json {
                out.extend_from_slice(b"[]");
            }
            self.outcome.check(0)?;
            return Ok((0, out));
        };
        let mut writer = None;
        let mut transaction = store.database().begin().await?;
        let mut added = 0;
        loop {
            added += self
                .add(&mut transaction, piece, &mut writer, &mut out)
                .await
                .map_err(|refused| too_long(refused, added))?;
            match self.piece().await? {
                Some(next) => piece = next,
                None => break,
            }
        }
        if let Some(writer) = &writer {
            writer.end(&mut out);
            self.outcome.check(added)?;
        }
        transaction.commit().await?;
        Ok((added, out))
    }

    async fn add(
        &mut self,
        transaction: &mut Transaction,
        piece: Piece,
        writer: &mut Option<RowWriter>,
        out: &mut Vec<u8>,
    ) -> OrRefused<u64> {
        let Some(shape) = self.incoming.shape() else { return Ok(0) };
        let on_conflict = self.conflict.clone();
        let (table, dialect) = (self.table, self.dialect);
        let insert = Insert { table, columns: &shape.columns, given: shape.given, on_conflict, dialect };
        if let Some(at) = shape.columns.iter().position(|name| name == ID) {
            let ids = piece.iter().filter_map(|row| match row.get(at) {
                Some(Some(SqlValue::Integer(id))) => Some(*id),
                _ => None,
            });
            self.highest = ids.chain(self.highest).max();
        }
        let is_one = piece.len() == 1;
        let sql = insert.rows(piece);
        if self.outcome.prefer.returned == Returned::HeadersOnly && is_one {
            let (sql, _) = sql.returning(table, &Query::default())?;
            let Some(row) = transaction.query(&sql.text, sql.params).await?.next().await? else { return Ok(0) };
            self.last_id = Some(row.get(ID)?);
            return Ok(1);
        }
        if !self.outcome.shows_rows() {
            return Ok(transaction.execute(&sql.text, sql.params).await?);
        }
        let (sql, columns) = sql.returning(table, self.query)?;
        let writer = writer.get_or_insert_with(|| {
            let writer = RowWriter::new(self.outcome.format, columns);
            writer.begin(out);
            writer
        });
        let before = writer.rows();
        written(transaction.query(&sql.text, sql.params).await?, writer, out).await?;
        Ok(writer.rows() - before)
    }

    /// So many rows as go into one statement; none at the end.
    async fn piece(&mut self) -> OrRefused<Option<Piece>> {
        let (mut piece, mut parameters, mut bytes) = (Piece::new(), 0, 0);
        while parameters < limits::PARAMETERS && bytes < limits::VALUES {
            let Some(row) = self.incoming.next().await? else { break };
            parameters += row.len().max(1);
            bytes += row.iter().flatten().map(size).sum::<usize>();
            piece.push(row);
        }
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

fn size(value: &SqlValue) -> usize {
    match value {
        SqlValue::Text(text) | SqlValue::Json(text) => text.len() + 16,
        _ => 16,
    }
}

/// What to do if a transaction took too long.
fn too_long(refused: Refused, added: u64) -> Refused {
    if refused.code != "57014" {
        return refused;
    }
    let message =
        format!("the rows of a request are added in one transaction, which took too long after {added} of them");
    let hint = "nothing was added: send them in several requests, of half as many rows each";
    Refused { status: StatusCode::PAYLOAD_TOO_LARGE, message, ..refused }.with_hint(hint)
}
