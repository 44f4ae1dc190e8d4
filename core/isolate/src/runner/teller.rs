//! The runner's way to tell the server something, from whatever thread.

use crate::control::{
    packets, send_packet,
    words::{self, Report},
};
use parking_lot::Mutex;
use std::{os::fd::OwnedFd, sync::Arc};

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
}
