//! A client that does as little as possible: it sends requests that were made before, one after the other on each
//! connection, and reads the answers to their ends.

use anyhow::{Context, bail};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// How many answers there were, with those that were not measured.
    pub(super) answers: u64,
}

/// What one connection sends.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// One of them at random each time.
    pub(super) requests: Arc<[Vec<u8>]>,
    /// Those that it sends before anything is measured, by their places.
    pub(super) first: Vec<usize>,
}

impl Sender {
    /// Sends one request again and again.
    pub(super) fn of(request: Vec<u8>) -> Self {
        Self { requests: Arc::new([request]), first: vec![0] }
    }

    /// So many senders of the same requests. Each of these is sent once before anything is measured.
    pub(super) fn several(requests: &Arc<[Vec<u8>]>, count: usize) -> impl Iterator<Item = Self> {
        let first = move |number: usize| (number..requests.len()).step_by(count).collect();
        (0..count).map(move |number| Self { requests: Arc::clone(requests), first: first(number) })
    }
}

/// When it is enough.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Time(Duration),
    /// So many requests, of all connections together.
    Requests(u64),
}

/// Sends requests until it is enough, on a connection for each sender. Every request has been answered then.
pub(super) async fn load(
    address: SocketAddr,
    senders: impl IntoIterator<Item = Sender>,
    until: Until,
) -> anyhow::Result<Seen> {
    let mut opened = Vec::new();
    for sender in senders {
        opened.push((Connection::open(address).await?, sender));
    }
    let preparing = opened.into_iter().map(|(mut connection, sender)| {
        tokio::spawn(async move {
            for &place in &sender.first {
                connection.ask(&sender.requests[place]).await?;
            }
            anyhow::Ok((connection, sender))
        })
    });
    let mut prepared = Vec::new();
    for ready in preparing.collect::<Vec<_>>() {
        prepared.push(ready.await??);
    }
    let mut answers: u64 = prepared.iter().map(|(_, sender)| sender.first.len() as u64).sum();
    let (started, left) = (Instant::now(), Arc::new(Remaining::new(until)));
    let asking =
        prepared.into_iter().map(|(connection, sender)| tokio::spawn(ask(connection, sender, Arc::clone(&left))));
    let mut latencies = Vec::new();
    for asked in asking.collect::<Vec<_>>() {
        latencies.extend(asked.await??);
    }
    answers += latencies.len() as u64;
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    Ok(Seen { rate, latencies, answers })
}

async fn ask(mut connection: Connection, sender: Sender, left: Arc<Remaining>) -> anyhow::Result<Vec<f64>> {
    let mut latencies = Vec::new();
    let mut began = Instant::now();
    while left.some(began) {
        let place = fastrand::usize(..sender.requests.len());
        connection.ask(&sender.requests[place]).await?;
        let now = Instant::now();
        latencies.push(now.duration_since(began).as_secs_f64() * 1e3);
        began = now;
    }
    Ok(latencies)
}

/// What is left to do, for all connections.
enum Remaining {
    Until(Instant),
    Requests(AtomicU64),
}

impl Remaining {
    fn new(until: Until) -> Self {
        match until {
            Until::Time(time) => Self::Until(Instant::now() + time),
            Until::Requests(count) => Self::Requests(AtomicU64::new(count)),
        }
    }

    /// Whether one more is to be sent.
    fn some(&self, now: Instant) -> bool {
        match self {
            Self::Until(end) => now < *end,
            Self::Requests(left) => {
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            }
        }
    }
}

/// One connection.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// The body of the answer, which must be a good one.
    pub(super) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed a connection");
            }
            if let Some((head, length)) = answer_length(&self.buffer)?
                && self.buffer.len() >= length
            {
                return Ok(&self.buffer[head..length]);
            }
        }
    }
}

/// The lengths of the head, and of all, of the answer that begins here, if its head has come; an error if it is not
/// what was asked for.
fn answer_length(answer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
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
    Ok(Some((head + 4, head + 4 + body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_it_says_once_its_head_has_come() {
        let answer = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello";
        let length = |bytes: &[u8]| answer_length(bytes).map_err(|error| error.to_string());
        assert_eq!(length(&answer[..20]), Ok(None));
        assert_eq!(length(answer), Ok(Some((answer.len() - 5, answer.len()))));
        assert_eq!(length(b"HTTP/1.1 503 Busy\r\n\r\n"), Err("the server answered HTTP/1.1 503 Busy".into()));
        assert_eq!(length(b"HTTP/1.1 200 OK\r\n\r\n"), Err("the server answered without a length".into()));
    }

    #[test]
    fn each_request_is_sent_once_before_anything_is_measured_whatever_the_number_of_connections() {
        let requests: Arc<[Vec<u8>]> = (0..7_u8).map(|n| vec![n]).collect();
        for count in [1, 3, 7, 20] {
            let mut first: Vec<usize> = Sender::several(&requests, count).flat_map(|sender| sender.first).collect();
            first.sort_unstable();
            assert_eq!(first, [0, 1, 2, 3, 4, 5, 6], "{count}");
        }
    }

    #[test]
    fn as_many_requests_are_left_as_were_wanted() {
        let left = Remaining::new(Until::Requests(3));
        assert_eq!((0..5).filter(|_| left.some(Instant::now())).count(), 3);
    }
}
