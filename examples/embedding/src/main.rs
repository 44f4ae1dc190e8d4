//! A server of somebody's own, with Camlock in it: a guest book whose further pages are plugins.
//!
//! Usage: embedding DIRECTORY [ADDRESS [BUILDS]]. Plugins lie in DIRECTORY/plugins; what Camlock keeps, in DIRECTORY/data.

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use camlock_embed::{Camlock, Options, Profile};
use std::{
    env,
    error::Error,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// What the program's own handlers share. Camlock is a part of it, so that they can ask it.
#[derive(Clone)]
struct App {
    guests: Arc<Mutex<Vec<String>>>,
    answered: Arc<AtomicUsize>,
    camlock: Camlock,
}

fn main() -> Result<(), Box<dyn Error>> {
    // Plugins are tried in a child process, which is this program, started again: there this call does the work and never
    // returns. So it comes first, before any thread and any runtime.
    camlock_embed::run_verifier_if_asked();
    serve()
}

#[tokio::main]
async fn serve() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let directory = PathBuf::from(arguments.first().ok_or("usage: embedding DIRECTORY [ADDRESS [BUILDS]]")?);
    let address = arguments.get(1).map_or("127.0.0.1:3000", String::as_str);

    let mut options = Options::new(directory.join("plugins"), directory.join("data"));
    options.profile = Profile::Quick;
    options.builds = arguments.get(2).map(PathBuf::from);
    options.settings.limits.drain = Duration::from_secs(2);
    let camlock = Camlock::start(options).await?;

    let app = App { guests: Arc::default(), answered: Arc::default(), camlock: camlock.clone() };
    let router = Router::new()
        .route("/", get(home))
        .route("/guests", get(guests).post(sign))
        .route("/renew/{plugin}", post(renew))
        .merge(camlock.router())
        // Around everything: the program's own pages, and those of plugins.
        .layer(from_fn_with_state(app.clone(), count))
        .with_state(app);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(camlock.end_on(asked_to_end())).await?;
    camlock.end().await;
    println!("ended");
    Ok(())
}

async fn home(State(app): State<App>) -> String {
    let overview = app.camlock.overview();
    let names: Vec<_> =
        overview.plugins.iter().map(|plugin| format!("{} ({})", plugin.name, plugin.state.word())).collect();
    format!("A guest book. Plugins: {}\n", names.join(", "))
}

async fn guests(State(app): State<App>) -> String {
    app.guests.lock().unwrap().join("\n")
}

async fn sign(State(app): State<App>, name: String) -> StatusCode {
    app.guests.lock().unwrap().push(name);
    StatusCode::CREATED
}

/// Acts on a plugin: a new generation of it.
async fn renew(State(app): State<App>, Path(plugin): Path<String>) -> Result<String, (StatusCode, String)> {
    let done = app.camlock.reload(&plugin).await.map_err(|refused| (StatusCode::CONFLICT, refused.to_string()))?;
    let generation = done.plugin.serving.as_ref().map(|serving| serving.generation);
    Ok(format!("generation {}", generation.unwrap_or_default()))
}

/// The program's own middleware.
async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let count = app.answered.fetch_add(1, Ordering::Relaxed) + 1;
    response.headers_mut().insert(HeaderName::from_static("x-answered"), HeaderValue::from(count));
    response
}

async fn asked_to_end() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be waited for");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
