//! Libraries that nobody should have let in, as if somebody had forged what verification said of them.

use crate::harness::{Host, run};
use camlock_policy::Isolation;
use camlock_testing::{Altered, Fixtures, trial};

const ENDED: &str = "its process ended before it had an instance: ";

/// Each ends its own process at most, and a neighbour does not notice.
#[trial]
fn what_was_never_verified() {
    run(async {
        let host = Host::new();
        let neighbour = Fixtures::quick().library("escapes");
        let neighbour = host.serve_loaded(host.load_as(&neighbour, Isolation::Process).await.unwrap()).await;
        let garbled = Altered::good();
        let dynamic = garbled.number(garbled.header_of(".dynamic") + 0x18);
        let lacking = Altered::good();
        let needed = b"\0libc.so.6\0";
        let at = lacking.0.windows(needed.len()).position(|bytes| bytes == needed).expect("it needs libc");
        for (bytes, reasons) in [
            (Altered::that("constructor crashes"), &[ENDED][..]),
            (Altered::that("constructor exits well"), &[ENDED]),
            (Altered::that("aborts"), &[ENDED]),
            (Altered::that("recurses"), &[ENDED]),
            (Altered::that("is killed"), &[ENDED]),
            (Altered::that("hangs up"), &[ENDED]),
            (Altered::that("panics"), &["`create` panicked: there is no way ("]),
            (Altered::that("talks without end"), &["`create` failed: "]),
            (Altered::candidate("undefined").0, &["it cannot be opened: undefined symbol"]),
            (lacking.patch(at, b"\0libz.so.0\0").0, &["it cannot be opened: libz.so.0: "]),
            // Whether the linker says so or stumbles is the linker's affair.
            (garbled.patch(dynamic, &[0xff; 64]).0, &["it cannot be opened: ", ENDED]),
        ] {
            let file = host.dir().join("candidate.so");
            std::fs::write(&file, bytes).unwrap();
            let why = host.load_unverified(&file).await.map(drop).expect_err("it cannot be loaded");
            assert!(reasons.iter().any(|reason| why.starts_with(reason)), "{reasons:?}: {why}");
            assert_eq!(neighbour.text("/fine").await, "fine", "{why}");
        }
        neighbour.unload_wholly().await;
        let left = std::fs::read_dir(host.dir().join("runners")).unwrap().count();
        assert_eq!(left, 0, "nothing of them is left");
    });
}
