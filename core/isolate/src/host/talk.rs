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
    /// Or how the process ended.
    waiting: Mutex<Result<HashMap<u64, oneshot::Sender<LifeOutcome>>, String>>,
}

impl OrderSender {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (out, queued) = mpsc::unbounded_channel();
        let waiting = Mutex::new(Ok(HashMap::new()));
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
            Ok(waiting) => drop(waiting.insert(id, reply)),
            Err(why) => return Err(over(why)),
        }
        self.give(&RunnerOrder::Call { id, call }, &tail);
        let forgets = Forgets { orders: &self, id };
        let outcome = outcome.await.unwrap_or_else(|_| Err(over("nobody is left who waits for it")));
        drop(forgets);
        outcome
    }

    /// A call has come to its end.
    pub(super) fn done(&self, id: u64, outcome: LifeOutcome) {
        let reply = self.0.waiting.lock().as_mut().ok().and_then(|waiting| waiting.remove(&id));
        if let Some(reply) = reply {
            let _ = reply.send(outcome);
        }
    }

    /// Whether there is still somebody who takes them.
    pub(super) fn is_taken(&self) -> bool {
        !self.0.out.is_closed()
    }

    /// The process has ended, in this way: whoever waits is told.
    pub(super) fn over(&self, why: &str) {
        let waiting = std::mem::replace(&mut *self.0.waiting.lock(), Err(why.to_owned()));
        for reply in waiting.into_iter().flat_map(HashMap::into_values) {
            let _ = reply.send(Err(over(why)));
        }
    }
}

/// Takes a call back that nobody waits for any more.
struct Forgets<'a> {
    orders: &'a OrderSender,
    id: u64,
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        let waited = self.orders.0.waiting.lock().as_mut().ok().and_then(|waiting| waiting.remove(&self.id));
        if waited.is_some() {
            self.orders.give(&RunnerOrder::Forget { id: self.id }, &[]);
        }
    }
}

fn over(why: &str) -> Fault {
    Fault::new(FaultKind::Ended, format!("the plugin's process has ended: {why}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{self, send_packet_with};
    use camlock_testing::Random;
    use std::{os::fd::AsFd, time::Duration};

    /// Says this on a socket of a runner's, and closes it: why nothing more was taken, and what was.
    async fn said(packets: &[Vec<u8>]) -> (String, usize) {
        let (ours, theirs) = control::pair().unwrap();
        let socket = ReportSocket::new(ours).unwrap();
        let packets = packets.to_vec();
        let saying = tokio::task::spawn_blocking(move || {
            for packet in packets {
                if control::send_packet(&theirs, &packet).is_err() {
                    return;
                }
            }
        });
        let mut count = 0;
        let taking = socket.take(|_, _, _| count += 1);
        let why = tokio::time::timeout(Duration::from_secs(60), taking).await.expect("it comes to an end");
        drop(socket);
        saying.await.unwrap();
        (why, count)
    }

    fn whole(words: &[u8]) -> Vec<u8> {
        let length = (words.len() as u32).to_le_bytes();
        [&[1][..], &length, words].concat()
    }

    #[tokio::test]
    async fn nonsense_is_the_end_and_is_told() {
        for (packet, why) in [
            (vec![9, 0], "it told nonsense: there is no packet of kind 9"),
            (vec![0; PACKET + 1], "it told nonsense: a packet is longer than the "),
            (vec![1], "it told nonsense: a message ends in the middle of its words"),
            (vec![1, 255, 255, 255, 255], "it told nonsense: a message ends in the middle of its words"),
            (whole(b"{"), "it told nonsense: no such message: "),
            (whole(br#"{"Close":{}}"#), "it told nonsense: no such message: "),
            (whole(br#"{"Done":{"id":-1}}"#), "it told nonsense: no such message: "),
        ] {
            let good = whole(br#"{"Ready":{"document":false}}"#);
            let (told, count) = said(&[good.clone(), packet, good]).await;
            assert!(told.starts_with(why) && !told.contains('\n'), "{told}");
            assert_eq!(count, 1, "{why}");
        }
        let (told, count) = said(&[whole(br#"{"Ready":{"document":false}}"#)]).await;
        assert_eq!((&*told, count), ("it closed its control socket", 1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whatever_it_tells_there_is_an_end() {
        let mut numbers = Random::new(0x9e37_79b9_7f4a_7c15);
        let mut random = move |bound: usize| numbers.below(bound);
        let known = [
            words::write(&Report::Ready { document: true }, b"a document"),
            words::write(&Report::Failed { reason: "no".to_owned(), transient: false }, b""),
            words::write(&Report::Left { forgotten: 1, left_behind: None }, b""),
            words::write(&Report::Held { process: 1, lacking: Vec::new() }, b""),
        ];
        for round in 0..300 {
            let packets: Vec<Vec<u8>> = (0..12)
                .map(|_| {
                    let mut packet = packets::cut(&known[random(known.len())]).next().unwrap();
                    match random(6) {
                        0 => packet.truncate(1 + random(packet.len())),
                        1 => packet[0] = random(3) as u8,
                        2 | 3 => {
                            let at = random(packet.len());
                            packet[at] = random(256) as u8;
                        }
                        _ => {}
                    }
                    packet
                })
                .collect();
            let (why, _) = said(&packets).await;
            let is_known = why.starts_with("it told nonsense: ") || why == "it closed its control socket";
            assert!(is_known && why.len() < 600, "{round}: {why}");
        }
    }

    /// One comes with its first word; all others are nobody's.
    #[tokio::test]
    async fn descriptors_that_it_should_not_send_are_closed() {
        let (ours, theirs) = control::pair().unwrap();
        let socket = ReportSocket::new(ours).unwrap();
        let (first, sent_first) = control::pair().unwrap();
        let (second, sent_second) = control::pair().unwrap();
        let packet = whole(br#"{"Ready":{"document":false}}"#);
        send_packet_with(&theirs, &packet, sent_first.as_fd()).unwrap();
        send_packet_with(&theirs, &packet, sent_second.as_fd()).unwrap();
        drop((theirs, sent_first, sent_second));
        let mut came = Vec::new();
        let why = socket.take(|_, _, descriptor| came.push(descriptor)).await;
        assert_eq!(why, "it closed its control socket");
        assert!(matches!(came[..], [Some(_), None]));
        // Nobody has the other end of the second any more.
        let is_over = |socket: &OwnedFd| {
            rustix::io::ioctl_fionbio(socket, true).unwrap();
            rustix::net::recv(socket, &mut [0; 1][..], rustix::net::RecvFlags::empty()).map(|(_, count)| count)
        };
        assert_eq!(is_over(&second), Ok(0));
        assert_eq!(is_over(&first), Err(rustix::io::Errno::AGAIN));
    }
}
