//! `evenfold health` asks an address as the health check of a container does.

use crate::support::cli::{CliOutput, run};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a server does with its only connection, and where it is.
fn served(answer: impl FnOnce(TcpStream, String) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz?full=1", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            request.push(byte[0]);
        }
        answer(stream, String::from_utf8(request).unwrap());
    });
    (url, server)
}

/// What the command makes of an answer. The connection stays open after it until the command closes it.
fn asked(answer: impl Into<Vec<u8>>) -> (String, CliOutput) {
    let answer = answer.into();
    let (url, server) = served(move |mut stream, _| {
        // Of a huge answer not all is read.
        let _ = stream.write_all(&answer);
        let _ = stream.read(&mut [0]);
    });
    let output = run(&["health", &url]);
    server.join().unwrap();
    (url, output)
}

#[test]
fn an_answer_of_2xx_is_well_before_its_body_has_come() {
    let (url, server) = served(|mut stream, request| {
        let host = stream.local_addr().unwrap();
        assert!(request.starts_with("GET /readyz?full=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("\r\nhost: {host}\r\n")), "{request}");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nthe rest never comes").unwrap();
        let _ = stream.read(&mut [0]);
    });
    assert_eq!(run(&["health", &url]).fine(), format!("{url} answers 200\n"));
    server.join().unwrap();
    let (url, output) = asked("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(output.fine(), format!("{url} answers 204\n"));
}

#[test]
fn any_other_answer_is_code_1_with_the_sentence_of_its_body() {
    let answer =
        |status: &str, body: &str| format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let error = r#"{"error":{"code":"not_ready","message":"the database can't be reached\nfor 8 s"}}"#;
    for (status, body, phrase) in [
        ("503 Service Unavailable", error, "answers 503: the database can't be reached for 8 s"),
        ("503 Service Unavailable", "no worker is at work on 1/4\nmore\n", "answers 503: no worker is at work on 1/4"),
        ("307 Temporary Redirect", "", "answers 307"),
        ("404 Not Found", "\u{1b}[2Jnothing", "answers 404: \\u{1b}[2Jnothing"),
        ("500 x", &"x".repeat(200_000), "answers 500: xxxx"),
    ] {
        let (url, output) = asked(answer(status, body));
        output.complains(1, &format!("{url} {phrase}"));
        assert!(output.err.len() < 1_000, "{} bytes", output.err.len());
    }
}

#[test]
fn an_answer_that_is_no_http_is_a_sentence() {
    let lines = b"-ERR unknown command\r\n".to_vec();
    let endless = b"x".repeat(1_000_000);
    let garbage: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for answer in [lines, endless, garbage, b"HTTP/1.1 9999 OK\r\n\r\n".to_vec(), b"HTTP/2\r\n\r\n".to_vec()] {
        let (url, server) = served(move |mut stream, _| {
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0]);
        });
        run(&["health", &url]).complains(1, &format!("{url} answers, but not by HTTP: correct the address"));
        server.join().unwrap();
    }
}

#[test]
fn whoever_does_not_answer_is_waited_for_no_longer_than_allowed() {
    for answer in ["", "HTTP/1.1 20"] {
        let (url, server) = served(move |mut stream, _| {
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = stream.read(&mut [0]);
        });
        let begun = Instant::now();
        run(&["health", &url, "--timeout-ms=200"]).complains(1, "has not answered within 200 ms");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        server.join().unwrap();
    }
    // The status is known, and its sentence is not.
    let (url, server) = served(|mut stream, _| {
        stream.write_all(b"HTTP/1.1 503 x\r\ncontent-length: 100\r\n\r\nhalf a sen").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let output = run(&["health", &url, "--timeout-ms=200"]);
    output.complains(1, &format!("{url} answers 503"));
    assert!(!output.err.contains("half"), "{output:?}");
    server.join().unwrap();
}

#[test]
fn where_nobody_listens_it_is_a_sentence() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/livez");
    run(&["health", &url]).complains(1, &format!("{url} can't be asked: Connection refused"));
    run(&["health", "http://nobody.invalid/"]).complains(1, "start what serves it, or correct the address");
}

#[test]
fn a_url_that_can_not_be_asked_is_code_2() {
    for (url, phrase) in [
        ("https://127.0.0.1:9601/livez", "TLS (https) is not spoken here"),
        ("127.0.0.1:9601", "the URL has no http:// in front"),
        ("ftp://127.0.0.1/", "only http:// can be asked"),
        ("http://", "the URL names no host"),
        ("http://:9601/", "the URL names no host"),
        ("http://[::1/", "the URL names no host"),
        ("http://a:0/", "the port of the URL is not a number from 1 to 65535"),
        ("http://a:65536/", "the port of the URL"),
        ("http://a:/", "the port of the URL"),
        ("http://a/b c", "characters that must be escaped by %"),
        ("http://a/\r\nx: y", "characters that must be escaped by %"),
        ("http://größe/", "characters that must be escaped by %"),
    ] {
        run(&["health", url]).complains(2, phrase);
    }
    let output = run(&["health", "http://user:secret@127.0.0.1/"]);
    output.complains(2, "a user and a password are of no use in this URL");
    assert!(!output.err.contains("secret"), "{output:?}");
    run(&["health", "http://a/", "--timeout-ms=0"]).complains(2, "from 1 to 3600000");
    run(&["health"]).complains(2, "<URL>");
}
