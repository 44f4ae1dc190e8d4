//! One question to a forge: time, size and number bounded, tried again if what was wrong passes.
//!
//! What must not live here: what is asked.

use super::budget::CallBudget;
use crate::{
    settings::{DiscoverySettings, HiddenText},
    trouble::ForgeError,
};
use backon::{ExponentialBuilder, Retryable};
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use url::Url;

/// The largest answer that is read.
const LARGEST: usize = 16 << 20;
/// A repository that was renamed answers from another place, and perhaps once more.
const MOST_REDIRECTS: usize = 3;
/// A wait that nobody named.
const UNNAMED_WAIT: Duration = Duration::from_secs(60);

pub(super) struct ForgeClient {
    http: reqwest::Client,
    base: Url,
    pub(super) graphql: Url,
    token: Option<HiddenText>,
    kept_back: u64,
    timeout: Duration,
    attempts: usize,
    pause: Duration,
    longest_wait: Duration,
    /// Of REST, and of GraphQL.
    budgets: [Mutex<Option<CallBudget>>; 2],
    calls: AtomicU64,
    not_modified: AtomicU64,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum ForgeQuestion<'a> {
    /// With what the forge wanted to be shown.
    Get(&'a Url, Option<&'a str>),
    Graphql(&'a Value),
}

/// What was answered.
#[derive(Debug)]
pub(super) enum ForgeAnswer {
    NotModified,
    Missing,
    Found { document: Value, tag: Option<String>, next: Option<Url> },
}

impl ForgeClient {
    pub(super) fn new(settings: &DiscoverySettings) -> Result<Self, String> {
        let base = base(&settings.api)?;
        let graphql = graphql_of(&base);
        let http = reqwest::Client::builder()
            .user_agent(concat!("camlock/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .timeout(settings.timeout)
            .tls_backend_preconfigured(tls()?)
            .build()
            .map_err(|error| format!("no forge can be asked: {error}"))?;
        Ok(ForgeClient {
            http,
            base,
            graphql,
            token: settings.token.clone(),
            kept_back: settings.kept_back,
            timeout: settings.timeout,
            attempts: settings.attempts,
            pause: settings.pause,
            longest_wait: settings.longest_wait,
            budgets: [Mutex::new(None), Mutex::new(None)],
            calls: AtomicU64::new(0),
            not_modified: AtomicU64::new(0),
        })
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.calls.load(Ordering::Relaxed), self.not_modified.load(Ordering::Relaxed))
    }

    /// A place below the API's own.
    pub(super) fn place(&self, segments: &[&str]) -> Url {
        let mut place = self.base.clone();
        if let Ok(mut path) = place.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        place
    }

    /// Whether a place that the forge names is its own: the token goes nowhere else.
    pub(super) fn is_own(&self, place: &Url) -> bool {
        place.origin() == self.base.origin()
    }

    /// Asks, and once more if what was wrong passes.
    pub(super) async fn ask(&self, question: ForgeQuestion<'_>) -> Result<ForgeAnswer, ForgeError> {
        self.patiently(|| self.once(question)).await
    }

    pub(super) async fn patiently<T, F: Future<Output = Result<T, ForgeError>>>(
        &self,
        once: impl FnMut() -> F,
    ) -> Result<T, ForgeError> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.pause)
            .with_max_delay(self.longest_wait)
            .with_max_times(self.attempts)
            .with_jitter();
        once.retry(pauses)
            .when(ForgeError::passes)
            .adjust(|error, pause| match error {
                // As long as it says; for more than that nobody waits.
                ForgeError::RateLimit { again, .. } if *again <= self.longest_wait => {
                    pause.map(|pause| pause.max(*again))
                }
                ForgeError::RateLimit { .. } => None,
                _ => pause,
            })
            .notify(|error, pause| {
                tracing::debug!(component = "plugin-discovery", ?pause, "the forge is asked again: {error}");
            })
            .await
    }

    async fn once(&self, question: ForgeQuestion<'_>) -> Result<ForgeAnswer, ForgeError> {
        let budget = match question {
            ForgeQuestion::Get(..) => &self.budgets[0],
            ForgeQuestion::Graphql(_) => &self.budgets[1],
        };
        self.may_ask(budget)?;
        let (method, mut place, tag, body) = match question {
            ForgeQuestion::Get(place, tag) => (Method::GET, place.clone(), tag, None),
            ForgeQuestion::Graphql(body) => (Method::POST, self.graphql.clone(), None, Some(body.to_string())),
        };
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.http.request(method.clone(), place.clone());
            request = request.header(header::ACCEPT, "application/vnd.github+json");
            if let Some(token) = &self.token {
                request = request.bearer_auth(token.text());
            }
            if let Some(tag) = tag {
                request = request.header(header::IF_NONE_MATCH, tag);
            }
            if let Some(body) = &body {
                request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
            }
            self.calls.fetch_add(1, Ordering::Relaxed);
            let answer = request.send().await.map_err(|error| self.unreachable(&place, error))?;
            let status = answer.status();
            if let Some(told) = budget_of(answer.headers()) {
                *budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
            }
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                place = self.elsewhere(&place, answer.headers())?;
                continue;
            }
            return self.read(&place, answer).await;
        }
        Err(ForgeError::NotUnderstood(format!("{place} is sent from place to place without an end")))
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Whatever answers there. The forge is shown the token, and counts what it is asked; nobody else is.
    pub(super) async fn get(&self, place: &Url, patience: Duration) -> Result<reqwest::Response, ForgeError> {
        let mut request = self.http.get(place.clone()).timeout(patience);
        let budget = &self.budgets[0];
        if self.is_own(place) {
            self.may_ask(budget)?;
            if let Some(token) = &self.token {
                request = request.bearer_auth(token.text());
            }
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        let answer = request.send().await.map_err(|error| self.unreachable(place, error))?;
        if self.is_own(place)
            && let Some(told) = budget_of(answer.headers())
        {
            *budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        }
        Ok(answer)
    }

    /// Whether there are questions left.
    fn may_ask(&self, budget: &Mutex<Option<CallBudget>>) -> Result<(), ForgeError> {
        let last = *budget.lock().unwrap_or_else(PoisonError::into_inner);
        match last.and_then(|budget| budget.wait(self.kept_back, SystemTime::now())) {
            None => Ok(()),
            Some(again) => {
                let remaining = last.map_or(0, |budget| budget.remaining);
                let detail =
                    format!("{remaining} questions are left, which are kept back for others who use the token");
                Err(ForgeError::RateLimit { again, detail })
            }
        }
    }

    fn elsewhere(&self, place: &Url, headers: &HeaderMap) -> Result<Url, ForgeError> {
        let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| place.join(location).ok());
        to.filter(|to| self.is_own(to)).ok_or_else(|| {
            ForgeError::NotUnderstood(format!("{place} sends to another server, to which the token is not shown"))
        })
    }

    pub(super) async fn read(&self, place: &Url, mut answer: reqwest::Response) -> Result<ForgeAnswer, ForgeError> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status == StatusCode::NOT_MODIFIED {
            self.not_modified.fetch_add(1, Ordering::Relaxed);
            return Ok(ForgeAnswer::NotModified);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(place, error))? {
            if bytes.len() + chunk.len() > LARGEST {
                return Err(ForgeError::NotUnderstood(format!("{place} answers with more than {LARGEST} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let document = serde_json::from_slice::<Value>(&bytes).ok();
        let said = document.as_ref().and_then(|document| document["message"].as_str()).unwrap_or_default();
        let said = if said.is_empty() { String::new() } else { format!(": {}", words(said)) };
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
                if *place == self.graphql { Err(not_spoken(place, status)) } else { Ok(ForgeAnswer::Missing) }
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED if *place == self.graphql => {
                Err(not_spoken(place, status))
            }
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                match wait_of(status, &headers, &said, SystemTime::now()) {
                    Some(again) => Err(ForgeError::RateLimit { again, detail: format!("{place} says {status}{said}") }),
                    None => Err(ForgeError::Refused(format!("{place} says {status}{said}"))),
                }
            }
            StatusCode::UNAUTHORIZED => Err(ForgeError::Refused(format!(
                "{place} says {status}{said}: is the token (`discovery.token`, GITHUB_TOKEN) right, and not over?"
            ))),
            status if status.is_server_error() => Err(ForgeError::Unreachable(format!("{place} says {status}{said}"))),
            status if status.is_success() => {
                let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing");
                let none = || format!("{place} answers with {}, and not JSON: is `discovery.api` right?", words(kind));
                let none = || match *place == self.graphql {
                    true => ForgeError::NotSpoken(none()),
                    false => ForgeError::NotUnderstood(none()),
                };
                let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
                Ok(ForgeAnswer::Found { document: document.ok_or_else(none)?, tag, next: self.next(place, &headers)? })
            }
            status => Err(ForgeError::NotUnderstood(format!("{place} says {status}{said}"))),
        }
    }

    /// Where the list goes on.
    fn next(&self, place: &Url, headers: &HeaderMap) -> Result<Option<Url>, ForgeError> {
        let links = headers.get_all(header::LINK).iter().filter_map(|links| links.to_str().ok());
        let next = links.flat_map(|links| links.split(',')).find_map(|link| {
            let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_next = |parameter: &str| matches!(parameter.trim(), "rel=\"next\"" | "rel=next");
            parameters.split(';').any(is_next).then(|| target.to_owned())
        });
        let Some(next) = next else { return Ok(None) };
        match place.join(&next) {
            Ok(next) if self.is_own(&next) => Ok(Some(next)),
            _ => {
                Err(ForgeError::NotUnderstood(format!("{place} goes on at {}, which is another server", words(&next))))
            }
        }
    }

    pub(super) fn unreachable(&self, place: &Url, error: reqwest::Error) -> ForgeError {
        if error.is_timeout() {
            return ForgeError::Unreachable(format!("{place} does not answer within {} s", self.timeout.as_secs_f32()));
        }
        // The innermost cause is what a person can do something about.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let told = words(&cause.to_string());
        ForgeError::Unreachable(format!("{place} cannot be asked: {told}"))
    }
}

fn not_spoken(place: &Url, status: StatusCode) -> ForgeError {
    ForgeError::NotSpoken(format!("{place} says {status}"))
}

/// What a stranger says, in one short line.
pub(super) fn words(text: &str) -> String {
    text.chars().take(200).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The place of the API, checked.
fn base(api: &str) -> Result<Url, String> {
    let told = || format!("`{}` is no address of a forge's API: `https://api.github.com` is one", words(api));
    let base = Url::parse(api).map_err(|_| told())?;
    let fits = matches!(base.scheme(), "http" | "https")
        && base.has_host()
        && base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none();
    if fits { Ok(base) } else { Err(told()) }
}

/// GitHub Enterprise has it beside `/api/v3`; GitHub and others, below.
fn graphql_of(base: &Url) -> Url {
    let path = base.path().trim_end_matches('/');
    let path = match path.strip_suffix("/api/v3") {
        Some(before) => format!("{before}/api/graphql"),
        None => format!("{path}/graphql"),
    };
    let mut graphql = base.clone();
    graphql.set_path(&path);
    graphql
}

/// With the certificates that this machine trusts.
fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn budget_of(headers: &HeaderMap) -> Option<CallBudget> {
    let reset = number(headers, "x-ratelimit-reset")?;
    Some(CallBudget {
        limit: number(headers, "x-ratelimit-limit")?,
        remaining: number(headers, "x-ratelimit-remaining")?,
        reset: UNIX_EPOCH.checked_add(Duration::from_secs(reset))?,
    })
}

/// How long it wants to be left alone, if that is why it refuses.
fn wait_of(status: StatusCode, headers: &HeaderMap, said: &str, now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = number(headers, "retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    if number(headers, "x-ratelimit-remaining") == Some(0) {
        let reset = budget_of(headers).map(|budget| budget.reset.duration_since(now).unwrap_or_default());
        return Some(reset.unwrap_or(UNNAMED_WAIT));
    }
    let told = status == StatusCode::TOO_MANY_REQUESTS || said.to_ascii_lowercase().contains("rate limit");
    told.then_some(UNNAMED_WAIT)
}
