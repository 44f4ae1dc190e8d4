use super::*;
use futures_util::FutureExt;
use std::{sync::atomic::AtomicBool, thread};

const WORK: Duration = Duration::from_millis(40);

fn plugin(name: &str) -> Arc<str> {
    name.into()
}

/// A tenth of a second a second; what is told of others can be changed.
fn shares() -> (ServiceShares, Arc<AtomicBool>) {
    let others = Arc::new(AtomicBool::new(true));
    let told = others.clone();
    (ServiceShares::new(0.1, Arc::new(move |_| told.load(Ordering::Relaxed))), others)
}

async fn work(shares: &ServiceShares, plugin: &Arc<str>) -> Duration {
    let asked = Instant::now();
    let turn = shares.turn(plugin).await.unwrap();
    let waited = asked.elapsed();
    let _turn = turn.begun();
    thread::sleep(WORK);
    waited
}

#[tokio::test]
async fn who_used_up_its_share_waits_alone() {
    let (shares, others) = shares();
    let (flood, other) = (plugin("flood"), plugin("other"));
    assert!(work(&shares, &flood).await < WORK);
    // Of 10 ms that were there 40 are used: 300 ms until there is any again.
    assert!(work(&shares, &flood).await >= Duration::from_millis(290));
    assert!(work(&shares, &other).await < WORK, "that is nothing to others");
    let slowed = shares.slowed();
    assert_eq!(slowed.keys().collect::<Vec<_>>(), ["flood"]);
    assert_eq!(slowed["flood"].count, 1);
    assert!(slowed["flood"].waited >= Duration::from_millis(290), "{slowed:?}");
    others.store(false, Ordering::Relaxed);
    assert!(work(&shares, &flood).await < WORK, "alone it has the machine");
    assert_eq!(shares.slowed()["flood"].count, 1);
}

#[tokio::test]
async fn what_is_used_alone_is_not_owed() {
    let (shares, others) = shares();
    others.store(false, Ordering::Relaxed);
    for _ in 0..3 {
        work(&shares, &plugin("one")).await;
    }
    others.store(true, Ordering::Relaxed);
    assert!(work(&shares, &plugin("one")).await < WORK);
}

#[tokio::test]
async fn idle_time_is_nobodys() {
    let (shares, _) = shares();
    for _ in 0..5 {
        let turn = shares.turn(&plugin("one")).await.unwrap().begun();
        thread::sleep(WORK);
        turn.idle().add(WORK + WORK);
    }
    assert!(shares.slowed().is_empty());
}

#[tokio::test]
async fn what_would_wait_too_long_is_refused_and_costs_nothing() {
    let (shares, _) = shares();
    let flood = plugin("flood");
    work(&shares, &flood).await;
    work(&shares, &flood).await;
    // Each is set aside for, by what the last ones took.
    let mut waiting = Vec::new();
    let refused = loop {
        assert!(waiting.len() < 1000);
        let mut turn = Box::pin(shares.turn(&flood));
        match turn.as_mut().now_or_never() {
            Some(Err(error)) => break error,
            Some(Ok(_)) => panic!("it has nothing left"),
            None => waiting.push(turn),
        }
    };
    assert_eq!(refused.code, AskErrorCode::Limit);
    assert!(waiting.len() > 20, "{}", waiting.len());
    // Those that are taken back leave their places to others.
    drop(waiting);
    let asked = Instant::now();
    drop(shares.turn(&flood).await.unwrap());
    assert!(asked.elapsed() < Duration::from_secs(1));
}
