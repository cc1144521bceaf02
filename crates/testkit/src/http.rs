//! A client of HTTP/1.1 that does what a test asks for, right or wrong.

use super::SOON;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One connection.
pub struct Client {
    stream: TcpStream,
    /// What has come and was not asked for yet.
    ahead: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct HttpReply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl HttpReply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status, and the code of an error.
    pub fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no code: {self:?}")).to_owned())
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), ahead: Vec::new() }
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends bytes as far as the other side takes them; whether it took them all.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Sends a request with a body.
    pub async fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        // What is not wanted may not be read: then the answer is there all the same.
        let _ = self.stream.write_all(&[head.as_bytes(), body].concat()).await;
    }

    /// The answer; none if the connection ends without one.
    pub async fn answer(&mut self) -> Option<HttpReply> {
        timeout(SOON, self.read(true)).await.expect("an answer, or an end")
    }

    /// The head of an answer that has no body; none if the connection ends without one.
    pub async fn head(&mut self) -> Option<HttpReply> {
        timeout(SOON, self.read(false)).await.expect("an answer, or an end")
    }

    /// Asks, and gives the answer.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> HttpReply {
        self.begin(method, path, headers, body).await;
        timeout(SOON, self.read(method != "HEAD"))
            .await
            .expect("an answer")
            .unwrap_or_else(|| panic!("{method} {path}"))
    }

    pub async fn get(&mut self, path: &str) -> HttpReply {
        self.ask("GET", path, &[], "").await
    }

    pub async fn put(&mut self, path: &str, body: impl AsRef<[u8]>) -> HttpReply {
        self.ask("PUT", path, &[], body).await
    }

    pub async fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> HttpReply {
        self.ask("POST", path, &[], body).await
    }

    /// The next chunk of an answer that is a stream; none at its end.
    pub async fn chunk(&mut self) -> Option<String> {
        timeout(SOON, self.read_chunk()).await.expect("a chunk, or the end").expect("an end, not a broken connection")
    }

    /// Whether the connection ends before a stream does.
    pub async fn breaks_off(&mut self) -> bool {
        let end = async {
            loop {
                match self.read_chunk().await {
                    Some(Some(_)) => {}
                    Some(None) => return false,
                    None => return true,
                }
            }
        };
        timeout(SOON, end).await.expect("an end")
    }

    /// None if the connection breaks off; nothing in it at the end of the stream.
    async fn read_chunk(&mut self) -> Option<Option<String>> {
        let end = loop {
            if let Some(at) = self.ahead.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            self.more().await?;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&self.ahead[..end]).unwrap(), 16).unwrap();
        while self.ahead.len() < end + 2 + size + 2 {
            self.more().await?;
        }
        let chunk = self.ahead.drain(..end + 2 + size + 2).skip(end + 2).take(size).collect();
        Some((size > 0).then(|| String::from_utf8(chunk).unwrap()))
    }

    async fn read(&mut self, with_body: bool) -> Option<HttpReply> {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.ahead.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = HttpReply { status, head, body: String::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        if with_body {
            while self.ahead.len() < length {
                self.more().await?;
            }
            reply.body = String::from_utf8(self.ahead.drain(..length).collect()).unwrap();
        }
        Some(reply)
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.ahead).await;
        (read.is_ok_and(|bytes| bytes > 0)).then_some(())
    }
}
