//! A real server for some minutes of everything at once: plugins are edited, broken, mended, deleted, brought back, touched and
//! made to panic, at random, while all of them are asked without pause; some in processes of their own. Every so many seconds a process
//! dies: one of those, or the server's. It must end with no failed request but those that were under way in a process that died, no pinned
//! generation, and nothing more of the machine than there was. `scripts/soak [MINUTES] [SECONDS]` runs it.

use crate::common::household::{Household, household};
use camlock_testing::{Random, Server, Site, request};
use std::{
    collections::BTreeSet,
    fs,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PLUGINS: usize = 6;
/// These of them have processes of their own.
const ISOLATED: std::ops::Range<usize> = 4..6;
/// The server's own process dies at every so many faults; more often, and it would be taken for one that cannot be started.
const OF_SERVER: usize = 4;
/// So many descriptors may come and go: connections of clients, and to the database.
const DESCRIPTORS: usize = 16;

/// A process that died: whose, when it was known, and when all that it served was asked again with success.
#[derive(Debug)]
struct SoakFault {
    /// None: everybody's.
    plugin: Option<usize>,
    known: Option<Instant>,
    over: Option<Instant>,
}

/// A plugin with threads, thread-locals, a runtime, and a handler that panics.
fn source(text: &str) -> String {
    format!(
        r#"use camlock_plugin::prelude::*;
use std::{{cell::RefCell, time::Duration}};

struct Busy;

thread_local!(static LOCAL: RefCell<Vec<u8>> = RefCell::new(vec![1; 100]));

impl Plugin for Busy {{
    async fn create(_host: Host) -> Result<Self> {{
        Ok(Busy)
    }}

    fn routes(self: Arc<Self>) -> impl Into<Routes> {{
        Router::new()
            .route("/", get(|| async {{
                LOCAL.with_borrow_mut(|local| local.push(1));
                tokio::time::sleep(Duration::from_millis(1)).await;
                let joined = std::thread::spawn(|| 1).join().unwrap_or_default();
                tokio::spawn(async move {{ format!("{text} {{joined}}") }}).await.unwrap_or_default()
            }}))
            .route("/panic", get(|| async {{
                if std::hint::black_box(true) {{ panic!("on purpose") }}
            }}))
            .route("/end", get(|| async {{
                if std::hint::black_box(true) {{ std::process::abort() }}
            }}))
    }}
}}

export!(Busy);
"#
    )
}

pub fn run() -> ExitCode {
    let mut numbers = std::env::args().skip(2).filter_map(|argument| argument.parse::<f64>().ok());
    let (minutes, seconds) = (numbers.next().unwrap_or(5.0), numbers.next().unwrap_or(10.0));
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    // Panics are part of this: they must not send anybody back.
    site.configure("limits.panics = 1000000");
    site.configure("limits.drain = \"10s\"");
    // Panics and broken builds are logged as errors, and there are thousands.
    site.configure("limits.restarts = 1000000");
    for plugin in ISOLATED {
        site.configure(&format!("plugin.soak{plugin}.isolation = \"process\""));
    }
    let server = site.start_with_parent(|command| _ = command.env("CAMLOCK_LOG", "off"));
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_nanos() as u64 | 1);
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for plugin in 0..PLUGINS {
        site.write(&format!("plugins/soak{plugin}.rs"), &source("begin"));
    }
    site.write("plugins/fatal.rs", &source("begin"));
    for plugin in (0..PLUGINS).map(|plugin| format!("soak{plugin}")).chain(["fatal".to_owned()]) {
        server.until_status(&format!("/api/v1/p/{plugin}/"), 200);
    }
    let mut servers = BTreeSet::new();
    let begun_with = household(server.pid(), &mut servers);
    println!("begun with {begun_with}");
    let faults: Arc<Mutex<Vec<SoakFault>>> = Arc::default();
    let (lost, turned_away) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let deleted: Arc<[AtomicBool; PLUGINS]> = Arc::default();
    let (good, panics) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let askers: Vec<_> = (0..PLUGINS)
        .map(|plugin| {
            let (stop, deleted, good, panics) = (stop.clone(), deleted.clone(), good.clone(), panics.clone());
            let (faults, lost, turned_away) = (faults.clone(), lost.clone(), turned_away.clone());
            let address = server.address;
            thread::spawn(move || {
                let mut bad = Vec::new();
                let mut count = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    let panic = count.is_multiple_of(50);
                    let path = format!("/api/v1/p/soak{plugin}/{}", if panic { "panic" } else { "" });
                    let gone_before = deleted[plugin].load(Ordering::SeqCst);
                    let begun = Instant::now();
                    let answer = request(address, "GET", &path, &[]);
                    // While its entry is gone, or was at some moment of this request, 404 and 503 are right.
                    let gone = gone_before || deleted[plugin].load(Ordering::SeqCst);
                    match answer.as_ref().map(|answer| answer.status) {
                        Ok(200) if !panic => _ = good.fetch_add(1, Ordering::Relaxed),
                        Ok(500) if panic => _ = panics.fetch_add(1, Ordering::Relaxed),
                        Ok(404 | 503) if gone => {}
                        // It was under way when its process died.
                        Err(_) | Ok(502) if during(&faults, plugin, begun, |fault| fault.known) => {
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                        // Its process is about to be there again.
                        Ok(503) if during(&faults, plugin, begun, |fault| fault.over) => {
                            turned_away.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => bad.push(format!("{path}: {answer:?}")),
                    }
                }
                bad
            })
        })
        .collect();
    let mut acts = std::collections::BTreeMap::new();
    let mut edit = 0;
    let (mut last_fault, mut count) = (Instant::now(), 0);
    while Instant::now() < end {
        if seconds > 0.0 && last_fault.elapsed().as_secs_f64() >= seconds {
            last_fault = Instant::now();
            count += 1;
            let of_server = count % OF_SERVER == 0;
            fault(&server, (!of_server).then(|| ISOLATED.start + count % ISOLATED.len()), &faults);
            *acts
                .entry(if of_server { "ended the server's process" } else { "ended a plugin's process" })
                .or_insert(0) += 1;
            household(server.pid(), &mut servers);
        }
        let plugin = random.below(PLUGINS);
        let (name, file) = (format!("soak{plugin}"), format!("plugins/soak{plugin}.rs"));
        edit += 1;
        let text = format!("edit {edit}");
        let act = match random.below(10) {
            0..=3 => {
                site.write(&file, &source(&text));
                server.until(
                    |server| server.get(&format!("/api/v1/p/{name}/")).text,
                    |found| *found == format!("{text} 1"),
                );
                "edited"
            }
            4 => {
                site.write(&file, &source(&text).replace("struct Busy", "struct Bussy"));
                server.until_failed(&name, "build");
                site.write(&file, &source(&text));
                server.until(
                    |server| server.get(&format!("/api/v1/p/{name}/")).text,
                    |found| *found == format!("{text} 1"),
                );
                "broken and mended"
            }
            5 => {
                deleted[plugin].store(true, Ordering::SeqCst);
                let before = fs::read_to_string(site.path(&file)).expect("it is there");
                fs::remove_file(site.path(&file)).expect("it can be removed");
                server.until_plugin(&name, |plugin| plugin["state"] == "missing");
                site.write(&file, &before);
                server.until_status(&format!("/api/v1/p/{name}/"), 200);
                deleted[plugin].store(false, Ordering::SeqCst);
                "deleted and brought back"
            }
            6 => {
                let before = fs::read(site.path(&file)).expect("it is there");
                fs::write(site.path(&file), before).expect("it can be written");
                "touched"
            }
            _ => {
                let answer = server.post(&format!("/api/v1/plugins/{name}/reload"));
                assert_eq!(answer.status, 200, "{}", answer.text);
                "reloaded"
            }
        };
        *acts.entry(act).or_insert(0) += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let bad: Vec<String> = askers.into_iter().flat_map(|asker| asker.join().expect("no panic")).collect();
    let pinned = pinned_in_the_end(&server);
    let left = left_in_the_end(&server, &begun_with, &mut servers);
    let (lost, turned_away) = (lost.load(Ordering::Relaxed), turned_away.load(Ordering::Relaxed));
    println!(
        "ended with {left}; under way in processes that died: {lost}; turned away until there was another: {turned_away}"
    );
    let is_back = is_as_before(&begun_with, &left);
    println!("acts: {acts:?}");
    println!(
        "requests: {} good, {} panics answered, {} failed; pinned generations: {pinned}",
        good.load(Ordering::Relaxed),
        panics.load(Ordering::Relaxed),
        bad.len()
    );
    bad.iter().take(20).for_each(|bad| println!("failed: {bad}"));
    let (status, _) = server.end();
    if bad.is_empty() && pinned == 0 && is_back && status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends a process, and waits until all that served serves again.
fn fault(server: &Server, plugin: Option<usize>, faults: &Mutex<Vec<SoakFault>>) {
    let now =
        |change: fn(&mut SoakFault)| change(faults.lock().expect("no panic").last_mut().expect("one is under way"));
    faults.lock().expect("no panic").push(SoakFault { plugin, known: None, over: None });
    let name = plugin.map_or_else(|| "fatal".to_owned(), |plugin| format!("soak{plugin}"));
    let answer = request(server.address, "GET", &format!("/api/v1/p/{name}/end"), &[]);
    now(|fault| fault.known = Some(Instant::now()));
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 502), "it is still there: {answer:?}");
    let all = (0..PLUGINS).map(|plugin| format!("soak{plugin}"));
    for name in plugin.map_or_else(|| all.collect(), |_| vec![name.clone()]) {
        server.until_status(&format!("/api/v1/p/{name}/"), 200);
    }
    now(|fault| fault.over = Some(Instant::now()));
    if plugin.is_none() {
        // Who ended the server is kept out until an operator says otherwise.
        server.until_plugin("fatal", |plugin| plugin["state"] == "quarantined");
        let answer = server.post("/api/v1/plugins/fatal/reload");
        assert_eq!(answer.status, 200, "{}", answer.text);
        server.until_status("/api/v1/p/fatal/", 200);
    }
}

/// Whether a request that began then was under way while a process of its plugin died, until that moment of a fault.
fn during(
    faults: &Mutex<Vec<SoakFault>>,
    plugin: usize,
    begun: Instant,
    until: fn(&SoakFault) -> Option<Instant>,
) -> bool {
    let faults = faults.lock().expect("no panic");
    let concerns = |fault: &&SoakFault| fault.plugin.is_none_or(|one| one == plugin);
    // What failed has just ended, so that it was under way at every moment since it began.
    faults.iter().filter(concerns).any(|fault| until(fault).is_none_or(|until| begun <= until))
}

fn is_as_before(before: &Household, now: &Household) -> bool {
    (now.processes, now.namespaces, now.groups) == (before.processes, before.namespaces, before.groups)
        && now.descriptors <= before.descriptors + DESCRIPTORS
}

/// Waits until all is as it was before, a minute at most: what there is then.
fn left_in_the_end(server: &Server, before: &Household, servers: &mut BTreeSet<u32>) -> Household {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let now = household(server.pid(), servers);
        if is_as_before(before, &now) || Instant::now() > until {
            return now;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until nothing drains any more; how many generations are pinned then.
fn pinned_in_the_end(server: &Server) -> usize {
    (0..PLUGINS)
        .map(|plugin| {
            let none = serde_json::json!([]);
            let view = server.until_plugin(&format!("soak{plugin}"), |plugin| plugin["draining"] == none);
            view["pinned"].as_array().map_or(0, Vec::len)
        })
        .sum()
}
