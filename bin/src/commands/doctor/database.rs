//! Whether the registry's database can be used. It is looked at, and left as it is.

use crate::{config::Config, record};
use camlock_api::Finding;
use camlock_store::{Standing, Store, Trouble, TroubleKind};

const ABOUT: &str = "registry";

/// What is found of the database.
pub(super) async fn look(config: &Config) -> Finding {
    let place = Store::place(&config.registry.url(&config.data), &record::options(config));
    match (place, record::standing(config).await) {
        (Ok(place), Ok(standing)) => finding(&place, standing),
        (Err(trouble), _) | (_, Err(trouble)) => wrong(trouble),
    }
}

fn finding(place: &str, standing: Standing) -> Finding {
    match standing {
        Standing::Current => Finding::good(ABOUT, place),
        Standing::Empty => Finding::good(ABOUT, format!("{place} (its tables are made when they are needed)")),
        Standing::Older(_) => Finding::warning(
            ABOUT,
            format!("{place} was written by an older Camlock"),
            "make a backup; then the next server that starts brings it up to date, or `camlock migrate` does",
        ),
    }
}

fn wrong(trouble: Trouble) -> Finding {
    let remedy = match trouble.kind {
        TroubleKind::Away => {
            "mend that, or name another one with --database-url; meanwhile servers serve what they last knew, and connect by \
             themselves when they can"
        }
        TroubleKind::Settings => {
            "set `database.url` and `database.schema` right in camlock.toml, or name another one with --database-url"
        }
        TroubleKind::Foreign => {
            "let that be, and name an empty place: --database-url, or `database.schema` in PostgreSQL"
        }
        TroubleKind::Newer => "install that version here too, or put the backup back that was made before the upgrade",
        TroubleKind::Corrupt => {
            "stop the server and put a backup in its place; without one, move it away: `sqlite3 FILE .recover` may still tell \
             what was decided"
        }
    };
    Finding::wrong(ABOUT, trouble.sentence, remedy)
}
