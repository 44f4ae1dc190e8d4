//! A server with the host's own paths, for the tests of what operators see and do: its manager is played, its tokens and its
//! journal are in memory.

use crate::server::Server;
use bytes::Bytes;
use camlock_admin::{AdminOptions, AdminSettings, InMemory, Token, admin_router};
use camlock_http::Dispatch;
use camlock_policy::{
    Act, Digest, Done, Headline, Inbox, Installation, Installed, Kind, LivePlugin, Manager, Message, Order, Overview,
    Placement, PluginKind, PluginView, Refused, Upload,
    registry::{NewToken, Role, Tokens},
};
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::sync::{oneshot, watch};

pub const ADMIN: &str = "the-server's-own";

/// What was seen, in order.
pub type Seen<T> = Arc<Mutex<Vec<T>>>;

/// What answers an order.
type Answer = Box<dyn FnMut(&Order) -> Result<Done, Refused> + Send>;

pub struct Admin {
    pub server: Server,
    pub memory: InMemory,
    pub router: axum::Router,
    pub overview: watch::Sender<Arc<Overview>>,
    /// What reached the manager.
    pub orders: Seen<Order>,
    pub looks: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

pub fn view(name: &str) -> PluginView {
    PluginView {
        name: name.into(),
        version: "0.1.0".into(),
        description: String::new(),
        category: None,
        kind: PluginKind::Dynamic,
        enabled: true,
        revision: 12,
        isolation: None,
        state: Headline::Serving,
        reason: None,
        serving: None,
        candidate: None,
        failed: None,
        draining: Vec::new(),
        pinned: Vec::new(),
        endpoints: Vec::new(),
        urls: vec![format!("/api/v1/p/{name}/")],
        path: Some(name.into()),
        config: Some(serde_json::json!({ "password": "canary" })),
        stages: None,
    }
}

/// Tests ask for this host.
pub fn settings() -> AdminSettings {
    AdminSettings { hosts: vec!["plugins.test".to_owned()], ..AdminSettings::default() }
}

/// The same as the supervisor has it.
pub fn live(view: PluginView) -> LivePlugin {
    LivePlugin::new(view, Some(Kind::Crate), BTreeMap::new())
}

pub fn done(name: &str) -> Result<Done, Refused> {
    Ok(Done { plugin: Arc::new(live(PluginView { revision: 13, ..view(name) })), stages: Vec::new() })
}

impl Admin {
    pub async fn start() -> Self {
        Admin::with(|options| options).await
    }

    pub async fn with(change: impl FnOnce(AdminOptions) -> AdminOptions) -> Self {
        let (manager, Inbox { mut messages, overview }) = Manager::channel();
        let (orders, looks) = (Seen::<Order>::default(), Arc::<AtomicUsize>::default());
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(|order| done(&order.plugin))));
        let (theirs, looked, answering) = (orders.clone(), looks.clone(), answer.clone());
        let memory = InMemory::default();
        let dispatch = Dispatch::default();
        let notes = memory.clone();
        let options = change(AdminOptions {
            tokens: Arc::new(memory.clone()),
            archive: Arc::new(memory.clone()),
            note: Arc::new(move |happened| notes.note(happened)),
            blocked: dispatch.blocked_list(),
            meters: dispatch.meters(),
            settings: settings(),
            ..AdminOptions::new(Token::new(ADMIN))
        });
        let install = options.install.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                match message {
                    Message::Act(order, reply) => {
                        let outcome = answering.lock().unwrap()(&order);
                        theirs.lock().unwrap().push(order);
                        let _ = reply.send(outcome);
                    }
                    Message::Install(installation, reply) => {
                        let Installation { source, name, replace, origin: _, grants: _, by, held } = installation;
                        let there = BTreeMap::new();
                        let outcome = install
                            .as_ref()
                            .unwrap()
                            .install(
                                Upload { source, name, replace, there, by_name: BTreeMap::new() },
                                Box::new(|_| ()),
                            )
                            .await;
                        drop(held);
                        let placed = outcome.map(|Installed { plugin, path }| {
                            let (answer, outcome) = oneshot::channel();
                            let act = Act::Reload { force: false };
                            let order = Order { plugin: plugin.clone(), act, by, revision: None };
                            let _ = answer.send(answering.lock().unwrap()(&order));
                            theirs.lock().unwrap().push(order);
                            Placement { replaced: plugin == "hello", plugin, path, outcome }
                        });
                        let _ = reply.send(placed);
                    }
                    Message::History(_, reply) => drop(reply.send(Vec::new())),
                    Message::Look => drop(looked.fetch_add(1, Ordering::SeqCst)),
                    Message::Registry(_) | Message::SecretsKey => {}
                    Message::End(done) => drop(done.send(())),
                }
            }
        });
        let router = admin_router(manager, options);
        dispatch.fall_through_to(router.clone());
        let server = Server::start(dispatch).await;
        let admin = Admin { server, memory, router, overview, orders, looks, answer };
        admin.show([view("hello")]);
        admin
    }

    pub fn show(&self, plugins: impl IntoIterator<Item = PluginView>) {
        self.show_live(plugins.into_iter().map(live));
    }

    pub fn show_live(&self, plugins: impl IntoIterator<Item = LivePlugin>) {
        let plugins = plugins.into_iter().map(Arc::new).collect();
        self.overview.send_replace(Arc::new(Overview { plugins, ready: true, ..Overview::default() }));
    }

    /// From now on orders are answered so.
    pub fn answering(&self, answer: impl FnMut(&Order) -> Result<Done, Refused> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// A token on record, its secret its name.
    pub async fn token(&self, name: &str, role: Role, expires: Option<SystemTime>) -> u64 {
        let token = NewToken { name: name.into(), role, hash: Digest::of(name.as_bytes()), expires };
        self.memory.create(token, "a test".into()).await.unwrap().expect("a name of its own").id
    }

    pub fn request(method: &str, path: &str, token: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Full::new(body.into())).unwrap()
    }

    pub async fn ask(&self, method: &str, path: &str, token: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        self.server.send(Admin::request(method, path, token, body)).await
    }

    /// What the server's own token gets.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, ADMIN, "").await;
        assert_eq!(answer.status(), 200, "{path}: {:?}", answer.body());
        serde_json::from_slice(answer.body()).expect("JSON")
    }
}

/// A time that is over, for a token that has expired.
pub fn over() -> SystemTime {
    SystemTime::now() - Duration::from_secs(60)
}
