//! The services of a host, by name and version; and the way of an ask to one of them.

use crate::{ServiceShares, meters::AskMeters, rate::AskLimits};
use camlock_policy::{AskCounts, AskError, AskErrorCode, Asker, Body, BoxFuture, ERROR_CODE, Services};
use http::{Request, Response};
use http_body::Body as _;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

/// Answers what plugins ask of one service.
pub trait Service: Send + Sync + 'static {
    /// Answers one ask; the request's path is the whole one. Dropping the future takes the ask back.
    fn answer(&self, asker: &Asker, request: Request<Body>) -> BoxFuture<Result<Response<Body>, AskError>>;
}

impl<F, Answering> Service for F
where
    F: Fn(Asker, Request<Body>) -> Answering + Send + Sync + 'static,
    Answering: Future<Output = Result<Response<Body>, AskError>> + Send + 'static,
{
    fn answer(&self, asker: &Asker, request: Request<Body>) -> BoxFuture<Result<Response<Body>, AskError>> {
        Box::pin(self(asker.clone(), request))
    }
}

/// Why something cannot be a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAService {
    /// Its name.
    #[error(
        "`{0}` is no service's name: it has the form `sessions/1`, a word of small letters and hyphens and a version"
    )]
    Name(String),
    /// There is one by that name.
    #[error("there is a service `{0}`")]
    Taken(String),
}

/// Services by name and version. Cheap to clone.
#[derive(Clone, Default)]
pub struct ServiceSet(BTreeMap<String, Arc<dyn Service>>);

/// What answers all asks of a host.
pub struct HostServices {
    services: ServiceSet,
    meters: AskMeters,
    shares: ServiceShares,
}

impl fmt::Debug for ServiceSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl ServiceSet {
    /// One more, by its name and version: `sessions/1`.
    pub fn add(&mut self, name: &str, service: impl Service) -> Result<(), NotAService> {
        if !is_name(name) {
            return Err(NotAService::Name(name.to_owned()));
        }
        if self.0.contains_key(name) {
            return Err(NotAService::Taken(name.to_owned()));
        }
        self.0.insert(name.to_owned(), Arc::new(service));
        Ok(())
    }
}

impl HostServices {
    /// These, with these limits for each plugin.
    pub fn new(services: ServiceSet, limits: AskLimits) -> Self {
        HostServices { services, meters: AskMeters::new(limits), shares: ServiceShares::default() }
    }

    /// The same, which also tells of these shares.
    pub fn with_shares(self, shares: ServiceShares) -> Self {
        HostServices { shares, ..self }
    }

    /// What was counted, by plugin.
    pub fn counts(&self) -> BTreeMap<String, AskCounts> {
        let mut counts = self.meters.counts();
        for (plugin, slowed) in self.shares.slowed() {
            let counted = counts.entry(plugin).or_default();
            (counted.slowed, counted.slowed_for) = (slowed.count, slowed.waited);
        }
        counts
    }

    fn find(&self, path: &str) -> Result<&Arc<dyn Service>, AskError> {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let end = rest.match_indices('/').nth(1).map_or(rest.len(), |(end, _)| end);
        let name = &rest[..end];
        self.services.0.get(name).ok_or_else(|| {
            AskError::new(AskErrorCode::Unavailable, format!("not here: this host has no service `{name}`"))
        })
    }
}

/// `sessions/1`
fn is_name(name: &str) -> bool {
    let Some((word, version)) = name.split_once('/') else { return false };
    let is_word = word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    is_word && !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
}

impl Services for HostServices {
    fn ask(&self, asker: &Asker, request: Request<Body>) -> BoxFuture<Response<Body>> {
        let now = Instant::now();
        let meter = self.meters.of(&asker.plugin, now);
        let admitted = meter.admit(request.body().size_hint().lower(), now);
        let answering = match admitted.and_then(|()| self.find(request.uri().path())) {
            Ok(service) => service.answer(asker, request),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        };
        Box::pin(async move {
            match answering.await {
                Ok(response) => {
                    debug_assert!(response.status().is_success() && !response.headers().contains_key(ERROR_CODE));
                    response
                }
                Err(error) => {
                    meter.failed(error.code);
                    error.into()
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_policy::Granted;

    fn asker(plugin: &str) -> Asker {
        Asker { plugin: plugin.into(), generation: 1, granted: Granted::default(), document: Default::default() }
    }

    fn services(limits: AskLimits) -> HostServices {
        let mut services = ServiceSet::default();
        let says_who = async |asker: Asker, request: Request<Body>| {
            Ok(Response::new(Body::from(format!("{} {}", asker.plugin, request.uri()))))
        };
        services.add("sessions/1", says_who).unwrap();
        HostServices::new(services, limits)
    }

    async fn ask(services: &HostServices, plugin: &str, path: &str) -> (u16, Option<String>, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = services.ask(&asker(plugin), request).await;
        let code = response.headers().get(ERROR_CODE).map(|code| code.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let text = response.into_body().into_whole().unwrap();
        (status, code, String::from_utf8(text.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn asks_find_their_service() {
        let services = services(AskLimits::default());
        for path in ["/sessions/1", "/sessions/1/", "/sessions/1/current?x=1"] {
            assert_eq!(ask(&services, "shop", path).await, (200, None, format!("shop {path}")));
        }
        for (path, name) in [("/sessions/2/x", "sessions/2"), ("/", ""), ("/sessions", "sessions"), ("/x/1/y", "x/1")] {
            let told = format!("not here: this host has no service `{name}`");
            assert_eq!(ask(&services, "shop", path).await, (503, Some("unavailable".to_owned()), told));
        }
        let counts = services.counts()["shop"];
        assert_eq!((counts.asks, counts.errors.iter().sum::<u64>()), (7, 4));
    }

    #[tokio::test]
    async fn who_asks_too_much_is_refused_alone() {
        let services = services(AskLimits { asks: 1, bytes: 1 << 20 });
        // Two seconds' worth, and one for what came back meanwhile.
        for _ in 0..3 {
            ask(&services, "flood", "/sessions/1").await;
        }
        let (status, code, told) = ask(&services, "flood", "/sessions/1").await;
        assert_eq!((status, code.as_deref()), (429, Some("limit")));
        assert!(told.starts_with("the plugin asks for too much: try again in "), "{told}");
        assert_eq!(ask(&services, "other", "/sessions/1").await.0, 200);
    }

    #[test]
    fn names_have_a_form() {
        let mut services = ServiceSet::default();
        let nothing = |_, _| std::future::ready(Ok(Response::new(Body::empty())));
        for name in
            ["", "sessions", "sessions/", "/1", "Sessions/1", "ses sions/1", "sessions/one", "sessions/1/2", "-a/1"]
        {
            assert_eq!(services.add(name, nothing), Err(NotAService::Name(name.to_owned())), "{name}");
        }
        services.add("my-sessions/12", nothing).unwrap();
        assert_eq!(services.add("my-sessions/12", nothing), Err(NotAService::Taken("my-sessions/12".to_owned())));
    }
}
