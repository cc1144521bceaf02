//! A client that does as little as possible: it sends one request again and again, and reads the answers to their ends.

use anyhow::{Context, bail};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What connections have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Answers per second, of all connections together.
    pub(super) rate: f64,
    /// How long each answer has taken, in milliseconds.
    pub(super) latencies: Vec<f64>,
}

/// Sends requests on so many connections for this time. Each has a request of its own.
pub(super) async fn load(
    address: SocketAddr,
    requests: impl IntoIterator<Item = Vec<u8>>,
    time: Duration,
) -> anyhow::Result<Seen> {
    let mut connections = Vec::new();
    for request in requests {
        let mut connection = Connection::open(address, request).await?;
        // Not measured: what is only done once.
        connection.ask().await?;
        connections.push(connection);
    }
    let started = Instant::now();
    let until = started + time;
    let asking = connections.into_iter().map(|mut connection| {
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut began = Instant::now();
            while began < until {
                connection.ask().await?;
                let now = Instant::now();
                latencies.push(now.duration_since(began).as_secs_f64() * 1e3);
                began = now;
            }
            anyhow::Ok(latencies)
        })
    });
    let mut latencies = Vec::new();
    for asked in asking.collect::<Vec<_>>() {
        latencies.extend(asked.await??);
    }
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    Ok(Seen { rate, latencies })
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr, request: Vec<u8>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request, buffer: Vec::with_capacity(4096) })
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed a connection");
            }
            if let Some(length) = answer_length(&self.buffer)?
                && self.buffer.len() >= length
            {
                return Ok(());
            }
        }
    }
}

/// The length of the answer that begins here, if its head has come; an error if it is not what was asked for.
fn answer_length(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..head]).context("the server answered with something that is not HTTP")?;
    if !text.starts_with("HTTP/1.1 20") {
        bail!("the server answered {}", text.lines().next().unwrap_or_default());
    }
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    };
    let body = text.lines().find_map(header).context("the server answered without a length")?;
    Ok(Some(head + 4 + body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_it_says_once_its_head_has_come() {
        let answer = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello";
        let length = |bytes: &[u8]| answer_length(bytes).map_err(|error| error.to_string());
        assert_eq!(length(&answer[..20]), Ok(None));
        assert_eq!(length(answer), Ok(Some(answer.len())));
        assert_eq!(length(b"HTTP/1.1 503 Busy\r\n\r\n"), Err("the server answered HTTP/1.1 503 Busy".into()));
        assert_eq!(length(b"HTTP/1.1 200 OK\r\n\r\n"), Err("the server answered without a length".into()));
    }
}
