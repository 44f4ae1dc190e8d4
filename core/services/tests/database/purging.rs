//! What plugins had is dropped.

use crate::{
    carry::place::{OnServer, file},
    postgres::run,
};
use camlock_policy::TableTerms;
use std::sync::Arc;

/// All servers of a fleet notice at the same time that a plugin is gone.
#[test]
fn several_servers_drop_it_at_the_same_time() {
    run(async {
        let server = OnServer::new().await;
        let shop: Arc<str> = "shop".into();
        let files = [file(1, None, "CREATE TABLE p_shop__orders (id INTEGER PRIMARY KEY)")];
        for _ in 0..5 {
            server.tables.make_ready(&shop, &files, TableTerms::default()).await.unwrap();
            let purges = (0..4).map(|_| server.tables.purge(&shop));
            for dropped in futures_util::future::join_all(purges).await {
                dropped.unwrap();
            }
            assert_eq!(server.left().await, "0 0 0 0");
        }
    });
}
