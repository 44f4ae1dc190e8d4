//! The functions of the contract's root, all but `export!`'s one generic: each finds the instance and hands over what was asked
//! for. What must not live here: how anything is done.

use crate::{
    Config, Host, Saved, around, deliveries,
    host::panicked,
    in_runtime::InRuntime,
    instance::{Created, Door, Home, Instance},
    lifecycle::{Lifecycle, LifecycleFuture},
    plugin::ExportedPlugin,
    request, respond,
    runtime::PluginRuntime,
    spare::Spares,
};
use anyhow::Context as _;
use camlock_abi::{
    Body, Caught, DirectWaker, FailureKind, FailureMessage, Hooks, HostRef, Job, Object, OpenOptions, RSlice, RStr,
    RequestHead, Task, TextSink,
};
use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

/// The compiler that built this crate.
pub const RUSTC: &str = env!("CAMLOCK_RUSTC");

type JobOutcome = Result<Vec<u8>, FailureMessage>;

fn job(home: Home, future: impl Future<Output = crate::Result<Vec<u8>>> + Send + 'static) -> Job {
    let told = async { future.await.map_err(|error| FailureMessage::error(format!("{error:#}"))) };
    Job::new(InRuntime::new(told, home), DirectWaker, dropped_badly)
}

fn lifecycle<F>(home: Home, call: F) -> Job
where
    F: for<'a> FnOnce(&'a dyn Lifecycle) -> LifecycleFuture<'a> + Send + 'static,
{
    job(home, async move {
        let plugin = home.instance().created.get().context("the plugin was not created")?.plugin.clone();
        call(&*plugin).await
    })
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
            created: OnceLock::new(),
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
            let plugin = P::create(host.clone()).await.map_err(|error| FailureMessage::error(format!("{error:#}")))?;
            let plugin = Arc::new(plugin);
            let routes: crate::Routes = camlock_abi::catch(|| plugin.clone().routes().into())
                .map_err(|caught| FailureMessage { kind: FailureKind::PanicInRoutes, ..caught })?;
            let created = Created {
                router: routes.router,
                deliveries: deliveries::router(plugin.clone(), host),
                openapi: routes.openapi,
                plugin,
            };
            home.instance().created.set(created).map_err(|_| FailureMessage::error("created twice"))?;
            Ok(Vec::new())
        };
        Job::new(InRuntime::new(created, home), DirectWaker, dropped_badly)
    }))
}

pub(crate) unsafe extern "C" fn describe<P: ExportedPlugin>(object: *mut Object, sink: &TextSink<'_>) {
    let home = Home::new(object);
    if home.instance().created.get().is_none() {
        match camlock_abi::catch(P::config_schema) {
            Ok(Some(schema)) => {
                let bytes = RSlice::from_slice(schema.as_bytes());
                // SAFETY: the sink is the host's, valid for this call.
                unsafe { (sink.text)(sink.context, RStr::from_str("config-schema"), bytes) }
            }
            Ok(None) => {}
            Err(caught) => panicked("while its configuration's schema was made", &caught),
        }
    }
    #[cfg(all(feature = "count-memory", not(feature = "program")))]
    {
        let counter = (crate::memory::held as extern "C" fn() -> u64 as usize).to_ne_bytes();
        // SAFETY: the sink is the host's, valid for this call.
        unsafe { (sink.text)(sink.context, RStr::from_str("memory"), RSlice::from_slice(&counter)) }
    }
    if let Some(document) = home.instance().created.get().and_then(|created| created.openapi.as_deref()) {
        let bytes = RSlice::from_slice(document.as_bytes());
        // SAFETY: the sink is the host's, valid for this call.
        unsafe { (sink.text)(sink.context, RStr::from_str("openapi"), bytes) }
    }
}

pub(crate) unsafe extern "C" fn start(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| lifecycle(Home::new(object), |plugin| plugin.start())))
}

pub(crate) unsafe extern "C" fn health(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| lifecycle(Home::new(object), |plugin| plugin.health())))
}

pub(crate) unsafe extern "C" fn save(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| lifecycle(Home::new(object), |plugin| plugin.save())))
}

pub(crate) unsafe extern "C" fn restore(object: *mut Object, version: RStr<'_>, state: RSlice<'_, u8>) -> Job {
    or_failed(camlock_abi::catch(|| {
        let saved = Saved { version: version.as_str().to_owned(), state: state.to_vec() };
        lifecycle(Home::new(object), move |plugin| plugin.restore(saved))
    }))
}

pub(crate) unsafe extern "C" fn configure(object: *mut Object, config: RStr<'_>) -> Job {
    or_failed(camlock_abi::catch(|| {
        let config = Config::of_host(config.as_str());
        lifecycle(Home::new(object), move |plugin| plugin.configure(config))
    }))
}

pub(crate) unsafe extern "C" fn shutdown(object: *mut Object) -> Job {
    or_failed(camlock_abi::catch(|| lifecycle(Home::new(object), |plugin| plugin.shutdown())))
}

pub(crate) unsafe extern "C" fn handle(object: *mut Object, head: &RequestHead<'_>, body: Body) -> Task {
    respond::handle(Home::new(object), Door::Requests, head, body)
}

pub(crate) unsafe extern "C" fn deliver(object: *mut Object, head: &RequestHead<'_>, body: Body) -> Task {
    respond::handle(Home::new(object), Door::Deliveries, head, body)
}

pub(crate) unsafe extern "C" fn upgrade(object: *mut Object, head: &RequestHead<'_>, body: Body) -> Task {
    #[cfg(feature = "upgrade")]
    return crate::upgrade::upgrade(Home::new(object), head, body);
    #[cfg(not(feature = "upgrade"))]
    return respond::handle(Home::new(object), Door::Requests, head, body);
}

pub(crate) unsafe extern "C" fn close(object: *mut Object) {
    // SAFETY: `open` boxed it, the host calls this once, and every `Home` is gone (see the type).
    let instance = unsafe { Box::from_raw(object.cast::<Instance>()) };
    let Instance { runtime, created, host, room: _, spares: _ } = *instance;
    around::passing(&host);
    // The author's value goes while the runtime is there; tasks that still hold it go with the runtime.
    let dropped = camlock_abi::catch(|| runtime.within(|| drop(created), |()| false));
    if let Err(caught) = dropped {
        panicked("while dropping the plugin", &caught);
    }
    if let Err(caught) = camlock_abi::catch(|| runtime.close()) {
        panicked("while ending the runtime", &caught);
    }
    camlock_abi::catch_quietly(around::closed);
}
