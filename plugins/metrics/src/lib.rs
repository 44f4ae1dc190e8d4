//! Metrics: a chart for the page's dashboard, of any plugin and any number that the server counts of it. All of it is in `ui`: the
//! numbers are the server's own, which the page reads.

#![forbid(unsafe_code)]

use camlock_plugin::prelude::*;

struct Metrics;

impl Plugin for Metrics {
    async fn create(_host: Host) -> Result<Self> {
        Ok(Metrics)
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(|| async { "Its chart is on the page's dashboard." }))
    }
}

export!(Metrics);

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_testkit::Running;

    #[tokio::test]
    async fn it_says_where_its_chart_is() {
        let running = Running::<Metrics>::start().await.unwrap();
        assert!(running.get("/").await.text().contains("dashboard"));
        running.stop().await;
    }
}
