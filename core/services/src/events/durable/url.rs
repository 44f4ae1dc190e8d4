//! Where events that are kept lie, as operators name it, whether this program can use it or not. What must not live here: how it is used.

#[cfg(feature = "nats")]
use super::nats::NatsUrl;
use std::{fmt, str::FromStr};

/// `nats://HOST:PORT`, if this program was built for it. It may hold a password, and is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct EventsUrl(
    #[cfg(feature = "nats")] pub(super) NatsUrl,
    #[cfg(not(feature = "nats"))] pub(super) std::convert::Infallible,
);

/// Why a text is no such URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnEventsUrl(String);

impl fmt::Debug for EventsUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for EventsUrl {
    type Err = NotAnEventsUrl;

    fn from_str(text: &str) -> Result<Self, NotAnEventsUrl> {
        if !["nats://", "tls://"].iter().any(|scheme| text.starts_with(scheme)) {
            let told = "events.url begins with nats:// or tls://: it names a NATS server. Without it events are kept in the registry's \
                        database";
            return Err(NotAnEventsUrl(told.to_owned()));
        }
        #[cfg(feature = "nats")]
        return text.parse().map(EventsUrl).map_err(|why| NotAnEventsUrl(format!("events.url: {why}")));
        #[cfg(not(feature = "nats"))]
        Err(NotAnEventsUrl(
            "events.url names a NATS server, and this program was built without the feature `nats`: build it with `--features nats`, \
             or leave events.url out: events are kept in the registry's database then"
                .to_owned(),
        ))
    }
}
