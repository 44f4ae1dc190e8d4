//! What a plugin's process is refused: heard of, refused, counted, and told once by name, with the permission that would allow it.
//!
//! Nothing of what it says is read from its memory, and nothing is ever let through: the answer is always the same error.

use crate::{bounds::ProcessUse, sandbox::act_of, sys};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::{io, os::fd::OwnedFd, sync::Arc};

/// Answers until nobody is left who could ask. Within a runtime.
pub(super) fn hear(listener: OwnedFd, (plugin, generation): (Arc<str>, u64), uses: ProcessUse) {
    let _ = rustix::io::ioctl_fionbio(&listener, true);
    let Ok(listener) = sys::watched(listener) else { return };
    tokio::spawn(async move {
        loop {
            let Ok(mut ready) = listener.readable().await else { return };
            let call = match ready.try_io(|listener| next(listener.get_ref())) {
                Ok(Ok(Some(call))) => call,
                Ok(Ok(None)) | Err(_) => continue,
                Ok(Err(_)) => return,
            };
            let (what, permission) = act_of(call.number, call.arguments);
            let told = match permission {
                Some(permission) => format!("{what} (`{permission}` would allow it)"),
                None => format!("{what} (no permission allows it)"),
            };
            let is_first = {
                let mut uses = uses.lock();
                let count = uses.refused.entry(told.clone()).or_default();
                *count += 1;
                *count == 1
            };
            // Counted before the plugin goes on: whoever looks at what it did finds it.
            sys::refuse(listener.get_ref(), call);
            if is_first {
                let remedy = permission.map(|permission| format!("camlock grant {plugin} {permission}"));
                tracing::warn!(plugin = &*plugin, generation, remedy, "it was refused to {told}");
            }
        }
    });
}

/// The next call that waits, without waiting for one: the kernel does not know how to take one from this descriptor otherwise.
fn next(listener: &OwnedFd) -> io::Result<Option<sys::RefusedCall>> {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    rustix::event::poll(&mut asked, Some(&Timespec::default()))?;
    let found = asked[0].revents();
    if found.contains(PollFlags::IN) {
        return sys::next_refused(listener);
    }
    // Nobody is left who could ask.
    let is_over = found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
    Err(if is_over { io::ErrorKind::BrokenPipe.into() } else { io::ErrorKind::WouldBlock.into() })
}
