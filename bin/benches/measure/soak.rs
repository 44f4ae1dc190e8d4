//! A real server for some minutes of everything at once: plugins are edited, broken, mended, deleted, brought back, touched and
//! made to panic, at random, while all of them are asked without pause. It must end with no failed request and no pinned
//! generation. `scripts/soak [MINUTES]` runs it.

use camlock_testing::{Server, Site, request};
use std::{
    fs,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PLUGINS: usize = 4;

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
    }}
}}

export!(Busy);
"#
    )
}

pub fn run() -> ExitCode {
    let minutes: f64 = std::env::args().skip(2).find_map(|argument| argument.parse().ok()).unwrap_or(5.0);
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    // Panics are part of this: they must not send anybody back.
    site.configure("limits.panics = 1000000");
    site.configure("limits.drain = \"10s\"");
    // Panics and broken builds are logged as errors, and there are thousands.
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "off"));
    let mut random = Random(std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_nanos() as u64 | 1));
    println!("seed {}", random.0);
    for plugin in 0..PLUGINS {
        site.write(&format!("plugins/soak{plugin}.rs"), &source("begin"));
    }
    for plugin in 0..PLUGINS {
        server.until_status(&format!("/api/v1/p/soak{plugin}/"), 200);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let deleted: Arc<[AtomicBool; PLUGINS]> = Arc::default();
    let (good, panics) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let askers: Vec<_> = (0..PLUGINS)
        .map(|plugin| {
            let (stop, deleted, good, panics) = (stop.clone(), deleted.clone(), good.clone(), panics.clone());
            let address = server.address;
            thread::spawn(move || {
                let mut bad = Vec::new();
                let mut count = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    let panic = count.is_multiple_of(50);
                    let path = format!("/api/v1/p/soak{plugin}/{}", if panic { "panic" } else { "" });
                    let gone_before = deleted[plugin].load(Ordering::SeqCst);
                    let answer = request(address, "GET", &path, &[]);
                    // While its entry is gone, or was at some moment of this request, 404 and 503 are right.
                    let gone = gone_before || deleted[plugin].load(Ordering::SeqCst);
                    match answer.as_ref().map(|answer| answer.status) {
                        Ok(200) if !panic => _ = good.fetch_add(1, Ordering::Relaxed),
                        Ok(500) if panic => _ = panics.fetch_add(1, Ordering::Relaxed),
                        Ok(404 | 503) if gone => {}
                        _ => bad.push(format!("{path}: {answer:?}")),
                    }
                }
                bad
            })
        })
        .collect();
    let mut acts = std::collections::BTreeMap::new();
    let mut edit = 0;
    while Instant::now() < end {
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
    println!("acts: {acts:?}");
    println!(
        "requests: {} good, {} panics answered, {} failed; pinned generations: {pinned}",
        good.load(Ordering::Relaxed),
        panics.load(Ordering::Relaxed),
        bad.len()
    );
    bad.iter().take(20).for_each(|bad| println!("failed: {bad}"));
    let (status, _) = server.end();
    if bad.is_empty() && pinned == 0 && status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
