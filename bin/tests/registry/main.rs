//! `camlock serve` and its registry, in a real SQLite and a real PostgreSQL: toggled by clients of SQL, and with everything that
//! can go wrong with a database. What serves goes on serving: requests are under way throughout, and none may fail.

mod audited;
mod cut;
mod executing;
mod heard;
mod middle;
mod opening;
mod powertable;
mod sqlite;
mod stored;
mod tables;
mod tasks;
mod toggles;
mod unreachable;
mod webhooks;
mod world;

/// The same trial on both databases.
macro_rules! both {
    ($($module:ident: $($trial:ident)*;)*) => {
        mod in_sqlite {$($(
            #[test]
            fn $trial() {
                crate::$module::$trial(&crate::world::World::sqlite());
            }
        )*)*}
        mod in_postgres {$($(
            #[test]
            fn $trial() {
                crate::$module::$trial(&crate::world::World::postgres());
            }
        )*)*}
    };
}

both! {
    toggles: enabled config_taken_live config_by_a_new_generation versions deleted gone_and_back in_bulk removed_by_sql
        removed_by_operators;
    opening: a_newer_schema an_older_schema somebody_elses;
    audited: every_event_in_one_chain;
    executing: what_comes_of_it what_is_under_way what_is_kept;
    heard: what_operators_see in_a_transaction killed_in_the_middle_of_events;
    middle: events_and_versions tasks_and_versions;
    stored: killed_in_the_middle_of_batches;
    tables: a_life a_version_comes_too_early killed_in_the_middle;
    tasks: from_beginning_to_end a_reload_in_the_middle killed_in_the_middle_of_ten_thousand;
    webhooks: deliveries_that_others_verify;
    powertable: postgrest_js_over_http tables_over_http formats_over_http many_rows_over_http;
}
