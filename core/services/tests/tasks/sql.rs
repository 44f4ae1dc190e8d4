//! Enqueueing by SQL, as a plugin's role does.

use crate::place::Place;
use camlock_services::TaskQuery;
use camlock_testing::{Postgres, trial};
use tokio_postgres::NoTls;

#[trial]
fn a_role_enqueues_for_its_plugin_alone() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let place = Place::postgres();
        let Place::Postgres(url) = &place else { unreachable!() };
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let database: String = client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
        let role = format!("sender_{database}");
        Postgres::shared().sql(
            url,
            &format!(
                "CREATE ROLE \"{role}\"; GRANT USAGE ON SCHEMA public TO \"{role}\"; \
                 GRANT EXECUTE ON FUNCTION enqueue(text, jsonb, jsonb) TO \"{role}\"; \
                 SET SESSION AUTHORIZATION \"{role}\""
            ),
        );
        client.batch_execute(&format!("SET SESSION AUTHORIZATION \"{role}\"")).await.unwrap();
        let told = |error: tokio_postgres::Error| error.as_db_error().unwrap().message().to_owned();
        let enqueue = "SELECT public.enqueue('review', '{\"x\": 1}', '{\"priority\": 7, \"unique\": \"k\"}')";
        let denied = client.query_one(enqueue, &[]).await.unwrap_err();
        assert_eq!(told(denied), "`tasks` is not granted to this plugin");
        assert!(client.query("SELECT * FROM public.tasks", &[]).await.is_err(), "it sees no tasks");
        client.batch_execute("RESET SESSION AUTHORIZATION").await.unwrap();
        client.execute("INSERT INTO task_senders VALUES ($1, 'shop')", &[&role]).await.unwrap();
        client.batch_execute(&format!("SET SESSION AUTHORIZATION \"{role}\"; BEGIN")).await.unwrap();
        let id: i64 = client.query_one(enqueue, &[]).await.unwrap().get(0);
        let queue = place.open();
        assert_eq!(queue.task(id).await.unwrap(), None, "its transaction is open");
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(client.query_one(enqueue, &[]).await.unwrap().get::<_, i64>(0), id, "there is one with that key");
        let task = queue.task(id).await.unwrap().unwrap();
        assert_eq!((task.plugin.as_str(), task.priority, task.input.as_str()), ("shop", 7, r#"{"x": 1}"#));
        // What is taken back was never there.
        client.batch_execute("BEGIN; SELECT public.enqueue('review', 'null'); ROLLBACK").await.unwrap();
        assert_eq!(queue.list(TaskQuery { most: 9, ..TaskQuery::default() }).await.unwrap().tasks.len(), 1);
        for (bad, why) in [
            ("'a b', 'null'", "`a b` is no type of tasks"),
            ("NULL, 'null'", "`NULL` is no type of tasks"),
            ("'a', NULL", "the input of a task is JSON of up to 1 MiB"),
            ("'a', to_jsonb(repeat('x', 1048577))", "the input of a task is JSON of up to 1 MiB"),
            ("'a', 'null', '{\"speed\": 1}'", "a task has no option `speed`"),
            ("'a', 'null', '{\"delay\": -1}'", "an option of the task is out of bounds"),
            ("'a', 'null', '{\"priority\": 1001}'", "an option of the task is out of bounds"),
        ] {
            let error = client.query_one(&format!("SELECT public.enqueue({bad})"), &[]).await.unwrap_err();
            assert_eq!(told(error), why, "{bad}");
        }
        client.batch_execute("RESET SESSION AUTHORIZATION").await.unwrap();
        client.batch_execute(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"")).await.unwrap();
    });
}
