//! Secrets of plugins' configurations, sealed: whoever reads the database or a backup of it does not have them.
//!
//! One key for a fleet, known by its id. A secret is sealed for its plugin and its place (a JSON pointer): moved anywhere else, or
//! opened with another key, it is refused and not taken for something else. Pure but for the randomness of keys and nonces, and for
//! the key that a server has now ([`Keyring`]). What must not live here: where keys and sealed secrets are kept, and which values are
//! secrets (the schema says).

mod key;
mod keyring;
mod seal;
mod set;

pub use key::{KeyCheck, NotAKey, SecretsKey};
pub use keyring::{HeldKey, Keyring};
pub use seal::SecretPlace;
pub use set::{put_back, set_apart};
