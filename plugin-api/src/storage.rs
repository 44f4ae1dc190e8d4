//! Values that the host keeps for the plugin. What must not live here: how they cross, but for what these asks are made of.

use crate::{Host, HostError, HostErrorCode};
use axum::body::{Body as AxumBody, to_bytes};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The values that the host keeps for this plugin: they survive reloads, restarts and new versions. Other plugins have others.
///
/// ```
/// use camlock_plugin::{Host, HostError};
///
/// async fn count(host: &Host) -> Result<u64, HostError> {
///     let storage = host.storage();
///     loop {
///         let (count, put) = match storage.get("count").await? {
///             Some(value) => {
///                 let count = value.json::<u64>()? + 1;
///                 (count, storage.put_json("count", &count)?.if_revision(value.revision))
///             }
///             None => (1, storage.put_json("count", &1)?.if_absent()),
///         };
///         match put.send().await {
///             Ok(_) => return Ok(count),
///             // Somebody else counted meanwhile.
///             Err(error) if error.code == camlock_plugin::HostErrorCode::Conflict => continue,
///             Err(error) => return Err(error),
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Storage(Host);

/// A value that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredValue {
    /// Its bytes.
    pub bytes: Bytes,
    /// The revision at which it was put.
    pub revision: u64,
    /// When it expires.
    pub expires: Option<SystemTime>,
}

/// A key of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredKey {
    /// The key.
    pub key: String,
    /// The revision at which its value was put.
    pub revision: u64,
    /// The value's size in bytes.
    pub size: u64,
    /// When it expires.
    pub expires: Option<SystemTime>,
    /// The value, if values were asked for.
    pub value: Option<Bytes>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPage {
    /// In the order of their keys' bytes.
    pub keys: Vec<StoredKey>,
    /// After which key it goes on, if it does: for [`KeyList::after`].
    pub next: Option<String>,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// The revision that this made.
    pub revision: u64,
    /// Whether it is gone now: deleted, or expired.
    pub deleted: bool,
}

/// Something to be put or deleted, with conditions.
#[derive(Clone, Debug)]
#[must_use = "nothing is done before it is sent"]
pub struct KeyWrite {
    host: Host,
    key: String,
    value: Option<Bytes>,
    condition: String,
    expires: Option<Duration>,
}

/// A list that is asked for.
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before it is sent"]
pub struct KeyList {
    host: Host,
    query: String,
}

impl Host {
    /// The values that the host keeps for this plugin. It takes the permission `storage`.
    pub fn storage(&self) -> Storage {
        Storage(self.clone())
    }
}

impl Storage {
    /// A value.
    pub async fn get(&self, key: &str) -> Result<Option<StoredValue>, HostError> {
        let answer = ask(&self.0, "GET", &format!("values/{}", encoded(key)), Bytes::new()).await?;
        let revision = number(answer.headers(), "x-revision");
        if revision == 0 {
            return Ok(None);
        }
        let expires = answer.headers().contains_key("x-expires").then(|| number(answer.headers(), "x-expires"));
        Ok(Some(StoredValue { revision, expires: expires.map(time), bytes: whole(answer).await? }))
    }

    /// The same, as JSON.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, HostError> {
        self.get(key).await?.map(|value| value.json()).transpose()
    }

    /// Puts a value: [`KeyWrite::send`] tells its revision.
    pub fn put(&self, key: &str, value: impl Into<Bytes>) -> KeyWrite {
        self.write(key, Some(value.into()))
    }

    /// The same, as JSON.
    pub fn put_json<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<KeyWrite, HostError> {
        let text = serde_json::to_vec(value);
        let text = text.map_err(|error| HostError::new(HostErrorCode::Invalid, format!("{key}: {error}")))?;
        Ok(self.put(key, text))
    }

    /// Deletes a value: [`KeyWrite::send`] tells the revision of that, 0 if there was none.
    pub fn delete(&self, key: &str) -> KeyWrite {
        self.write(key, None)
    }

    fn write(&self, key: &str, value: Option<Bytes>) -> KeyWrite {
        KeyWrite { host: self.0.clone(), key: key.to_owned(), value, condition: String::new(), expires: None }
    }

    /// The keys that begin so, up to 1,000 at once.
    pub fn list(&self, prefix: &str) -> KeyList {
        KeyList { host: self.0.clone(), query: format!("list?prefix={}", encoded(prefix)) }
    }

    /// Does all of this or nothing, up to 1,000 operations: the revision of each, 0 of a delete of what was not there.
    pub async fn batch(&self, writes: impl IntoIterator<Item = KeyWrite>) -> Result<Vec<u64>, HostError> {
        let mut body = BytesMut::new();
        for write in writes {
            body.put_u8(write.value.is_none().into());
            let (condition, revision) = match write.condition.strip_prefix("if=") {
                None => (0, 0),
                Some(revision) => revision.parse().map_or((1, 0), |revision| (2, revision)),
            };
            body.put_u8(condition);
            body.put_u64_le(revision);
            body.put_u64_le(write.expires.map_or(0, milliseconds));
            put_bytes(write.key.as_bytes(), &mut body);
            if let Some(value) = &write.value {
                put_bytes(value, &mut body);
            }
        }
        let mut told = whole(ask(&self.0, "POST", "batch", body.freeze()).await?).await?;
        let mut revisions = Vec::new();
        while !told.is_empty() {
            revisions.push(told.try_get_u64_le().map_err(broken)?);
        }
        Ok(revisions)
    }

    /// Tells what becomes of keys that begin so: from now on, or after a revision. Of several changes to one key the last alone
    /// may be told. After an error one goes on with another watch, after the last revision that was told.
    pub async fn watch(&self, prefix: &str, after: Option<u64>) -> Result<KeyWatch, HostError> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let answer = ask(&self.0, "GET", &format!("watch?prefix={}{after}", encoded(prefix)), Bytes::new()).await?;
        let revision = number(answer.headers(), "x-revision");
        Ok(KeyWatch { revision, body: answer.into_body(), read: BytesMut::new() })
    }
}

impl StoredValue {
    /// Read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HostError> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| HostError::new(HostErrorCode::Invalid, format!("the value is not as expected: {error}")))
    }
}

impl KeyWrite {
    /// Only if there is no value; else the error is `Conflict`.
    pub fn if_absent(mut self) -> Self {
        "if=absent".clone_into(&mut self.condition);
        self
    }

    /// Only if what is there has this revision; else the error is `Conflict`.
    pub fn if_revision(mut self, revision: u64) -> Self {
        self.condition = format!("if={revision}");
        self
    }

    /// After so long it is not there any more.
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.expires = Some(time);
        self
    }

    /// Has it done: the revision that it made.
    pub async fn send(self) -> Result<u64, HostError> {
        let expires = self.expires.map(|time| format!("&expires={}", milliseconds(time))).unwrap_or_default();
        let path = format!("values/{}?{}{expires}", encoded(&self.key), self.condition);
        let (method, value) = self.value.map_or(("DELETE", Bytes::new()), |value| ("PUT", value));
        let answer = ask(&self.host, method, &path, value).await?;
        Ok(number(answer.headers(), "x-revision"))
    }
}

impl KeyList {
    /// Those after this key.
    pub fn after(mut self, key: &str) -> Self {
        self.query += &format!("&after={}", encoded(key));
        self
    }

    /// So many at most.
    pub fn most(mut self, most: usize) -> Self {
        self.query += &format!("&most={most}");
        self
    }

    /// With their values.
    pub fn values(mut self) -> Self {
        self.query += "&values=1";
        self
    }

    /// Asks for it.
    pub async fn send(self) -> Result<KeyPage, HostError> {
        let answer = ask(&self.host, "GET", &self.query, Bytes::new()).await?;
        let more = answer.headers().contains_key("x-more");
        let mut told = whole(answer).await?;
        let mut keys = Vec::new();
        while !told.is_empty() {
            let key = take_text(&mut told)?;
            let mut next = || told.try_get_u64_le().map_err(broken);
            let (revision, size, expires) = (next()?, next()?, next()?);
            let value = match told.try_get_u8().map_err(broken)? {
                0 => None,
                _ => Some(take_bytes(&mut told)?),
            };
            keys.push(StoredKey { key, revision, size, expires: (expires > 0).then(|| time(expires)), value });
        }
        let next = keys.last().filter(|_| more).map(|last| last.key.clone());
        Ok(KeyPage { keys, next })
    }
}

/// Changes as they come.
#[derive(Debug)]
pub struct KeyWatch {
    revision: u64,
    body: AxumBody,
    read: BytesMut,
}

impl KeyWatch {
    /// What was told up to now: another watch goes on after it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The next change, which may be waited for as long as it takes. None when the host ends.
    pub async fn next(&mut self) -> Option<Result<KeyChange, HostError>> {
        loop {
            if let Some(change) = self.take() {
                self.revision = change.revision;
                return Some(Ok(change));
            }
            let frame = std::future::poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await?;
            match frame {
                Ok(frame) => self.read.extend(frame.into_data()),
                Err(error) => return Some(Err(HostError::new(HostErrorCode::Unavailable, error.to_string()))),
            }
        }
    }

    /// A change that was read wholly. Frames may break it anywhere.
    fn take(&mut self) -> Option<KeyChange> {
        let length = usize::try_from(u32::from_le_bytes(self.read.get(..4)?.try_into().ok()?)).ok()?;
        if self.read.len() < length + 13 {
            return None;
        }
        let mut change = self.read.split_to(length + 13).freeze();
        let key = take_text(&mut change).ok()?;
        let revision = change.try_get_u64_le().ok()?;
        Some(KeyChange { key, revision, deleted: change.try_get_u8().ok()? != 0 })
    }
}

async fn ask(host: &Host, method: &str, rest: &str, body: Bytes) -> Result<Response<AxumBody>, HostError> {
    let request = Request::builder().method(method).uri(format!("/storage/1/{rest}")).body(AxumBody::from(body));
    let request = request.map_err(|error| HostError::new(HostErrorCode::Invalid, error.to_string()))?;
    host.ask(request).await
}

async fn whole(answer: Response<AxumBody>) -> Result<Bytes, HostError> {
    to_bytes(answer.into_body(), usize::MAX).await.map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> HostError {
    HostError::new(HostErrorCode::Unavailable, format!("the answer broke off: {error}"))
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

fn time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn put_bytes(bytes: &[u8], to: &mut BytesMut) {
    to.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    to.put_slice(bytes);
}

fn take_bytes(from: &mut Bytes) -> Result<Bytes, HostError> {
    let length = usize::try_from(from.try_get_u32_le().map_err(broken)?).map_err(broken)?;
    if from.len() < length {
        return Err(broken("it is too short"));
    }
    Ok(from.split_to(length))
}

fn take_text(from: &mut Bytes) -> Result<String, HostError> {
    String::from_utf8(take_bytes(from)?.to_vec()).map_err(broken)
}

/// Text as it may stand in a URL.
fn encoded(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url += &format!("%{byte:02X}");
        }
    }
    url
}
