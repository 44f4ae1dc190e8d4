//! A real PostgreSQL, as services reach one. Shared by the test programs.

use camlock_policy::BoxFuture;
use camlock_services::{Login, PostgresLink, PostgresServer};
use std::str::FromStr;
use tokio_postgres::{Config, NoTls};

pub(crate) struct TestServer {
    config: Config,
    schema: &'static str,
}

impl TestServer {
    pub(crate) fn new(url: &str, schema: &'static str) -> Self {
        TestServer { config: Config::from_str(url).unwrap(), schema }
    }
}

impl PostgresServer for TestServer {
    fn connect(&self, login: Option<Login>) -> BoxFuture<Result<PostgresLink, String>> {
        let mut config = self.config.clone();
        if let Some(login) = login {
            config.user(&login.role).password(&login.password);
        }
        Box::pin(async move {
            let (client, mut connection) = config.connect(NoTls).await.map_err(|error| error.to_string())?;
            let messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
            Ok(PostgresLink { client, messages: Box::pin(messages) })
        })
    }

    fn url(&self, login: &Login) -> String {
        format!("postgres://{}:{}@localhost", login.role, login.password)
    }

    fn schema(&self) -> &str {
        self.schema
    }
}
