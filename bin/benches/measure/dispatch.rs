//! A request to a loaded plugin, against the same handler in a plain axum server: same threads, 32 connections, the servers
//! on one processor and the client on the other, in short runs that alternate. The plugin is built with the profile that
//! plugins get, the plain server as `cargo build --release` makes it; a second one, with the LTO that Camlock's own release
//! has, is shown beside it.
//!
//! Beside it, counted where valgrind is to be had: the instructions that either whole server takes for a request on one connection
//! that is kept alive, and what one crossing allocates and takes. Times are noisy where machines are shared; these are not.

use crate::common::{
    host::Host,
    pin,
    report::{Better, Row, finish},
    servers::{Peer, compare},
};
use camlock_http::{Dispatch, Front, FrontOptions};
use camlock_loader::on_thread_park;
use camlock_policy::{Body, Call, Publish, RequestLimits, routes::Serving};
use camlock_testing::Fixtures;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

pub fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    match arguments.get(2).map(String::as_str) {
        Some("--serve") => {
            serve_plugin();
            ExitCode::SUCCESS
        }
        Some("--cross") => {
            cross(arguments[3].parse().expect("a number of crossings"), true);
            ExitCode::SUCCESS
        }
        Some("--make") => {
            cross(arguments[3].parse().expect("a number of requests"), false);
            ExitCode::SUCCESS
        }
        _ => measure(),
    }
}

fn measure() -> ExitCode {
    let _ = Fixtures::release();
    let programs = [Fixtures::peer(false), Fixtures::peer(true)];
    // What is started now stays on the servers' processor.
    pin(0);
    let ours = Peer::start(Command::new(std::env::current_exe().expect("this program")).args(["dispatch", "--serve"]));
    let [plain, tuned] = programs.each_ref().map(|program| Peer::start(&mut Command::new(program)));
    pin(1);
    let [hello, echo] = requests();
    let mut rows = vec![
        compare("hello-world from a plugin ÷ plain axum", &hello, ours.address, plain.address).must(0.95, 1.0),
        compare("12 headers, 4 KiB of JSON in and out ÷ plain axum", &echo, ours.address, plain.address)
            .must(0.97, 1.0),
        compare("hello-world ÷ plain axum built with LTO", &hello, ours.address, tuned.address),
        compare("12 headers, 4 KiB of JSON ÷ plain axum built with LTO", &echo, ours.address, tuned.address),
    ];
    drop((ours, plain, tuned));
    let counted = [
        ("instructions of hello-world ÷ plain axum", &hello, 1.15, 1.0),
        ("instructions of 12 headers, 4 KiB of JSON ÷ plain axum", &echo, 1.05, 0.95),
    ];
    for (case, request, must, aim) in counted {
        let own = std::env::current_exe().expect("this program");
        let ours = instructions(&own, &["dispatch", "--serve"], request);
        let plain = instructions(&programs[0], &[], request);
        if let (Some(ours), Some(plain)) = (ours, plain) {
            println!("{case}: {ours:.0} ÷ {plain:.0}");
            rows.push(Row::count(case, "×", Better::Lower, ours / plain).must(must, aim));
        }
    }
    rows.extend(count_crossings());
    finish("dispatch", &rows)
}

/// Of a hello, and of a document that comes back.
pub fn requests() -> [Vec<u8>; 2] {
    let hello = b"GET /api/v1/p/hello/hello HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let items: Vec<_> = (0..40)
        .map(|index| serde_json::json!({ "name": format!("item number {index}"), "count": index, "tags": ["red", "green", "a longer tag of some kind"] }))
        .collect();
    let body = serde_json::json!({ "title": "A document of four kilobytes", "items": items }).to_string();
    let headers: String = [
        "Host: localhost",
        "User-Agent: camlock-bench/1.0 (a client that costs little)",
        "Accept: application/json, text/plain;q=0.8, */*;q=0.1",
        "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        "Cache-Control: no-cache",
        "Cookie: session=2f1c7d0c4b8e4b0f9f3c; theme=dark",
        "Origin: http://localhost",
        "Referer: http://localhost/index.html",
        "X-Forwarded-For: 192.0.2.1",
    ]
    .map(|header| format!("{header}\r\n"))
    .concat();
    let echo = format!("POST /api/v1/p/hello/echo HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    [hello, echo.into_bytes()]
}

fn serve_plugin() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let host = Host::new();
        // Verifying changes nothing in what serves, and does not work under valgrind.
        let artifact = host.staging.stage(&Fixtures::release().library("hello")).expect("it can be staged");
        let loaded = host.loader.load(&artifact, (1, "{}")).await.expect("it can be loaded");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let (_farewell, told) = tokio::sync::watch::channel(false);
        let serving = Serving::of(&loaded, 1, RequestLimits::default(), told).expect("it is alive");
        let dispatch = Dispatch::default();
        dispatch.publish(vec![serving.routed(Vec::new())]);
        let options = FrontOptions { threads: 1, on_thread_park: Some(on_thread_park), ..FrontOptions::default() };
        let front = Front::start(listener, dispatch, options).expect("a front");
        println!("{}", front.address());
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        ended.await.expect("no panic").expect("an end");
    });
}

/// The instructions that a server takes for one request: the difference between many and few, on one connection that is kept
/// alive, of the whole process. None without valgrind.
fn instructions(program: &Path, arguments: &[&str], request: &[u8]) -> Option<f64> {
    let run = |count: usize| {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args(arguments);
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
        let mut line = String::new();
        BufReader::new(server.stdout.as_mut()?).read_line(&mut line).ok()?;
        ask(line.trim().parse().ok()?, request, count);
        // Its end tells it to go.
        let output = server.wait_with_output().ok()?;
        number(&String::from_utf8_lossy(&output.stderr), "Collected :")
    };
    let (few, many) = (500, 2_500);
    Some((run(many)? - run(few)?) / (many - few) as f64)
}

/// Sends a request so many times, each when the answer before it is there.
fn ask(server: SocketAddr, request: &[u8], count: usize) {
    let stream = TcpStream::connect(server).expect("the server is there");
    stream.set_nodelay(true).expect("a socket");
    let mut answers = BufReader::new(&stream);
    for _ in 0..count {
        (&stream).write_all(request).expect("it can be sent");
        let (mut line, mut length) = (String::new(), 0);
        answers.read_line(&mut line).expect("an answer");
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            answers.read_line(&mut line).expect("a header");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
        }
        answers.read_exact(&mut vec![0; length]).expect("a body");
    }
}

/// What valgrind says behind some words.
fn number(text: &str, before: &str) -> Option<f64> {
    let after = &text[text.find(before)? + before.len()..];
    let digits: String = after.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.replace(',', "").parse().ok()
}

/// So many hello-world requests that cross without a socket, or are only made.
fn cross(count: usize, crosses: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let host = Host::new();
        let artifact = host.staging.stage(&Fixtures::release().library("hello")).expect("it can be staged");
        let loaded = host.loader.load(&artifact, (1, "{}")).await.expect("it can be loaded");
        for _ in 0..count {
            let request = http::Request::get("/api/v1/p/hello/hello").header("host", "localhost").body(Body::empty());
            let call = Call { mount: "/api/v1/p/hello".len(), ..Call::new(request.expect("a request")) };
            if crosses {
                let answer = loaded.instance.call(call).await.expect("an answer");
                assert!(answer.response.status().is_success());
            }
        }
    });
}

/// Instructions and allocations of one crossing: the difference between many and few, without what making the requests takes.
fn count_crossings() -> Vec<Row> {
    let run = |tool: &[&str], what: &str, count: usize| {
        let program = std::env::current_exe().expect("this program");
        let output = Command::new("valgrind")
            .args(tool)
            .arg(program)
            .args(["dispatch", what, &count.to_string()])
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (few, many) = (1_000, 3_000);
    let counted = |tool: &[&str], before: &str, what: &str| {
        let (few_text, many_text) = (run(tool, what, few)?, run(tool, what, many)?);
        Some((number(&many_text, before)? - number(&few_text, before)?) / (many - few) as f64)
    };
    let of_one = |tool: &[&str], before| Some(counted(tool, before, "--cross")? - counted(tool, before, "--make")?);
    let instructions = of_one(&["--tool=callgrind", "--callgrind-out-file=/dev/null"], "Collected :");
    let allocations = of_one(&["--tool=memcheck", "--leak-check=no"], "total heap usage:");
    let rows = [
        instructions.map(|value| Row::count("instructions of one hello-world crossing", "", Better::Lower, value)),
        allocations.map(|value| {
            Row::count("allocations of one hello-world crossing", "", Better::Lower, value).must(12.0, 8.0)
        }),
    ];
    if rows.iter().any(Option::is_none) {
        println!("instructions and allocations were not counted: that needs valgrind");
    }
    rows.into_iter().flatten().collect()
}
