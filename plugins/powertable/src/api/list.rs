//! Rows that are read: streamed, however many there are.

use super::RowsAsked;
use crate::{
    limits,
    problem::{NotRead, Refused, Told},
    query::{Prefer, Window, content_range},
    rows::{Format, RowWriter},
    schema::UserTable,
    sql::{self, Engine},
    store::Store,
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{CONTENT_RANGE, CONTENT_TYPE},
    },
    response::Response,
};
use camlock_plugin::{HostError, database::RowStream};
use futures_util::stream;
use std::{mem, sync::Arc};

/// Some of a table's rows. Any other word of the query is a column and what must hold of it: `?born=gte.1815`.
#[utoipa::path(
    get,
    path = "/{table}",
    params(
        ("table" = String, Path, description = "A table's name"),
        ("select" = Option<String>, Query, description = "Columns, with other names if you like: `name,year:born`"),
        ("order" = Option<String>, Query, description = "`born.desc.nullslast,name`"),
        ("limit" = Option<u32>, Query, description = "So many rows at most"),
        ("offset" = Option<u32>, Query, description = "So many rows are left out before them"),
        ("and" = Option<String>, Query, description = "Conditions of which all hold: `(born.gte.1800,born.lt.1900)`"),
        ("or" = Option<String>, Query, description = "Conditions of which one holds: `(born.lt.1800,name.like.A*)`"),
    ),
    responses(
        (status = 200, content(
            (Vec<std::collections::BTreeMap<String, serde_json::Value>> = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        )),
        (status = 206, description = "A part of the rows, of which all were counted (`Prefer: count=exact`)"),
        NotRead,
    )
)]
pub async fn list_rows(
    State(store): State<Arc<Store>>,
    method: Method,
    Told(Path(table)): Told<Path<String>>,
    RowsAsked(mut query): RowsAsked,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (prefer, format) = (Prefer::of(&headers), Format::accepted(&headers)?);
    let table = store.table(&table).await?;
    let dialect = store.dialect().await?;
    query.window = query.window.or_header(&headers).at_most(store.max_rows());
    let (sql, columns) = sql::select(&table, &query, dialect)?;
    let total = if prefer.count { Some(total(&store, &table, &query, dialect).await?) } else { None };
    let head = Head { format, window: query.window, total };
    if method == Method::HEAD {
        return head.response(head.rows_of_total(), Body::empty());
    }
    let mut rows = store.database().query(&sql.text, sql.params).await?;
    let mut writer = RowWriter::new(format, columns);
    let mut first = Vec::new();
    writer.begin(&mut first);
    if format == Format::Object {
        return one(rows, writer, head).await;
    }
    match fill(&mut rows, &mut writer, &mut first).await? {
        Filled::All => head.response(Some(writer.rows()), Body::from(first)),
        Filled::Part => {
            let rest = stream::try_unfold(Some((rows, writer)), |left| async {
                let Some((mut rows, mut writer)) = left else { return Ok(None) };
                let mut chunk = Vec::with_capacity(limits::CHUNK + 1024);
                Ok::<_, HostError>(match fill(&mut rows, &mut writer, &mut chunk).await? {
                    Filled::Part => Some((chunk, Some((rows, writer)))),
                    Filled::All => Some((chunk, None)),
                })
            });
            let first = stream::iter([Ok(mem::take(&mut first))]);
            head.response(head.rows_of_total(), Body::from_stream(futures_util::StreamExt::chain(first, rest)))
        }
    }
}

async fn total(store: &Store, table: &UserTable, query: &crate::query::Query, dialect: Engine) -> Result<u64, Refused> {
    let sql = sql::count(table, query, dialect)?;
    let row = store.database().query(&sql.text, sql.params).await?.into_one().await?;
    Ok(row.get::<u64>("count")?)
}

enum Filled {
    Part,
    All,
}

/// Writes rows until there is enough for a piece.
async fn fill(rows: &mut RowStream<'_>, writer: &mut RowWriter, out: &mut Vec<u8>) -> Result<Filled, HostError> {
    while out.len() < limits::CHUNK {
        match rows.next().await? {
            Some(row) => writer.row(row.values(), out),
            None => {
                writer.end(out);
                return Ok(Filled::All);
            }
        }
    }
    Ok(Filled::Part)
}

/// The one row that was asked for.
async fn one(mut rows: RowStream<'_>, mut writer: RowWriter, head: Head) -> Result<Response, Refused> {
    let row = rows.next().await?.ok_or_else(|| Refused::not_one("0"))?;
    if rows.next().await?.is_some() {
        return Err(Refused::not_one("more than 1"));
    }
    let mut out = Vec::new();
    writer.row(row.values(), &mut out);
    head.response(Some(1), Body::from(out))
}

/// What is said of rows before they come.
struct Head {
    format: Format,
    window: Window,
    total: Option<u64>,
}

impl Head {
    /// How many rows there will be, if all were counted.
    fn rows_of_total(&self) -> Option<u64> {
        let left = self.total?.saturating_sub(self.window.offset);
        Some(self.window.limit.map_or(left, |limit| limit.min(left)))
    }

    /// Without the number of rows nothing is said of their range: where it ends is not known yet.
    fn response(&self, rows: Option<u64>, body: Body) -> Result<Response, Refused> {
        let mut response = Response::new(body);
        let content_type = HeaderValue::from_static(self.format.content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        if let Some(rows) = rows {
            let (status, range) = content_range(self.window, rows, self.total);
            if status == StatusCode::RANGE_NOT_SATISFIABLE {
                let (offset, total) = (self.window.offset, self.total.unwrap_or_default());
                let refused = Refused::new(status, "PGRST103", "Requested range not satisfiable");
                let details = format!("An offset of {offset} was requested, but there are only {total} rows.");
                return Err(refused.with_details(details));
            }
            // An object is the whole of what was asked for.
            *response.status_mut() = if self.format == Format::Object { StatusCode::OK } else { status };
            if let Ok(range) = HeaderValue::try_from(range) {
                response.headers_mut().insert(CONTENT_RANGE, range);
            }
        }
        Ok(response)
    }
}
