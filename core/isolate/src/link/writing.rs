//! Writing what waits. Whoever has something to send writes it, with no lock held; who comes meanwhile leaves its own to that one, so what
//! comes at once goes at once. Where the socket takes no more, the rest is the driver's.

use super::{Link, state::LinkState};
use std::{
    io,
    task::{Context, Poll, Waker},
};

/// So often is written before others have their turn.
const ROUNDS: usize = 16;

/// That something waits to be written: [`Link::write`] does so, once the state is no longer locked.
#[must_use]
pub(crate) struct Unwritten;

/// Who writes.
#[derive(Default)]
pub(super) enum Writing {
    /// Nobody.
    #[default]
    Free,
    /// Somebody, who looks once more whether there is something before that is over.
    Busy,
    /// The driver, once the socket takes more.
    Waiting,
    /// Nobody any more. The driver, which has read by then what the other end said before, closes the link.
    Failed(io::Error),
}

impl Link {
    /// Writes it, unless somebody does so already.
    pub(super) fn write(&self, unwritten: Option<Unwritten>) {
        if unwritten.is_some() {
            self.write_all_there_is();
        }
    }

    /// The driver's part: writes on where the socket took no more. Others have their turn whenever the runtime says so, by the socket.
    pub(super) fn write_on(&self, context: &mut Context<'_>) -> io::Result<()> {
        while self.0.state.lock().is_left_to_driver()? {
            match self.0.socket.poll_write_ready(context) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            self.0.state.lock().writing = Writing::Free;
            self.write_all_there_is();
        }
        Ok(())
    }

    fn write_all_there_is(&self) {
        let mut woken = Vec::new();
        let mut rounds = 0;
        let mut state = self.0.state.lock();
        while matches!(state.writing, Writing::Free) && !state.closed && !state.out.is_empty() {
            if rounds == ROUNDS {
                woken.extend(state.leave_to_driver(Writing::Waiting));
                break;
            }
            rounds += 1;
            let portion = state.out.next();
            state.writing = Writing::Busy;
            drop(state);
            let written = portion.write(|slices| self.0.socket.try_write_vectored(slices));
            state = self.0.state.lock();
            state.writing = Writing::Free;
            if state.closed {
                break;
            }
            // Also those who found it full while nothing of this was written: they look again, and wait again.
            woken.extend(state.out.written(portion, *written.as_ref().unwrap_or(&0)));
            if let Err(error) = written {
                let blocked = error.kind() == io::ErrorKind::WouldBlock;
                let next = if blocked { Writing::Waiting } else { Writing::Failed(error) };
                woken.extend(state.leave_to_driver(next));
            }
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl LinkState {
    /// Whether the driver is to write on; an error if nobody can.
    fn is_left_to_driver(&mut self) -> io::Result<bool> {
        match std::mem::take(&mut self.writing) {
            Writing::Failed(error) => Err(error),
            writing => {
                let left = matches!(writing, Writing::Waiting);
                self.writing = writing;
                Ok(left)
            }
        }
    }

    fn leave_to_driver(&mut self, writing: Writing) -> Option<Waker> {
        self.writing = writing;
        self.driver.take()
    }
}
