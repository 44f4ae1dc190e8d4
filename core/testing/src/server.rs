//! A running `camlock serve`, and plain HTTP to it.

use crate::Load;
use serde_json::Value;
use std::{
    fmt::Debug,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up: the first build compiles everything.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running server. It is ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    /// Where it listens.
    pub address: SocketAddr,
    printed: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    data: PathBuf,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its status line and headers.
    pub head: String,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// One request over a connection of its own.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    request_with(address, method, path, headers, "")
}

/// The same, with a body.
pub fn request_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let length = body.len();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok(Answer { status, head: head.to_owned(), text: body.to_owned() })
}

impl Server {
    /// Takes over a server that was just started, and waits until it says where it listens. Its stdout is piped; its
    /// data directory has the admin token in it.
    pub fn new(mut child: Child, data: PathBuf) -> Self {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the server printed nothing").unwrap();
        let address = first.split("http://").nth(1).and_then(|rest| rest.split([',', ' ']).next());
        let address = address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{first}"));
        let printed: Arc<Mutex<String>> = Arc::default();
        let theirs = printed.clone();
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut printed = theirs.lock().unwrap();
                printed.push_str(&line);
                printed.push('\n');
            }
        });
        Server { child: Some(child), address, printed, reader: Some(reader), data }
    }

    /// The answer at a path.
    pub fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[]).unwrap()
    }

    /// An act of an operator.
    pub fn post(&self, path: &str) -> Answer {
        self.act("POST", path)
    }

    /// What an administrator is shown.
    pub fn get_as_admin(&self, path: &str) -> Answer {
        self.act("GET", path)
    }

    /// A request with the admin token.
    pub fn act(&self, method: &str, path: &str) -> Answer {
        request(self.address, method, path, &[("authorization", &self.bearer())]).unwrap()
    }

    /// The same, with a JSON body.
    pub fn act_with(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("authorization", &*self.bearer()), ("content-type", "application/json")];
        request_with(self.address, method, path, &headers, &body.to_string()).unwrap()
    }

    /// An act that may get no answer, for the server ends over it.
    pub fn act_quietly(&self, path: &str) -> io::Result<Answer> {
        request(self.address, "POST", path, &[("authorization", &self.bearer())])
    }

    /// What shows that one is an administrator.
    pub fn bearer(&self) -> String {
        let token = fs::read_to_string(self.data.join("admin-token")).unwrap();
        format!("Bearer {}", token.trim())
    }

    /// What the server says of a plugin.
    pub fn plugin(&self, name: &str) -> Value {
        let answer = self.get(&format!("/plugins/{name}"));
        if answer.status == 404 { Value::Null } else { answer.json() }
    }

    /// Asks until the answer is as told.
    pub fn until<T: Debug>(&self, ask: impl Fn(&Server) -> T, enough: impl Fn(&T) -> bool) -> T {
        let began = Instant::now();
        loop {
            let answer = ask(self);
            if enough(&answer) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "it never came to it: {answer:#?}\n{}", self.printed());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a text at a path.
    pub fn until_text(&self, path: &str, text: &str) {
        self.until(|server| server.get(path), |answer| answer.status == 200 && answer.text == text);
    }

    /// Waits for a status at a path.
    pub fn until_status(&self, path: &str, status: u16) -> Answer {
        self.until(|server| server.get(path), |answer| answer.status == status)
    }

    /// Waits until a plugin is as told.
    pub fn until_plugin(&self, name: &str, enough: impl Fn(&Value) -> bool) -> Value {
        self.until(|server| server.plugin(name), enough)
    }

    /// Waits for a failure at a stage, and returns its reason.
    pub fn until_failed(&self, name: &str, stage: &str) -> String {
        let plugin = self.until_plugin(name, |plugin| plugin["failed"]["stage"] == stage);
        plugin["failed"]["reason"].as_str().unwrap().to_owned()
    }

    /// Waits until a plugin serves.
    pub fn until_serving(&self, name: &str) -> Value {
        self.until_plugin(name, |plugin| plugin["state"] == "serving")
    }

    /// The generation that serves; 0 if none does.
    pub fn generation(&self, name: &str) -> u64 {
        self.plugin(name)["serving"]["generation"].as_u64().unwrap_or_default()
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Requests to a path from now on, one shortly after the other on each of two threads.
    pub fn load(&self, path: &str) -> Load {
        Load::begin(self.address, path)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
    }

    /// Sends SIGTERM, and waits for the end.
    pub fn end(self) -> (ExitStatus, String) {
        self.signal("-TERM");
        self.wait()
    }

    /// Kills it.
    pub fn kill(self) {
        self.signal("-KILL");
        self.wait();
    }

    /// Waits for its end: how it ended, and what it printed.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.reap().expect("the server does not end");
        (status, self.printed())
    }

    fn reap(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            thread::sleep(Duration::from_millis(1));
        };
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.signal("-TERM");
            self.reap();
        }
    }
}
