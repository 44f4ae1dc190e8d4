//! The service at run time, in both databases: what is asked as frames, and what is answered.

use crate::{
    carry::place::OnServer,
    postgres::{HostIs, Registry, run},
    sqlite::Place,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use camlock_policy::{AskError, Asker, Body, BoxFuture, Granted, Grants, MigrationFile, TableTerms};
use camlock_services::{
    Service,
    database::{
        service::{DatabaseService, Ended, Session, SessionLimits, Sessions, wire::SqlParameter},
        sqlite::FencedConnection,
    },
};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{Mutex, mpsc};

/// A database with one connection for all sessions, one after the other.
#[derive(Clone)]
enum Lender {
    Sqlite(Arc<Mutex<FencedConnection>>),
    Postgres(Arc<Registry>),
}

struct Lending(Lender, mpsc::UnboundedSender<Ended>);

impl Sessions for Lending {
    fn start(&self, plugin: &Arc<str>, session: Session) -> BoxFuture<Result<(), AskError>> {
        let (lender, ended, plugin) = (self.0.clone(), self.1.clone(), plugin.clone());
        Box::pin(async move {
            match lender {
                Lender::Sqlite(connection) => {
                    let mut connection = connection.lock_owned().await;
                    tokio::task::spawn_blocking(move || ended.send(session.run_on_sqlite(&mut connection, &plugin)));
                }
                Lender::Postgres(registry) => {
                    let client = registry.as_role(&registry.shop.run).await;
                    tokio::spawn(async move { ended.send(session.run_on_postgres(&client, "shop", "camlock").await) });
                }
            }
            Ok(())
        })
    }
}

/// The service, and a place that is kept for it.
struct World {
    service: DatabaseService<Lending>,
    ended: mpsc::UnboundedReceiver<Ended>,
    is_postgres: bool,
    _place: Option<tempfile::TempDir>,
}

/// An ask in the middle.
struct Asked {
    orders: Option<mpsc::UnboundedSender<Bytes>>,
    answer: Body,
    pending: BytesMut,
}

#[derive(Debug, PartialEq)]
enum Reply {
    Columns(Vec<String>),
    Rows(usize),
    Done(u64),
    Error(String, String),
}

impl World {
    async fn ask(&self) -> Asked {
        ask(&self.service).await
    }

    /// `?` as the database writes it.
    fn sql(&self, sql: &str) -> String {
        if !self.is_postgres {
            return sql.to_owned();
        }
        sql.split('?').enumerate().fold(String::new(), |sql, (at, part)| match at {
            0 => part.to_owned(),
            _ => format!("{sql}${at}{part}"),
        })
    }
}

async fn ask(service: &impl Service) -> Asked {
    let (orders, to_send) = mpsc::unbounded_channel();
    let frames = futures_util::stream::unfold(to_send, |mut to_send: mpsc::UnboundedReceiver<Bytes>| async move {
        to_send.recv().await.map(|order| (Ok::<_, Infallible>(Frame::data(order)), to_send))
    });
    let body = Body::stream(StreamBody::new(Box::pin(frames)));
    let granted = Granted::new(["database".to_owned()], &Grants::Asked);
    let asker = Asker { plugin: "shop".into(), generation: 1, granted, document: Default::default() };
    let answer = service.answer(&asker, Request::post("/database/1").body(body).unwrap()).await.unwrap();
    Asked { orders: Some(orders), answer: answer.into_body(), pending: BytesMut::new() }
}

impl Asked {
    fn send(&self, kind: u8, rest: &[u8]) {
        let mut order = BytesMut::new();
        order.put_u32_le(u32::try_from(rest.len() + 1).unwrap());
        order.put_u8(kind);
        order.put_slice(rest);
        self.orders.as_ref().unwrap().send(order.freeze()).unwrap();
    }

    fn statement(&self, sql: &str, values: &[SqlParameter]) {
        let mut order = BytesMut::new();
        let put = |order: &mut BytesMut, kind: Option<u8>, bytes: &[u8]| {
            kind.into_iter().for_each(|kind| order.put_u8(kind));
            order.put_u32_le(u32::try_from(bytes.len()).unwrap());
            order.put_slice(bytes);
        };
        put(&mut order, None, sql.as_bytes());
        order.put_u16_le(u16::try_from(values.len()).unwrap());
        for value in values {
            match value {
                SqlParameter::Null => order.put_u8(0),
                SqlParameter::Bool(yes) => order.put_u8(1 + u8::from(*yes)),
                SqlParameter::Integer(number) => {
                    order.put_u8(3);
                    order.put_i64_le(*number);
                }
                SqlParameter::Real(number) => {
                    order.put_u8(4);
                    order.put_f64_le(*number);
                }
                SqlParameter::Text(text) => put(&mut order, Some(5), text.as_bytes()),
                SqlParameter::Bytes(bytes) => put(&mut order, Some(6), bytes),
                SqlParameter::Json(text) => put(&mut order, Some(7), text.as_bytes()),
                SqlParameter::Timestamp(micros) => {
                    order.put_u8(8);
                    order.put_i64_le(*micros);
                }
            }
        }
        self.send(b'Q', &order);
    }

    /// The next reply, and its bytes; none at the end.
    async fn raw(&mut self) -> Option<Bytes> {
        loop {
            if let Some(length) = self.pending.first_chunk().map(|length| u32::from_le_bytes(*length) as usize)
                && self.pending.len() >= 4 + length
            {
                self.pending.advance(4);
                return Some(self.pending.split_to(length).freeze());
            }
            let frame = self.answer.frame().await?.unwrap();
            self.pending.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    async fn reply(&mut self) -> Option<Reply> {
        let mut reply = self.raw().await?;
        let text = |from: &mut Bytes| {
            let length = from.get_u32_le() as usize;
            String::from_utf8(from.split_to(length).to_vec()).unwrap()
        };
        Some(match reply.get_u8() {
            b'C' => Reply::Columns((0..reply.get_u16_le()).map(|_| text(&mut reply)).collect()),
            b'R' => Reply::Rows(reply.len()),
            b'D' => Reply::Done(reply.get_u64_le()),
            b'E' => Reply::Error(text(&mut reply), text(&mut reply)),
            other => panic!("{other}"),
        })
    }

    /// The reply that ends an order.
    async fn end(&mut self) -> Reply {
        loop {
            match self.reply().await.expect("an end") {
                Reply::Columns(_) | Reply::Rows(_) => {}
                end => return end,
            }
        }
    }

    async fn do_it(&mut self, sql: &str, values: &[SqlParameter]) -> Reply {
        self.statement(sql, values);
        self.end().await
    }

    async fn command(&mut self, kind: u8) -> Reply {
        self.send(kind, b"");
        self.end().await
    }
}

fn on_both<F: Future<Output = ()>>(limits: SessionLimits, trial: impl Fn(World) -> F) {
    run(async {
        let (ending, ended) = mpsc::unbounded_channel();
        let Place { directory, connection, .. } = Place::new();
        let lender = Lender::Sqlite(Arc::new(Mutex::new(connection)));
        let service = DatabaseService::new(Lending(lender, ending), limits);
        trial(World { service, ended, is_postgres: false, _place: Some(directory) }).await;
        let (ending, ended) = mpsc::unbounded_channel();
        let lender = Lender::Postgres(Arc::new(Registry::new(HostIs::Owner).await));
        let service = DatabaseService::new(Lending(lender, ending), limits);
        trial(World { service, ended, is_postgres: true, _place: None }).await;
    });
}

fn text(text: &str) -> SqlParameter {
    SqlParameter::Text(text.to_owned())
}

const COUNT: &str = "SELECT note FROM p_shop__orders WHERE note = ?";

#[test]
fn statements_and_their_answers() {
    on_both(SessionLimits::default(), |mut world| async move {
        let mut asked = world.ask().await;
        let insert = world.sql("INSERT INTO p_shop__orders (note) VALUES (?)");
        assert_eq!(asked.do_it(&insert, &[text("new")]).await, Reply::Done(1));
        asked.statement(&world.sql("SELECT note FROM p_shop__orders WHERE note = ?"), &[text("new")]);
        assert_eq!(asked.reply().await, Some(Reply::Columns(vec!["note".to_owned()])));
        assert_eq!(&asked.raw().await.unwrap()[..], b"R\x05\x03\0\0\0new");
        assert_eq!(asked.reply().await, Some(Reply::Done(0)));
        for (sql, code) in [
            ("SELECT * FROM nowhere", "invalid"),
            ("SELEC 1", "invalid"),
            ("INSERT INTO p_shop__orders (id, note) VALUES (1, 'x')", "conflict"),
            ("INSERT INTO p_shop__orders (note) VALUES (NULL)", "conflict"),
            ("SELECT * FROM p_other__things", "denied"),
        ] {
            let Reply::Error(said, words) = asked.do_it(sql, &[]).await else { panic!("{sql}") };
            assert_eq!(said, code, "{sql}: {words}");
        }
        assert!(matches!(asked.command(b'C').await, Reply::Error(..)), "there is no transaction");
        assert_eq!(asked.do_it(&insert, &[text("still there")]).await, Reply::Done(1));
        asked.orders = None;
        assert_eq!(asked.reply().await, None);
        assert_eq!(world.ended.recv().await, Some(Ended::Reusable));
    });
}

#[test]
fn values_keep_their_type() {
    on_both(SessionLimits::default(), |world| async move {
        let mut asked = world.ask().await;
        let (sql, values) = if world.is_postgres {
            ("SELECT $1::int8, $2::float8, $3::bytea, $4::jsonb, $5::timestamptz, $6::bool, $7::text", 7)
        } else {
            ("SELECT ?, ?, ?, ?, ?, ?, ?", 7)
        };
        let given = [
            SqlParameter::Integer(-5),
            SqlParameter::Real(0.5),
            SqlParameter::Bytes(vec![0, 255]),
            SqlParameter::Json("[1]".to_owned()),
            SqlParameter::Timestamp(-1_000_001),
            SqlParameter::Bool(true),
            SqlParameter::Null,
        ];
        asked.statement(sql, &given[..values]);
        asked.reply().await;
        let mut expected = BytesMut::new();
        expected.put_slice(b"R\x03");
        expected.put_i64_le(-5);
        expected.put_u8(4);
        expected.put_f64_le(0.5);
        expected.put_slice(b"\x06\x02\0\0\0\x00\xff");
        expected.put_slice(if world.is_postgres { b"\x07\x03\0\0\0[1]" } else { b"\x05\x03\0\0\0[1]" });
        expected.put_u8(if world.is_postgres { 8 } else { 3 });
        expected.put_i64_le(-1_000_001);
        expected.put_slice(if world.is_postgres { b"\x02" } else { b"\x03\x01\0\0\0\0\0\0\0" });
        expected.put_u8(0);
        assert_eq!(asked.raw().await.unwrap(), expected.freeze());
        assert_eq!(asked.reply().await, Some(Reply::Done(0)));
    });
}

#[test]
fn what_is_not_committed_is_taken_back() {
    on_both(SessionLimits::default(), |mut world| async move {
        let insert = world.sql("INSERT INTO p_shop__orders (note) VALUES (?)");
        for (note, end) in [("committed", b'C'), ("rolled back", b'R'), ("dropped", 0), ("ended", 1)] {
            let mut asked = world.ask().await;
            assert_eq!(asked.command(b'B').await, Reply::Done(0));
            assert_eq!(asked.do_it(&insert, &[text(note)]).await, Reply::Done(1));
            match end {
                0 => drop(asked),
                1 => {
                    asked.orders = None;
                    assert_eq!(asked.reply().await, None);
                }
                end => {
                    assert_eq!(asked.command(end).await, Reply::Done(0));
                    drop(asked);
                }
            }
            assert_eq!(world.ended.recv().await, Some(Ended::Reusable));
            let mut asked = world.ask().await;
            asked.statement(&world.sql(COUNT), &[text(note)]);
            asked.reply().await;
            let found = matches!(asked.reply().await, Some(Reply::Rows(_)));
            assert_eq!(found, note == "committed", "{note}");
            drop(asked);
            world.ended.recv().await;
        }
    });
}

#[test]
fn a_transaction_in_which_something_failed_is_not_committed() {
    on_both(SessionLimits::default(), |world| async move {
        let mut asked = world.ask().await;
        asked.command(b'B').await;
        assert!(matches!(asked.do_it("SELECT * FROM nowhere", &[]).await, Reply::Error(..)));
        let ended = asked.command(b'C').await;
        // SQLite takes back the statement alone.
        assert_eq!(matches!(ended, Reply::Error(..)), world.is_postgres, "{ended:?}");
    });
}

#[test]
fn idle_transactions_and_long_statements_are_ended() {
    let limits = SessionLimits {
        statement: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        ..SessionLimits::default()
    };
    on_both(limits, |mut world| async move {
        let mut asked = world.ask().await;
        asked.command(b'B').await;
        let Some(Reply::Error(code, words)) = asked.reply().await else { panic!("it goes on") };
        assert!(code == "limit" && words.contains("did nothing for 0.3 s, and was taken back"), "{words}");
        assert_eq!(asked.reply().await, None);
        world.ended.recv().await;
        let mut asked = world.ask().await;
        let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(i) FROM n";
        let ended = asked.do_it(endless, &[]).await;
        assert_eq!(ended, Reply::Error("limit".to_owned(), "the statement took too long".to_owned()));
    });
}

#[test]
fn a_transaction_ends_however_busy_it_is() {
    let limits = SessionLimits { transaction: Duration::from_millis(400), ..SessionLimits::default() };
    on_both(limits, |mut world| async move {
        let mut asked = world.ask().await;
        asked.command(b'B').await;
        let told = loop {
            match asked.do_it("SELECT 1", &[]).await {
                Reply::Error(code, words) => break (code, words),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        assert_eq!(
            told,
            ("limit".to_owned(), "the transaction was not over within 0.4 s, and was taken back".to_owned())
        );
        world.ended.recv().await;
        // One that nobody would know of.
        let mut asked = world.ask().await;
        assert!(matches!(asked.do_it(" /* or so */ BEGIN", &[]).await, Reply::Error(..)));
    });
}

/// What goes on at the server after the host has given up is ended there.
#[test]
fn a_statement_that_nobody_waits_for_is_ended() {
    run(async {
        let server = OnServer::new().await;
        let text = "CREATE TABLE p_shop__orders (note TEXT)";
        let file = MigrationFile { number: 1, name: "a".to_owned(), dialect: None, text: text.into() };
        server.tables.make_ready(&"shop".into(), &[file], TableTerms::default()).await.unwrap();
        let limits = SessionLimits { statement: Duration::from_millis(300), ..SessionLimits::default() };
        let service = DatabaseService::new(server.tables.clone(), limits);
        let mut asked = ask(&service).await;
        let endless = "INSERT INTO p_shop__orders SELECT n::text FROM generate_series(1, 100000000000) AS n";
        let ended = asked.do_it(endless, &[]).await;
        let words = "the statement took too long; what it was to change may be changed".to_owned();
        assert_eq!(ended, Reply::Error("limit".to_owned(), words));
        let active = "SELECT count(*)::text FROM pg_stat_activity \
                      WHERE datname = current_database() AND state = 'active' AND usename LIKE '%\\_run'";
        while server.one(active).await != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Others go on.
        let mut asked = ask(&service).await;
        assert_eq!(asked.do_it("INSERT INTO p_shop__orders VALUES ('x')", &[]).await, Reply::Done(1));
    });
}

/// Rows that nobody takes are not made.
#[test]
fn rows_wait_until_they_are_taken() {
    on_both(SessionLimits::default(), |mut world| async move {
        let mut asked = world.ask().await;
        let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT i, 'a row' AS w FROM n";
        asked.statement(many, &[]);
        assert!(matches!(asked.reply().await, Some(Reply::Columns(_))));
        for _ in 0..5 {
            let Some(Reply::Rows(bytes)) = asked.reply().await else { panic!("no rows") };
            assert!(bytes < 70_000, "{bytes}");
        }
        drop(asked);
        assert!(world.ended.recv().await.is_some(), "it ends, though most of it was never read");
        let mut asked = world.ask().await;
        let fewer = many.replace("2000000", "200000");
        asked.statement(&fewer, &[]);
        let mut bytes = 0;
        let ended = loop {
            match asked.reply().await.unwrap() {
                Reply::Rows(more) => bytes += more,
                Reply::Columns(_) => {}
                end => break end,
            }
        };
        assert_eq!((ended, bytes), (Reply::Done(0), 200_000 * (9 + 10)));
    });
}
