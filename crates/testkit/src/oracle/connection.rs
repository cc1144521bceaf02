//! One connection to a node, which may be lost at any time.

use serde::Deserialize;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// What became of a request, as far as its client can know.
#[derive(Debug)]
pub enum AttemptOutcome {
    Counted(CounterAnswer),
    /// The service says that nothing has happened; or nobody has seen the request.
    Nothing,
    /// It may have been counted.
    Unknown,
    /// An answer that there must not be.
    Wrong(String),
}

/// What a counter stands at, by an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct CounterAnswer {
    pub value: i64,
    pub version: i64,
}

pub struct Connection {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Connection {
    /// Sends a request, over the connection that was kept, or a new one; which is kept if it is good for another one.
    pub async fn ask(kept: &mut Option<Self>, to: SocketAddr, request: &str, patience: Duration) -> AttemptOutcome {
        let until = Instant::now() + patience;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match timeout_at(until, TcpStream::connect(to)).await {
                Ok(Ok(stream)) => Self { stream, ahead: Vec::new() },
                Ok(Err(_)) | Err(_) => return AttemptOutcome::Nothing,
            },
        };
        match timeout_at(until, connection.exchange(request)).await {
            Ok(Some((status, body))) => {
                *kept = Some(connection);
                AttemptOutcome::of(status, &body)
            }
            // Lost, or not answered in time.
            Ok(None) | Err(_) => AttemptOutcome::Unknown,
        }
    }

    async fn exchange(&mut self, request: &str) -> Option<(u16, String)> {
        self.stream.write_all(request.as_bytes()).await.ok()?;
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.ahead.drain(..end).collect()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let mut length = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.next()?.1.parse().ok()?;
        while self.ahead.len() < length {
            self.more().await?;
        }
        let body = String::from_utf8(self.ahead.drain(..length).collect()).ok()?;
        Some((status, body))
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.ahead).await;
        read.is_ok_and(|bytes| bytes > 0).then_some(())
    }
}

impl AttemptOutcome {
    fn of(status: u16, body: &str) -> Self {
        let answer = serde_json::from_str(body);
        let code = || Some(serde_json::from_str::<serde_json::Value>(body).ok()?["error"]["code"].as_str()?.to_owned());
        match (status, answer) {
            (200, Ok(answer)) => Self::Counted(answer),
            (503, _) => match code().as_deref() {
                Some("timed_out") => Self::Unknown,
                Some("busy" | "unavailable" | "stopped" | "too_many_in_flight") => Self::Nothing,
                _ => Self::Wrong(format!("{status} {body}")),
            },
            (507, _) if code().as_deref() == Some("full") => Self::Nothing,
            _ => Self::Wrong(format!("{status} {body}")),
        }
    }
}
