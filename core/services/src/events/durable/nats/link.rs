//! The connection, and what lies on the server: the stream of events, and two that are used as tables, of which each row is the last
//! message of a subject. What must not live here: what the rows mean.

use super::place::NatsUrl;
use async_nats::{
    Client, ConnectOptions, HeaderMap,
    connection::State,
    jetstream::{
        self, Context, ErrorCode,
        context::{GetStreamErrorKind, PublishErrorKind},
        message::{PublishMessage, StreamMessage},
        stream::{Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream},
    },
};
use bytes::Bytes;
use camlock_policy::{AskError, AskErrorCode};
use futures_util::TryStreamExt;
use std::{
    fmt::Display,
    time::{Duration, SystemTime},
};
use tokio::sync::OnceCell;

/// An answer takes so long at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A server knows messages that come twice for so long.
const TWICE: Duration = Duration::from_secs(10);

/// A NATS server, and our streams on it.
pub(super) struct NatsLink {
    pub(super) url: NatsUrl,
    opened: OnceCell<(Client, Context)>,
    streams: OnceCell<NatsStreams>,
}

/// What lies there.
pub(super) struct NatsStreams {
    pub(super) events: Stream,
    pub(super) subscriptions: NatsTable,
    pub(super) dead: NatsTable,
}

/// A stream as a table.
pub(super) struct NatsTable {
    stream: Stream,
    context: Context,
    /// With a dot at the end.
    prefix: String,
}

/// A row: what it says, which revision of it that is, and when it was written, in milliseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct NatsRow {
    pub(super) key: String,
    pub(super) value: Bytes,
    pub(super) revision: u64,
    pub(super) written: u64,
}

pub(super) fn unavailable(what: impl Display) -> AskError {
    AskError::new(AskErrorCode::Unavailable, format!("events cannot be kept: NATS: {what}"))
}

impl NatsLink {
    pub(super) fn new(url: NatsUrl) -> Self {
        NatsLink { url, opened: OnceCell::new(), streams: OnceCell::new() }
    }

    /// The client, which connects by itself, again and again.
    pub(super) async fn open(&self) -> Result<&(Client, Context), AskError> {
        let open = async {
            let (servers, opens) = self.url.servers();
            let mut options = ConnectOptions::new().retry_on_initial_connect().request_timeout(Some(PATIENCE));
            options = options.name("camlock").connection_timeout(PATIENCE);
            options = match opens {
                Some((user, Some(password))) => options.user_and_password(user, password),
                Some((token, None)) => options.token(token),
                None => options,
            };
            let server = self.url.shown();
            options = options.event_callback(move |event| {
                let server = server.clone();
                async move { tracing::info!("NATS at {server}: {event}") }
            });
            let client = options.connect(servers).await.map_err(unavailable)?;
            let mut context = jetstream::new(client.clone());
            context.set_timeout(PATIENCE);
            Ok::<_, AskError>((client, context))
        };
        let opened = self.opened.get_or_try_init(|| open).await?;
        // What is asked while there is no connection would wait, and then be done by surprise.
        let wait = async {
            while opened.0.connection_state() != State::Connected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let is_new = self.streams.get().is_none();
        let patience = if is_new { PATIENCE } else { Duration::from_millis(200) };
        match tokio::time::timeout(patience, wait).await {
            Ok(()) => Ok(opened),
            Err(_) => Err(unavailable(format!("the server at {} is away", self.url.shown()))),
        }
    }

    /// What lies there; made the first time.
    pub(super) async fn streams(&self) -> Result<&NatsStreams, AskError> {
        self.open().await?;
        self.streams.get_or_try_init(|| self.make()).await
    }

    /// Makes what is not there, and has as many servers keep it as the URL says.
    async fn make(&self) -> Result<NatsStreams, AskError> {
        let (_, context) = self.open().await?;
        let prefix = self.url.prefix();
        let table = async |name: &str, subject: &str| {
            let stream = self.make_stream(name, subject, 1).await?;
            Ok::<_, AskError>(NatsTable { stream, context: context.clone(), prefix: format!("{prefix}.{subject}.") })
        };
        Ok(NatsStreams {
            events: self.make_stream("events", "event", -1).await?,
            subscriptions: table("subscriptions", "subscription").await?,
            dead: table("dead", "dead").await?,
        })
    }

    async fn make_stream(&self, name: &str, subject: &str, most: i64) -> Result<Stream, AskError> {
        let (_, context) = self.open().await?;
        let prefix = self.url.prefix();
        let wanted = Config {
            name: format!("{prefix}_{name}"),
            subjects: vec![format!("{prefix}.{subject}.>")],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            max_messages_per_subject: most,
            duplicate_window: TWICE,
            allow_direct: true,
            num_replicas: self.url.replicas().unwrap_or(1),
            ..Config::default()
        };
        let told =
            |error: &dyn Display| unavailable(format!("the stream {prefix}_{name} on {}: {error}", self.url.shown()));
        let made = context.get_or_create_stream(wanted).await.map_err(|error| told(&error))?;
        let there = &made.cached_info().config;
        if let Some(replicas) = self.url.replicas().filter(|replicas| *replicas != there.num_replicas) {
            let changed = Config { num_replicas: replicas, ..there.clone() };
            context.update_stream(changed).await.map_err(|error| told(&error))?;
        }
        Ok(made)
    }

    /// Makes the streams once more, if the server does not have all of them any more.
    pub(super) async fn make_again_if_gone(&self) {
        let Ok((_, context)) = self.open().await else { return };
        for name in ["events", "subscriptions", "dead"] {
            let Err(error) = context.get_stream(format!("{}_{name}", self.url.prefix())).await else { continue };
            let is_gone = matches!(error.kind(), GetStreamErrorKind::JetStream(error)
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND);
            if is_gone {
                // It makes all that are gone.
                if let Err(error) = self.make().await {
                    tracing::warn!("{}", error.message);
                }
                return;
            }
        }
    }

    /// An event's subject ends with a word that no topic has: so `>` of a pattern matches also nothing.
    pub(super) fn subject(&self, topic: &str) -> String {
        format!("{}.event.{topic}.!", self.url.prefix())
    }

    /// What is told whenever events were kept.
    pub(super) fn word(&self) -> String {
        format!("{}.word", self.url.prefix())
    }
}

impl NatsTable {
    /// When it was made.
    pub(super) async fn made(&self) -> Result<SystemTime, AskError> {
        self.stream.get_info().await.map(|info| info.created.into()).map_err(unavailable)
    }

    fn row(&self, message: StreamMessage) -> NatsRow {
        let written = message.time.unix_timestamp_nanos() / 1_000_000;
        NatsRow {
            key: message.subject.as_str().strip_prefix(&self.prefix).unwrap_or_default().to_owned(),
            value: message.payload,
            revision: message.sequence,
            written: u64::try_from(written).unwrap_or(0),
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<NatsRow>, AskError> {
        match self.stream.get_last_raw_message_by_subject(&format!("{}{key}", self.prefix)).await {
            Ok(message) => Ok(Some(self.row(message))),
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Writes a row, if that revision is the last one (0: there is none): the new one, or none if it is not.
    pub(super) async fn put(&self, key: &str, value: Vec<u8>, revision: Option<u64>) -> Result<Option<u64>, AskError> {
        let mut message = PublishMessage::build().payload(value.into());
        if let Some(revision) = revision {
            message = message.expected_last_subject_sequence(revision);
        }
        let sent = self.context.send_publish(format!("{}{key}", self.prefix), message).await;
        let acknowledged = match sent {
            Ok(acknowledged) => acknowledged.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(acknowledged) => Ok(Some(acknowledged.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    pub(super) async fn remove(&self, key: &str) -> Result<(), AskError> {
        self.stream.purge().filter(format!("{}{key}", self.prefix)).await.map(drop).map_err(unavailable)
    }

    /// Those whose keys begin so, a whole number of words; empty: all of them.
    pub(super) async fn keys(&self, begin: &str) -> Result<Vec<String>, AskError> {
        let found = self.stream.info_with_subjects(format!("{}{begin}>", self.prefix)).await.map_err(unavailable)?;
        let subjects: Vec<(String, usize)> = found.try_collect().await.map_err(unavailable)?;
        let key = |(subject, _): (String, usize)| subject.strip_prefix(&self.prefix).map(str::to_owned);
        Ok(subjects.into_iter().filter_map(key).collect())
    }

    pub(super) async fn rows(&self, begin: &str) -> Result<Vec<NatsRow>, AskError> {
        let mut rows = Vec::new();
        for key in self.keys(begin).await? {
            rows.extend(self.get(&key).await?);
        }
        Ok(rows)
    }
}

/// A header's number.
pub(super) fn header_number(headers: &HeaderMap, name: &str) -> u64 {
    headers.get(name).and_then(|value| value.as_str().parse().ok()).unwrap_or(0)
}
