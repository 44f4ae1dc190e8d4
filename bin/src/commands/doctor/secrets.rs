//! Whether the key is here with which the registry's secrets are sealed. It is looked at, and left as it is.

use crate::{config::Config, print::counted, record};
use camlock_api::Finding;
use camlock_embed::{HeldKey, look_at_secrets};
use camlock_store::Standing;

const ABOUT: &str = "secrets";
const REMEDY: &str = "give this server that key: the file `secrets.key` of the data directory of a server that has it, or `secrets.key` \
     in camlock.toml, or CAMLOCK_SECRETS_KEY; where it is lost, set those secrets anew after `DELETE FROM plugin_secrets` and \
     `DELETE FROM secrets_key`";

/// What is found; nothing of a registry that cannot be looked at, which is told elsewhere.
pub(super) async fn look(config: &Config) -> Option<Finding> {
    if record::standing(config).await.ok()? != Standing::Current {
        return None;
    }
    let store = record::options(config);
    let looked = look_at_secrets(&config.registry, &store, config.secrets_key.as_ref(), &config.data).await;
    let (held, there) = match looked {
        Ok(looked) => looked,
        Err(why) => return Some(Finding::wrong(ABOUT, why, REMEDY)),
    };
    let count: usize = there.plugins.values().sum();
    Some(match held {
        HeldKey::Fleets(key) => {
            Finding::good(ABOUT, format!("{} sealed with the key {}", counted(count, "secret"), key.id()))
        }
        HeldKey::NotCompared(_) => Finding::good(ABOUT, "there is no key yet: the next server that starts makes one"),
        HeldKey::Lacking { needed, has } => {
            let has =
                has.map_or_else(|| "there is none here".to_owned(), |has| format!("the one here is {}", has.id()));
            let lacks = format!("secrets are sealed with the key {needed}, and {has}");
            if count == 0 {
                Finding::warning(ABOUT, format!("{lacks}; so far there are none"), REMEDY)
            } else {
                let plugins: Vec<_> = there.plugins.keys().map(|name| format!("`{name}`")).collect();
                let plugins = plugins.join(", ");
                Finding::wrong(ABOUT, format!("{lacks}: {plugins} cannot serve here"), REMEDY)
            }
        }
    })
}
