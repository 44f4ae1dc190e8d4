//! A plugin's instance as the host holds it: the functions of the contract's root, all but `export!`'s one generic.

use crate::{
    Config, Host, Plugin, Saved, Taken, around, export::ExportedPlugin, host::panicked, request, respond,
    runtime::InRuntime, runtime::PluginRuntime, spare::Spares,
};
use anyhow::Context as _;
use axum::Router;
use camlock_abi::{
    Body, Caught, DirectWaker, FailureKind, FailureMessage, Hooks, HostRef, Job, Object, OpenOptions, RSlice, RStr,
    RequestHead, TAKEN_LIVE, Task, TextSink,
};
use http::Extensions;
use std::{
    future::Future,
    pin::Pin,
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

/// The compiler that built this crate.
pub const RUSTC: &str = env!("CAMLOCK_RUSTC");

type JobOutcome = Result<Vec<u8>, FailureMessage>;
type LifecycleFuture<'a> = Pin<Box<dyn Future<Output = crate::Result<Vec<u8>>> + Send + 'a>>;

/// The author's type, without its type.
trait Lifecycle: Send + Sync {
    fn start(&self) -> LifecycleFuture<'_>;
    fn health(&self) -> LifecycleFuture<'_>;
    fn save(&self) -> LifecycleFuture<'_>;
    fn restore(&self, saved: Saved) -> LifecycleFuture<'_>;
    fn configure(&self, config: Config) -> LifecycleFuture<'_>;
    fn shutdown(&self) -> LifecycleFuture<'_>;
}

impl<P: Plugin> Lifecycle for P {
    fn start(&self) -> LifecycleFuture<'_> {
        Box::pin(async { Plugin::start(self).await.map(|()| Vec::new()) })
    }
    fn health(&self) -> LifecycleFuture<'_> {
        Box::pin(async { Plugin::health(self).await.map(|()| Vec::new()) })
    }
    fn save(&self) -> LifecycleFuture<'_> {
        Box::pin(async {
            Ok(Plugin::save(self).await?.map_or_else(Vec::new, |mut state| {
                state.insert(0, 1);
                state
            }))
        })
    }
    fn restore(&self, saved: Saved) -> LifecycleFuture<'_> {
        Box::pin(async { Plugin::restore(self, saved).await.map(|()| Vec::new()) })
    }
    fn configure(&self, config: Config) -> LifecycleFuture<'_> {
        Box::pin(async {
            Ok(match Plugin::configure(self, config).await? {
                Taken::Live => TAKEN_LIVE.to_vec(),
                Taken::Reload => Vec::new(),
            })
        })
    }
    fn shutdown(&self) -> LifecycleFuture<'_> {
        Box::pin(async {
            Plugin::shutdown(self).await;
            Ok(Vec::new())
        })
    }
}

/// What `Object` is on this side.
pub(crate) struct Instance {
    runtime: PluginRuntime,
    host: Host,
    /// See `request::room`.
    room: Extensions,
    spares: Spares,
    made: OnceLock<Created>,
}

struct Created {
    router: Router,
    openapi: Option<String>,
    plugin: Arc<dyn Lifecycle>,
}

/// The instance that a task, a body or a job belongs to.
///
/// The contract makes this sound: the host closes an instance only after everything that it gave out was freed, and all of
/// those, and nothing else, hold a `Home`.
#[derive(Clone, Copy)]
pub(crate) struct Home(NonNull<Instance>);

// SAFETY: it only lends `&Instance`, whose parts are all Sync.
unsafe impl Send for Home {}
// SAFETY: as above.
unsafe impl Sync for Home {}

const _: () = {
    const fn sync<T: Sync + Send>() {}
    sync::<Instance>();
};

impl Home {
    fn new(object: *mut Object) -> Self {
        Home(NonNull::new(object.cast::<Instance>()).expect("the host passes the instance that it opened"))
    }

    fn instance(&self) -> &Instance {
        // SAFETY: see the type.
        unsafe { self.0.as_ref() }
    }

    /// For running code of the plugin within.
    pub(crate) fn runtime(&self) -> &PluginRuntime {
        let Instance { runtime, host, .. } = self.instance();
        around::passing(host);
        runtime
    }

    pub(crate) fn router(&self) -> Result<&Router, FailureMessage> {
        let made = self.instance().made.get();
        made.map(|made| &made.router).ok_or_else(|| FailureMessage::error("the plugin was not created"))
    }

    pub(crate) fn room(&self) -> &Extensions {
        &self.instance().room
    }

    pub(crate) fn spares(&self) -> &Spares {
        &self.instance().spares
    }

    fn job(self, future: impl Future<Output = crate::Result<Vec<u8>>> + Send + 'static) -> Job {
        let told = async { future.await.map_err(|error| FailureMessage::error(format!("{error:#}"))) };
        Job::new(InRuntime::new(told, self), DirectWaker, dropped_badly)
    }

    fn lifecycle<F>(self, call: F) -> Job
    where
        F: for<'a> FnOnce(&'a dyn Lifecycle) -> LifecycleFuture<'a> + Send + 'static,
    {
        self.job(async move {
            let made = self.instance().made.get().context("the plugin was not created")?;
            let plugin = made.plugin.clone();
            call(&*plugin).await
        })
    }
}

fn dropped_badly(caught: &Caught) {
    panicked("while dropping a future", caught);
}

/// Answers with a job that only fails, where even making the job panicked.
fn or_failed(made: Result<Job, Caught>) -> Job {
    made.unwrap_or_else(|caught| Job::new(async move { JobOutcome::Err(caught) }, DirectWaker, dropped_badly))
}

pub(crate) unsafe extern "C" fn install(hooks: &'static Hooks) {
    around::installed(hooks);
}

pub(crate) unsafe extern "C" fn open(host: HostRef, options: &OpenOptions<'_>) -> *mut Object {
    let opened = camlock_abi::catch(|| {
        let host = Host::loaded(host);
        around::opened(&host, options.verifying);
        let runtime = match PluginRuntime::new(options.runtime, options.name.as_str()) {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "no tokio runtime could be made");
                return std::ptr::null_mut();
            }
        };
        if options.runtime {
            around::runs(&host, &runtime);
        }
        Box::into_raw(Box::new(Instance {
            runtime,
            host,
            room: request::room(),
            spares: Spares::default(),
            made: OnceLock::new(),
        }))
        .cast()
    });
    opened.unwrap_or_else(|caught| {
        panicked("while opening", &caught);
        std::ptr::null_mut()
    })
}

pub(crate) unsafe extern "C" fn create<P: ExportedPlugin>(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| {
        let home = Home::new(object);
        let host = home.instance().host.clone().with_assets(P::ASSETS);
        let created = async move {
            let plugin = P::create(host).await.map_err(|error| FailureMessage::error(format!("{error:#}")))?;
            let plugin = Arc::new(plugin);
            let routes: crate::Routes = camlock_abi::catch(|| plugin.clone().routes().into())
                .map_err(|caught| FailureMessage { kind: FailureKind::PanicInRoutes, ..caught })?;
            let made = Created { router: routes.router, openapi: routes.openapi, plugin };
            home.instance().made.set(made).map_err(|_| FailureMessage::error("created twice"))?;
            Ok(Vec::new())
        };
        Job::new(InRuntime::new(created, home), DirectWaker, dropped_badly)
    }))
}

pub(crate) unsafe extern "C" fn describe(object: *mut Object, sink: &TextSink<'_>) {
    let home = Home::new(object);
    #[cfg(all(feature = "count-memory", not(feature = "program")))]
    {
        let counter = (crate::memory::held as extern "C" fn() -> u64 as usize).to_ne_bytes();
        // SAFETY: the sink is the host's, valid for this call.
        unsafe { (sink.text)(sink.context, RStr::from_str("memory"), RSlice::from_slice(&counter)) }
    }
    if let Some(document) = home.instance().made.get().and_then(|made| made.openapi.as_deref()) {
        let bytes = RSlice::from_slice(document.as_bytes());
        // SAFETY: the sink is the host's, valid for this call.
        unsafe { (sink.text)(sink.context, RStr::from_str("openapi"), bytes) }
    }
}

pub(crate) unsafe extern "C" fn start(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| Home::new(object).lifecycle(|plugin| plugin.start())))
}

pub(crate) unsafe extern "C" fn health(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| Home::new(object).lifecycle(|plugin| plugin.health())))
}

pub(crate) unsafe extern "C" fn save(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| Home::new(object).lifecycle(|plugin| plugin.save())))
}

pub(crate) unsafe extern "C" fn restore(object: *mut Object, version: RStr<'_>, state: RSlice<'_, u8>) -> Job {
    or_failed(camlock_abi::catch(|| {
        let saved = Saved { version: version.as_str().to_owned(), state: state.to_vec() };
        Home::new(object).lifecycle(move |plugin| plugin.restore(saved))
    }))
}

pub(crate) unsafe extern "C" fn configure(object: *mut Object, config: RStr<'_>) -> Job {
    or_failed(camlock_abi::catch(|| {
        let config = Config::of_host(config.as_str());
        Home::new(object).lifecycle(move |plugin| plugin.configure(config))
    }))
}

pub(crate) unsafe extern "C" fn shutdown(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| Home::new(object).lifecycle(|plugin| plugin.shutdown())))
}

pub(crate) unsafe extern "C" fn handle(object: *mut Object, head: &RequestHead<'_>, body: Body) -> Task {
    respond::handle(Home::new(object), head, body)
}

pub(crate) unsafe extern "C" fn upgrade(object: *mut Object, head: &RequestHead<'_>, body: Body) -> Task {
    #[cfg(feature = "upgrade")]
    return crate::upgrade::upgrade(Home::new(object), head, body);
    #[cfg(not(feature = "upgrade"))]
    return respond::handle(Home::new(object), head, body);
}

pub(crate) unsafe extern "C" fn close(object: *mut Object) {
    // SAFETY: `open` boxed it, the host calls this once, and every `Home` is gone (see the type).
    let instance = unsafe { Box::from_raw(object.cast::<Instance>()) };
    let Instance { runtime, made, host, room: _, spares: _ } = *instance;
    around::passing(&host);
    // The author's value goes while the runtime is there; tasks that still hold it go with the runtime.
    let dropped = camlock_abi::catch(|| runtime.within(|| drop(made), |()| false));
    if let Err(caught) = dropped {
        panicked("while dropping the plugin", &caught);
    }
    if let Err(caught) = camlock_abi::catch(|| runtime.close()) {
        panicked("while ending the runtime", &caught);
    }
    camlock_abi::catch_quietly(around::closed);
}
