//! Requests one after the other over a connection that stays.

use std::{
    io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, opened when it is needed.
pub struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Connection { address, stream: None }
    }

    /// Asks for a path, with these header lines too: the status and the body.
    pub fn get(&mut self, path: &str, headers: &str) -> (u16, Vec<u8>) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{headers}\r\n");
        // A connection that was closed meanwhile is none.
        self.ask(&request)
            .or_else(|_| {
                self.stream = None;
                self.ask(&request)
            })
            .expect("the server answers")
    }

    fn ask(&mut self, request: &str) -> Result<(u16, Vec<u8>)> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                none.insert(BufReader::new(stream))
            }
        };
        stream.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length, mut line) = (0, None, String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end().to_ascii_lowercase();
            if text.is_empty() {
                break;
            } else if status == 0 {
                status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            } else if let Some(told) = text.strip_prefix("content-length: ") {
                length = told.parse::<usize>().ok();
            }
        }
        let mut body = vec![0; length.ok_or_else(|| Error::other("an answer without a length"))?];
        stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
