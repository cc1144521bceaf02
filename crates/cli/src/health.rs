//! `health`: whether an address answers well, for the health checks of containers, which have no other client of HTTP.

use super::output::print;
use super::tuning::MAX_MS;
use crate::config::{UsageError, number};
use anyhow::anyhow;
use clap::Args;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How much of an answer is read: a probe's is a sentence.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// How much of a body is shown that is no sentence of ours.
const LONGEST_SENTENCE: usize = 500;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// What to ask, as in http://127.0.0.1:9601/readyz
    #[arg(value_name = "URL")]
    url: String,
    /// How long the answer may take, in milliseconds: 1 to 3600000
    #[arg(long, default_value = "5000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=MAX_MS)))]
    timeout_ms: u64,
}

/// Where to connect, and what to ask there.
#[derive(Debug, PartialEq, Eq)]
struct ProbeUrl {
    host: String,
    port: u16,
    /// The host as the URL has it, and the port if it has one.
    authority: String,
    /// With what follows a question mark.
    path: String,
}

impl ProbeUrl {
    fn parse(url: &str) -> Result<Self, UsageError> {
        let wrong = |problem: &str| {
            UsageError(format!("{problem}: give an address such as http://127.0.0.1:9601/readyz to evenfold health"))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("the URL has no http:// in front"))?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(wrong("TLS (https) is not spoken here, nor by the probes of evenfold"));
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(wrong("only http:// can be asked"));
        }
        if !url.chars().all(|c| c.is_ascii_graphic()) {
            return Err(wrong("the URL has characters that must be escaped by %"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        if authority.contains('@') {
            return Err(wrong("a user and a password are of no use in this URL"));
        }
        let nameless = || wrong("the URL names no host");
        let bracket = if authority.starts_with('[') { authority.find(']').ok_or_else(nameless)? + 1 } else { 0 };
        let (host, port) = match authority[bracket..].find(':') {
            Some(at) => (&authority[..bracket + at], &authority[bracket + at + 1..]),
            None => (authority, "80"),
        };
        let port = port.parse().ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| wrong("the port of the URL is not a number from 1 to 65535"))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains(['[', ']', '\\']) {
            return Err(nameless());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { host: host.to_owned(), port, authority: authority.to_owned(), path })
    }
}

pub(super) async fn run(args: HealthArgs) -> anyhow::Result<()> {
    let url = ProbeUrl::parse(&args.url)?;
    let mut answer = Vec::new();
    let asked = timeout(Duration::from_millis(args.timeout_ms), ask(&url, &mut answer)).await;
    let (url, late) = (&args.url, asked.is_err());
    let Some(status) = status(&answer) else {
        return Err(match asked {
            Err(_) => {
                anyhow!("{url} has not answered within {} ms: look at the log of what serves it", args.timeout_ms)
            }
            Ok(Err(error)) => {
                anyhow!("{url} can't be asked: {error}: start what serves it, or correct the address")
            }
            Ok(Ok(())) => anyhow!("{url} answers, but not by HTTP: correct the address"),
        });
    };
    if (200..300).contains(&status) {
        return print(&format!("{url} answers {status}\n"));
    }
    match sentence(&answer) {
        Some(sentence) if !late => Err(anyhow!("{url} answers {status}: {sentence}")),
        _ => Err(anyhow!("{url} answers {status}")),
    }
}

/// Asks, and collects the answer up to its end: not beyond the head of one that is well.
async fn ask(url: &ProbeUrl, answer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: evenfold\r\naccept: */*\r\nconnection: close\r\n\r\n",
        url.path, url.authority
    );
    stream.write_all(request.as_bytes()).await?;
    let mut limited = stream.take(LONGEST_ANSWER);
    while limited.read_buf(answer).await? > 0 {
        if status(answer).is_some_and(|status| (200..300).contains(&status)) || is_complete(answer) {
            break;
        }
    }
    Ok(())
}

/// The status of an answer whose first line is there.
fn status(answer: &[u8]) -> Option<u16> {
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&answer[..end]).ok()?;
    let mut words = line.trim_end().split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = words.next().filter(|status| status.len() == 3)?;
    status.parse().ok().filter(|status| (100..600).contains(status))
}

/// The lines of the head, and the body, once the head is there.
fn parts(answer: &[u8]) -> Option<(String, &[u8])> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end + 4..]))
}

/// Whether the body is there, as long as the head says.
fn is_complete(answer: &[u8]) -> bool {
    let Some((head, body)) = parts(answer) else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

/// The sentence of an answer that is not well: the message of an error as evenfold's services have it, or the body's
/// first line.
fn sentence(answer: &[u8]) -> Option<String> {
    let (_, body) = parts(answer)?;
    let message = serde_json::from_slice::<Value>(body).ok().and_then(|body| {
        let message = body.pointer("/error/message").or_else(|| body.get("error"))?;
        message.as_str().map(str::to_owned)
    });
    let text = message.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    });
    Some(text.chars().take(LONGEST_SENTENCE).collect()).filter(|text: &String| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_where_to_connect_and_what_to_ask() {
        let cases = [
            ("http://127.0.0.1:9601/livez", "127.0.0.1", 9601, "/livez"),
            ("HTTP://monitor", "monitor", 80, "/"),
            ("http://a.example?x=1#part", "a.example", 80, "/?x=1"),
            ("http://[::1]:9600/a/b?c=/d", "::1", 9600, "/a/b?c=/d"),
            ("http://[::1]/", "::1", 80, "/"),
        ];
        for (url, host, port, path) in cases {
            let parsed = ProbeUrl::parse(url).unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port, parsed.path.as_str()), (host, port, path), "{url}");
        }
        assert_eq!(ProbeUrl::parse("http://[::1]:9600/").unwrap().authority, "[::1]:9600");
    }

    #[test]
    fn the_sentence_is_the_message_of_an_error_or_the_first_line() {
        let cases = [
            (r#"{"error":{"code":"not_ready","message":"no worker"}}"#, Some("no worker")),
            (r#"{"error":"no database"}"#, Some("no database")),
            ("\r\n  first line \nsecond", Some("first line")),
            ("{}", Some("{}")),
            ("", None),
        ];
        for (body, expected) in cases {
            let answer = format!("HTTP/1.1 503 x\r\na: b\r\n\r\n{body}");
            assert_eq!(sentence(answer.as_bytes()).as_deref(), expected, "{body}");
        }
        let long = format!("HTTP/1.1 503 x\r\n\r\n{}", "ü".repeat(10_000));
        assert_eq!(sentence(long.as_bytes()).unwrap().chars().count(), LONGEST_SENTENCE);
    }
}
