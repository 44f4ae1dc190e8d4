//! Rows that are changed and deleted.

use super::RowsAsked;
use crate::{
    limits,
    problem::{NotWritten, OrRefused, Refused, Told},
    query::{Prefer, Query, Returned},
    rows::{Format, RowWriter, document},
    schema::UserTable,
    sql::{self, Sql},
    store::Store,
    value,
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_RANGE, CONTENT_TYPE},
    },
    response::Response,
};
use camlock_plugin::database::RowStream;
use serde_json::Value as Json;
use std::sync::Arc;

/// Changes the rows that are found, which without a condition are all.
#[utoipa::path(
    patch,
    path = "/{table}",
    params(("table" = String, Path, description = "A table's name")),
    request_body(content = std::collections::BTreeMap<String, serde_json::Value>, description = "Columns and new values"),
    responses(
        (status = 200, body = Vec<std::collections::BTreeMap<String, serde_json::Value>>,
            description = "With `Prefer: return=representation`"),
        (status = 204),
        NotWritten,
    )
)]
pub async fn update_rows(
    State(store): State<Arc<Store>>,
    Told(Path(table)): Told<Path<String>>,
    RowsAsked(query): RowsAsked,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    if Format::sent(&headers)? != Format::Json {
        let words = "new values are sent as application/json";
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "PGRST102", words));
    }
    let outcome = ChangeOutcome::wanted(&headers)?;
    let table = store.table(&table).await?;
    let Json::Object(object) = document(body).await? else {
        return Err(Refused::unreadable("new values are one JSON object"));
    };
    let mut values = Vec::new();
    for (name, json) in object {
        if query.columns.as_ref().is_some_and(|columns| !columns.contains(&name)) {
            continue;
        }
        let value = value::of_json(table.kind(&name)?, &json).map_err(|refused| refused.of_column(&name))?;
        values.push((name, value));
    }
    if values.is_empty() {
        return Err(Refused::unreadable("there is nothing to change: no column is given"));
    }
    let sql = sql::update(&table, &query, &values, store.dialect().await?)?;
    outcome.of(&store, &table, &query, sql).await.map_err(|refused| table.blaming(refused))
}

/// Deletes the rows that are found, which without a condition are all.
#[utoipa::path(
    delete,
    path = "/{table}",
    params(("table" = String, Path, description = "A table's name")),
    responses(
        (status = 200, body = Vec<std::collections::BTreeMap<String, serde_json::Value>>,
            description = "With `Prefer: return=representation`"),
        (status = 204),
        NotWritten,
    )
)]
pub async fn delete_rows(
    State(store): State<Arc<Store>>,
    Told(Path(table)): Told<Path<String>>,
    RowsAsked(query): RowsAsked,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let outcome = ChangeOutcome::wanted(&headers)?;
    let table = store.table(&table).await?;
    let sql = sql::delete(&table, &query, store.dialect().await?)?;
    outcome.of(&store, &table, &query, sql).await
}

/// What is answered to a change.
pub struct ChangeOutcome {
    pub prefer: Prefer,
    pub format: Format,
}

impl ChangeOutcome {
    pub fn wanted(headers: &HeaderMap) -> OrRefused<Self> {
        Ok(ChangeOutcome { prefer: Prefer::of(headers), format: Format::accepted(headers)? })
    }

    /// Whether the rows are answered with.
    pub fn shows_rows(&self) -> bool {
        self.prefer.returned == Returned::Representation
    }

    async fn of(&self, store: &Store, table: &UserTable, query: &Query, sql: Sql) -> OrRefused<Response> {
        if !self.shows_rows() {
            let changed = store.database().execute(&sql.text, sql.params).await?;
            return Ok(self.response(StatusCode::NO_CONTENT, changed, Vec::new()));
        }
        let (sql, columns) = sql.returning(table, query)?;
        let mut transaction = store.database().begin().await?;
        let mut writer = RowWriter::new(self.format, columns);
        let mut out = Vec::new();
        writer.begin(&mut out);
        written(transaction.query(&sql.text, sql.params).await?, &mut writer, &mut out).await?;
        writer.end(&mut out);
        self.check(writer.rows())?;
        transaction.commit().await?;
        Ok(self.response(StatusCode::OK, writer.rows(), out))
    }

    /// One object stands for one row.
    pub fn check(&self, rows: u64) -> OrRefused<()> {
        match rows {
            1 => Ok(()),
            rows if self.format == Format::Object => Err(Refused::not_one(&rows.to_string())),
            _ => Ok(()),
        }
    }

    pub fn response(&self, status: StatusCode, changed: u64, rows: Vec<u8>) -> Response {
        let mut response = Response::new(Body::from(rows));
        *response.status_mut() = status;
        if self.shows_rows() {
            let content_type = HeaderValue::from_static(self.format.content_type());
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        let total = if self.prefer.count { changed.to_string() } else { "*".to_owned() };
        if let Ok(range) = HeaderValue::try_from(format!("*/{total}")) {
            response.headers_mut().insert(CONTENT_RANGE, range);
        }
        response
    }
}

/// Writes all rows, which are not too many.
pub async fn written(mut rows: RowStream<'_>, writer: &mut RowWriter, out: &mut Vec<u8>) -> OrRefused<()> {
    while let Some(row) = rows.next().await? {
        writer.row(row.values(), out);
        if out.len() > limits::REPRESENTATION {
            let message =
                format!("the rows to answer with are more than {} bytes; nothing was changed", limits::REPRESENTATION);
            let refused = Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "54000", message);
            return Err(refused.with_hint("`Prefer: return=minimal` answers without them"));
        }
    }
    Ok(())
}
