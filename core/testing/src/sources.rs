//! Texts of the smallest plugins.

/// A single file.
pub fn single(text: &str) -> String {
    format!(
        r#"use camlock_plugin::prelude::*;

struct Plugin1;

impl Plugin for Plugin1 {{
    async fn create(_host: Host) -> Result<Self> {{
        Ok(Plugin1)
    }}

    fn routes(self: Arc<Self>) -> impl Into<Routes> {{
        Router::new().route("/", get(|| async {{ "{text}" }}))
    }}
}}

export!(Plugin1);
"#
    )
}

/// A crate's `Cargo.toml`.
pub fn manifest(name: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\ncamlock-plugin = \"1\"\n"
    )
}

/// A plugin with tables that does what it is told with SQL, and tells a word at `/`.
pub fn with_tables(word: &str) -> String {
    WITH_TABLES.replace("WORD", word)
}

const WITH_TABLES: &str = r#"use camlock_plugin::prelude::*;

struct Shop(Host);

impl Plugin for Shop {
    async fn create(host: Host) -> Result<Self> {
        Ok(Shop(host))
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new()
            .route("/", get(|| async { "WORD" }))
            .route("/sql", post(sql))
            .route("/define", post(define))
            .route("/url", get(url))
            .with_state(self)
    }
}

async fn define(State(shop): State<Arc<Shop>>, sql: String) -> String {
    let done = shop.0.database().define(sql).await;
    done.map_or_else(|error| format!("{:?}: {}", error.code, error.message), |()| "done".to_owned())
}

async fn url(State(shop): State<Arc<Shop>>) -> String {
    let url = shop.0.database().url().await;
    url.unwrap_or_else(|error| format!("{:?}: {}", error.code, error.message))
}

async fn sql(State(shop): State<Arc<Shop>>, sql: String) -> String {
    let told = async {
        let mut rows = shop.0.database().query(&sql, ()).await?;
        let mut values = Vec::new();
        while let Some(row) = rows.next().await? {
            values.extend(row.values().iter().map(|value| format!("{value:?}")));
        }
        Ok::<_, camlock_plugin::HostError>(values.join(" "))
    };
    told.await.unwrap_or_else(|error| format!("{:?}: {}", error.code, error.message))
}

export!(Shop);
"#;
