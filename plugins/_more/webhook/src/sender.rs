//! One attempt: one request, to one of the addresses that were looked up and found good. What must not live here: what follows.

use crate::{
    addresses::is_public,
    plan::AttemptAnswer,
    settings::{WebhookEndpoint, WebhookSettings},
    signing::signatures,
    store::WebhookDelivery,
};
use reqwest::{Client, Url, header::RETRY_AFTER, redirect::Policy};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Once,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Sends a delivery. No redirection is followed and no proxy asked: what was looked up is what is reached.
pub(crate) async fn send(
    endpoint: &WebhookEndpoint,
    settings: &WebhookSettings,
    delivery: &WebhookDelivery,
    now: SystemTime,
) -> AttemptAnswer {
    let url = match Url::parse(&endpoint.url) {
        Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && settings.private) => url,
        Ok(_) => return AttemptAnswer::Misconfigured("the URL has to begin with `https://`".to_owned()),
        Err(error) => return AttemptAnswer::Misconfigured(format!("the URL is none: {error}")),
    };
    let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let signature = match signatures(&endpoint.secrets, &delivery.id, timestamp, &delivery.body) {
        Ok(signature) => signature,
        Err(why) => return AttemptAnswer::Misconfigured(why),
    };
    let time = Duration::from_secs(endpoint.seconds);
    let sending = async {
        let client = client(&url, settings.private).await?;
        let request = client
            .post(url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(delivery.body.clone());
        request.send().await.map_err(|error| format!("there was no answer: {}", innermost(&error)))
    };
    match tokio::time::timeout(time, sending).await {
        // What it says beside its status is of no interest, and is not read.
        Ok(Ok(answer)) => {
            let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            AttemptAnswer::Status(answer.status().as_u16(), asked.map(Duration::from_secs))
        }
        Ok(Err(why)) => AttemptAnswer::Nothing(why),
        Err(_) => AttemptAnswer::Nothing(format!("there was no answer within {} s", endpoint.seconds)),
    }
}

/// A client that reaches nothing but the host's own addresses, all of which must be good.
async fn client(url: &Url, private: bool) -> Result<Client, String> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let host = url.host_str().ok_or("the URL names no host")?;
    let port = url.port_or_known_default().unwrap_or(443);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let found = tokio::net::lookup_host((bare, port)).await;
            found.map_err(|error| format!("`{bare}` was not found: {error}"))?.collect()
        }
    };
    if let Some(address) = addresses.iter().find(|address| !private && !is_public(address.ip())) {
        return Err(format!("`{bare}` is {}, which is not in the open internet", address.ip()));
    }
    let client = Client::builder().no_proxy().redirect(Policy::none()).resolve_to_addrs(bare, &addresses);
    client.build().map_err(|error| error.to_string())
}

/// The error that the others stand around.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
