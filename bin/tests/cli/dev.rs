//! `camlock dev`.

use crate::{command, site};
use camlock_testing::{request, single};
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(300);

/// What it prints, line by line, stdout and stderr together.
struct Screen(Receiver<String>);

impl Screen {
    fn of(child: &mut Child) -> Self {
        let (sender, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Screen(lines)
    }

    /// Waits for a line with this in it.
    fn until(&self, part: &str) -> String {
        let began = Instant::now();
        let mut seen = String::new();
        loop {
            let left = PATIENCE.checked_sub(began.elapsed()).unwrap_or_default();
            let line = self.0.recv_timeout(left).unwrap_or_else(|_| panic!("no `{part}` in\n{seen}"));
            if line.contains(part) {
                return line;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
    }
}

#[test]
fn a_plugin_is_served_and_built_again_whenever_it_is_saved() {
    let site = site();
    let front = "---\n[dependencies]\ntracing = \"0.1\"\n---\n";
    let source = |text: &str| {
        front.to_owned() + &single(text).replace("Ok(Plugin1)", "tracing::info!(\"made anew\");\n        Ok(Plugin1)")
    };
    site.write("elsewhere/hello.rs", &source("one"));
    site.write("elsewhere/broken.rs", "not looked at");
    let mut command = command(&site, &["dev", "elsewhere/hello.rs", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let screen = Screen::of(&mut child);
    let head = screen.until("built again whenever it is saved");
    let address: SocketAddr = head.split("http://").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let get = || request(address, "GET", "/api/v1/p/hello/", &[]).unwrap().text;
    // What it logs, and what the server logs not.
    assert!(screen.until("made anew").contains("INFO"));
    screen.until("✓ hello 0.1.0 serves (generation 1");
    screen.until(&format!("http://{address}/api/v1/p/hello/"));
    assert_eq!(get(), "one");

    site.write("elsewhere/hello.rs", &source("two").replace("get(", "got("));
    screen.until("error[E0425]: cannot find function `got`");
    screen.until("✗ build failed: it does not compile: hello.rs:16: ");
    screen.until("generation 1 serves on");
    assert_eq!(get(), "one");
    site.write("elsewhere/hello.rs", &source("one"));
    screen.until("✓ hello 0.1.0 serves on (generation 1 is what was saved)");

    site.write("elsewhere/hello.rs", &(source("three") + "\nfn unused() {}\n"));
    screen.until("warning: function `unused` is never used");
    screen.until("✓ hello 0.1.0 serves (generation 3");
    assert_eq!(get(), "three");

    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success());
    // Nothing lies in its folder but what lay there.
    assert_eq!(std::fs::read_dir(site.path("elsewhere")).unwrap().count(), 2);
    assert!(!site.path(".camlock").exists());
}
