//! Watching for the moment at which a path answers otherwise, over a connection that stays.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two requests: little beside what is measured, and it leaves the processor to the server.
const PAUSE: Duration = Duration::from_micros(200);

/// One who asks for a path again and again.
pub struct Watcher {
    address: SocketAddr,
    request: Vec<u8>,
    connection: Option<BufReader<TcpStream>>,
}

impl Watcher {
    pub fn new(address: SocketAddr, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes();
        Watcher { address, request, connection: None }
    }

    /// Asks once: the status.
    pub fn status(&mut self) -> u16 {
        // A connection that was closed meanwhile is none.
        self.ask()
            .or_else(|_| {
                self.connection = None;
                self.ask()
            })
            .expect("the server answers")
    }

    fn ask(&mut self) -> std::io::Result<u16> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                none.insert(BufReader::new(stream))
            }
        };
        connection.get_mut().write_all(&self.request)?;
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            } else if status == 0 {
                status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            } else if let Some(told) = text.strip_prefix("content-length: ") {
                length = told.parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut connection.take(length), &mut std::io::sink())?;
        Ok(status)
    }
}

/// Waits until all of them have been answered with this status once, and returns when the last one was.
pub fn all_answer(watchers: &mut [Watcher], status: u16) -> Instant {
    let began = Instant::now();
    let mut left: Vec<&mut Watcher> = watchers.iter_mut().collect();
    loop {
        left.retain_mut(|watcher| watcher.status() != status);
        if left.is_empty() {
            return Instant::now();
        }
        assert!(began.elapsed() < PATIENCE, "{} of them never answer {status}", left.len());
        thread::sleep(PAUSE);
    }
}
