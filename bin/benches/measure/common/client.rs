//! A client that costs little: it writes the same request and reads answers of the same length, over connections that stay.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Requests a second, over so many connections for so long.
pub async fn throughput(address: SocketAddr, request: &[u8], connections: usize, duration: Duration) -> f64 {
    throughput_of(address, &[request.to_vec()], connections, duration).await
}

/// The same with requests that take turns; their answers are of one length.
pub async fn throughput_of(address: SocketAddr, requests: &[Vec<u8>], connections: usize, duration: Duration) -> f64 {
    let length = probe(address, &requests[0]).await;
    let requests: Arc<[Vec<u8>]> = requests.into();
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = Vec::new();
    for connection in 0..connections {
        let stream = connect(address).await;
        let (requests, done, stop) = (requests.clone(), done.clone(), stop.clone());
        clients.push(tokio::spawn(async move {
            let mut stream = stream;
            let mut answer = vec![0; length];
            let turns = (0..requests.len()).cycle().skip(connection);
            for turn in turns {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                stream.write_all(&requests[turn]).await.expect("the server takes the request");
                stream.read_exact(&mut answer).await.expect("the server answers");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    // The first moments belong to connecting.
    tokio::time::sleep(duration / 10).await;
    let (begun, before) = (Instant::now(), done.load(Ordering::Relaxed));
    tokio::time::sleep(duration).await;
    let (count, elapsed) = (done.load(Ordering::Relaxed) - before, begun.elapsed());
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("the client ends");
    }
    count as f64 / elapsed.as_secs_f64()
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// How long an answer is; it must be a 200 with a content length.
async fn probe(address: SocketAddr, request: &[u8]) -> usize {
    let mut stream = connect(address).await;
    stream.write_all(request).await.expect("the server takes the request");
    let mut answer = Vec::new();
    loop {
        stream.read_buf(&mut answer).await.expect("the server answers");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        let length: Option<usize> =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let whole = head.len() + 4 + length.unwrap_or_else(|| panic!("a content length in {head}"));
        if answer.len() == whole {
            return whole;
        }
    }
}
