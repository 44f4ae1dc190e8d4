//! What a plugin's process is refused: heard of, refused, counted, and told once by name, with the permission that would allow it.
//!
//! What it may connect to is the broker's affair; of nothing else is anything read from its memory. Nothing is ever let through in the
//! kernel: what the broker allows, it does itself.

use crate::{
    bounds::ProcessUse,
    broker::{Broker, RefusedAct, TellRefusal},
    sandbox::act_of,
    sys,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::{io, os::fd::OwnedFd, sync::Arc};
use tokio::task::{AbortHandle, JoinSet};

/// So many calls of one plugin are seen to at once; further ones wait.
const AT_ONCE: usize = 256;
/// So many different refusals are told apart: names and addresses are the plugin's to choose.
const APART: usize = 64;

/// Answers until nobody is left who could ask, or it is called off: while many calls are under way it does not notice that the process
/// has ended. Within a runtime.
pub(super) fn hear(
    listener: OwnedFd,
    whose: (Arc<str>, u64),
    uses: ProcessUse,
    broker: Option<Arc<Broker>>,
) -> Option<AbortHandle> {
    let _ = rustix::io::ioctl_fionbio(&listener, true);
    let ours = listener.try_clone().ok()?;
    let (watched, listener) = (sys::watched(ours).ok()?, Arc::new(listener));
    let tell: TellRefusal = Arc::new(move |refusal| tell(&whose, &uses, refusal));
    let hearing = tokio::spawn(async move {
        let mut under_way = JoinSet::new();
        loop {
            while under_way.try_join_next().is_some() {}
            if under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            let Ok(mut ready) = watched.readable().await else { return };
            let call = match ready.try_io(|listener| next(listener.get_ref())) {
                Ok(Ok(Some(call))) => call,
                Ok(Ok(None)) | Err(_) => continue,
                // What is under way for it ends with this.
                Ok(Err(_)) => return,
            };
            match broker.as_ref().filter(|broker| broker.takes(&call)) {
                Some(broker) => drop(under_way.spawn(broker.clone().serve(listener.clone(), call, tell.clone()))),
                None => {
                    let (what, permission) = act_of(call.number, call.arguments);
                    // Counted before the plugin goes on: whoever looks at what it did finds it.
                    tell((what.to_owned(), permission.map(str::to_owned)));
                    sys::refuse(&listener, &call);
                }
            }
        }
    });
    Some(hearing.abort_handle())
}

fn tell((plugin, generation): &(Arc<str>, u64), uses: &ProcessUse, (what, permission): RefusedAct) {
    let told = match &permission {
        Some(permission) => format!("{what} (`{permission}` would allow it)"),
        None => format!("{what} (no permission allows it)"),
    };
    let is_first = {
        let mut uses = uses.lock();
        let is_one_of_many = uses.refused.len() >= APART && !uses.refused.contains_key(&told);
        let told = if is_one_of_many { "do much else".to_owned() } else { told.clone() };
        let count = uses.refused.entry(told).or_default();
        *count += 1;
        *count == 1
    };
    if is_first {
        let remedy = permission.map(|permission| format!("camlock grant {plugin} {permission}"));
        tracing::warn!(plugin = &**plugin, generation, remedy, "it was refused to {told}");
    }
}

/// The next call that waits, without waiting for one: the kernel does not know how to take one from this descriptor otherwise.
fn next(listener: &OwnedFd) -> io::Result<Option<sys::ToldCall>> {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    rustix::event::poll(&mut asked, Some(&Timespec::default()))?;
    let found = asked[0].revents();
    if found.contains(PollFlags::IN) {
        return sys::next_told(listener);
    }
    // Nobody is left who could ask.
    let is_over = found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
    Err(if is_over { io::ErrorKind::BrokenPipe.into() } else { io::ErrorKind::WouldBlock.into() })
}
