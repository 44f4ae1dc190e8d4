//! Upgraded connections: bytes both ways between the client and the plugin.

use camlock_core::Connection;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Relays until either side ends. The plugin's end holds a lease on its generation.
pub(crate) fn relay(client: OnUpgrade, mut plugin: Connection) {
    tokio::spawn(async move {
        match client.await {
            Ok(client) => {
                // Which side broke first is of no consequence: both are gone afterwards.
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut plugin).await;
            }
            Err(error) => tracing::debug!(%error, "a connection was not upgraded after all"),
        }
    });
}
