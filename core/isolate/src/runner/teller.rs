//! The runner's way to tell the server something, from whatever thread.

use crate::control::{
    packets, send_packet, send_packet_with,
    words::{self, Report},
};
use parking_lot::Mutex;
use std::{
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
};

/// Sends reports, whole and one after the other.
#[derive(Clone)]
pub(super) struct ReportSender(Arc<Mutex<OwnedFd>>);

impl ReportSender {
    pub(super) fn new(socket: OwnedFd) -> Self {
        ReportSender(Arc::new(Mutex::new(socket)))
    }

    /// Waits until the server has taken it. When the server is gone, so is this process, soon.
    pub(super) fn tell(&self, report: &Report, tail: &[u8]) {
        let message = words::write(report, tail);
        let socket = self.0.lock();
        for packet in packets::cut(&message) {
            if send_packet(&*socket, &packet).is_err() {
                return;
            }
        }
    }

    /// Hands over a descriptor with a report, which is a short one.
    pub(super) fn tell_with(&self, report: &Report, descriptor: BorrowedFd<'_>) {
        let message = words::write(report, &[]);
        let socket = self.0.lock();
        for packet in packets::cut(&message) {
            let _ = send_packet_with(&*socket, &packet, descriptor);
        }
    }
}
