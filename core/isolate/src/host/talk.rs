//! The server's end of a runner's control socket: orders out, reports in.

use crate::control::{
    PACKET,
    packets::{self, PacketJoiner},
    send_packet, take_packet, take_packet_with,
    words::{self, LifeAnswer, LifeCall, Report, RunnerOrder},
};
use camlock_policy::{Fault, FaultKind};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, oneshot},
};

type LifeOutcome = Result<(LifeAnswer, Vec<u8>), Fault>;

/// What orders are given through. All clones are one.
#[derive(Clone)]
pub(super) struct OrderSender(Arc<OrdersInner>);

struct OrdersInner {
    out: mpsc::UnboundedSender<Vec<u8>>,
    next: AtomicU64,
    /// None once the process has ended.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<LifeOutcome>>>>,
}

impl OrderSender {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (out, queued) = mpsc::unbounded_channel();
        let waiting = Mutex::new(Some(HashMap::new()));
        (OrderSender(Arc::new(OrdersInner { out, next: AtomicU64::new(1), waiting })), queued)
    }

    pub(super) fn give(&self, order: &RunnerOrder, tail: &[u8]) {
        // Nobody takes it: the process has ended, as whoever waits is told.
        let _ = self.0.out.send(words::write(order, tail));
    }

    /// Makes a call of the instance's life. Dropping the future forgets it.
    pub(super) async fn call(self, call: LifeCall, tail: Vec<u8>) -> LifeOutcome {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (reply, outcome) = oneshot::channel();
        match &mut *self.0.waiting.lock() {
            Some(waiting) => drop(waiting.insert(id, reply)),
            None => return Err(over()),
        }
        self.give(&RunnerOrder::Call { id, call }, &tail);
        let forgets = Forgets { orders: &self, id };
        let outcome = outcome.await.unwrap_or_else(|_| Err(over()));
        drop(forgets);
        outcome
    }

    /// A call has come to its end.
    pub(super) fn done(&self, id: u64, outcome: LifeOutcome) {
        let reply = self.0.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(reply) = reply {
            let _ = reply.send(outcome);
        }
    }

    /// Whether there is still somebody who takes them.
    pub(super) fn is_taken(&self) -> bool {
        !self.0.out.is_closed()
    }

    /// The process has ended: whoever waits is told.
    pub(super) fn over(&self) {
        drop(self.0.waiting.lock().take());
    }
}

/// Takes a call back that nobody waits for any more.
struct Forgets<'a> {
    orders: &'a OrderSender,
    id: u64,
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        let waited = self.orders.0.waiting.lock().as_mut().and_then(|waiting| waiting.remove(&self.id));
        if waited.is_some() {
            self.orders.give(&RunnerOrder::Forget { id: self.id }, &[]);
        }
    }
}

fn over() -> Fault {
    Fault::new(FaultKind::Ended, "the plugin's process has ended")
}

/// The socket itself.
pub(super) struct ReportSocket(AsyncFd<OwnedFd>);

impl ReportSocket {
    /// Within a runtime.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(ReportSocket(crate::sys::watched(socket)?))
    }

    /// Sends what is queued, to the end of either.
    pub(super) async fn send(&self, mut queued: mpsc::UnboundedReceiver<Vec<u8>>) {
        while let Some(message) = queued.recv().await {
            for packet in packets::cut(&message) {
                loop {
                    let Ok(mut ready) = self.0.writable().await else { return };
                    match ready.try_io(|socket| send_packet(socket.get_ref(), &packet)) {
                        Ok(Ok(())) => break,
                        Ok(Err(_)) => return,
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// Takes reports until there are no more: why.
    /// A descriptor comes along with the first alone; later ones are closed.
    pub(super) async fn take(&self, mut taken: impl FnMut(Report, Vec<u8>, Option<OwnedFd>)) -> String {
        let mut joiner = PacketJoiner::default();
        let mut packet = Box::new([0; PACKET + 1]);
        let (mut descriptor, mut is_first) = (None, true);
        loop {
            let Ok(mut ready) = self.0.readable().await else { return "its socket is gone".to_owned() };
            let taking = ready.try_io(|socket| {
                if is_first {
                    let (packet, came) = take_packet_with(socket.get_ref(), &mut packet)?;
                    descriptor = came;
                    return Ok(packet.to_vec());
                }
                // Without room for them, the kernel closes descriptors that come along.
                take_packet(socket.get_ref(), &mut packet).map(<[u8]>::to_vec)
            });
            let message = match taking {
                Err(_) => continue,
                Ok(Err(error)) => return format!("its control socket broke: {error}"),
                Ok(Ok(packet)) if packet.is_empty() => return "it closed its control socket".to_owned(),
                Ok(Ok(packet)) => {
                    is_first = false;
                    joiner.take(&packet)
                }
            };
            match message.and_then(|message| message.map(words::read).transpose()) {
                Ok(None) => {}
                Ok(Some((report, tail))) => taken(report, tail, descriptor.take()),
                Err(why) => return format!("it told nonsense: {why}"),
            }
        }
    }
}
