//! A plugin's instance as the host holds it, and the handle by which all that it gave out finds it again. What must not live
//! here: what is done with an instance.

use crate::{Host, around, lifecycle::Lifecycle, runtime::PluginRuntime, spare::Spares};
use axum::Router;
use camlock_abi::{FailureMessage, Object};
use http::Extensions;
use std::{
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

/// What `Object` is on this side.
pub(crate) struct Instance {
    pub(crate) runtime: PluginRuntime,
    pub(crate) host: Host,
    /// See `request::room`.
    pub(crate) room: Extensions,
    pub(crate) spares: Spares,
    pub(crate) created: OnceLock<Created>,
}

/// What there is once the author's `create` and `routes` have run.
pub(crate) struct Created {
    pub(crate) router: Router,
    pub(crate) deliveries: Router,
    pub(crate) openapi: Option<String>,
    pub(crate) plugin: Arc<dyn Lifecycle>,
}

/// By which way something comes in.
#[derive(Clone, Copy)]
pub(crate) enum Door {
    /// What clients send: the author's routes answer.
    Requests,
    /// What the host brings.
    Deliveries,
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
    pub(crate) fn new(object: *mut Object) -> Self {
        Home(NonNull::new(object.cast::<Instance>()).expect("the host passes the instance that it opened"))
    }

    pub(crate) fn instance(&self) -> &Instance {
        // SAFETY: see the type.
        unsafe { self.0.as_ref() }
    }

    /// For running code of the plugin within.
    pub(crate) fn runtime(&self) -> &PluginRuntime {
        let Instance { runtime, host, .. } = self.instance();
        around::passing(host);
        runtime
    }

    /// What answers that comes in by this door.
    pub(crate) fn router(&self, door: Door) -> Result<&Router, FailureMessage> {
        match (self.instance().created.get(), door) {
            (Some(created), Door::Requests) => Ok(&created.router),
            (Some(created), Door::Deliveries) => Ok(&created.deliveries),
            (None, _) => Err(FailureMessage::error("the plugin was not created")),
        }
    }

    pub(crate) fn room(&self) -> &Extensions {
        &self.instance().room
    }

    pub(crate) fn spares(&self) -> &Spares {
        &self.instance().spares
    }
}
