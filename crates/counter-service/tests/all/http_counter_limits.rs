//! The counter service at the edge of each limit, with and without a token, and whatever is sent to it.

use crate::support::{Client, Counting, SOON, wait_until};
use evenfold_counter_service::http::ServiceOptions;
use evenfold_http::{ApiToken, Auth};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::time::Duration;

const INCREMENT: &str = "/counter/a/increment";
const IN_FLIGHT: &str = "evenfold_counter_requests_in_flight";
const REST: &str = "ount\":5}";

/// An increment whose body is not complete: it is in flight until the rest comes.
async fn half_an_increment(served: &Counting) -> Client {
    let mut client = served.client().await;
    client.send(format!("POST {INCREMENT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\n\r\n{{\"am")).await;
    wait_until("the request", SOON, async || served.figure(IN_FLIGHT).await == Some(1.0)).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_have_1_kib() {
    let served = Counting::plain().await;
    let padded = |length: usize| format!("{:length$}", r#"{"amount":5}"#);
    assert_eq!(served.client().await.post(INCREMENT, padded(1_024)).await.json()["value"], 5);
    for length in [1_025, 60_000] {
        let refused = served.client().await.post(INCREMENT, padded(length)).await;
        assert_eq!(refused.code(), (413, "too_large".to_owned()), "{length}");
    }
    let mut chunked = served.client().await;
    let head = format!("POST {INCREMENT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    chunked.send(format!("{head}401\r\n{}\r\n0\r\n\r\n", padded(1_025))).await;
    assert_eq!(chunked.answer().await.unwrap().code(), (413, "too_large".to_owned()));
    assert_eq!(served.client().await.get("/counter/a").await.json()["version"], 1);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_times_out_and_one_that_breaks_off_counts_nothing() {
    let options = ServiceOptions::default().body_timeout(Duration::from_millis(50));
    let served = Counting::with(options).await;
    let mut slow = half_an_increment(&served).await;
    assert_eq!(slow.answer().await.unwrap().code(), (408, "body_timeout".to_owned()));
    assert!(slow.answer().await.is_none(), "the rest can't be distinguished from a request");
    drop(half_an_increment(&served).await);
    wait_until("its place", SOON, async || served.figure(IN_FLIGHT).await == Some(0.0)).await;
    assert_eq!(served.client().await.get("/counter/a").await.json()["version"], 0);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_or_a_header_that_is_too_long_is_refused() {
    let served = Counting::plain().await;
    let long = format!("/counter/{}/increment", "x".repeat(5_000));
    assert_eq!(served.client().await.post(&long, "").await.code(), (400, "invalid_id".to_owned()));
    let mut client = served.client().await;
    client.try_send(format!("POST /counter/{}/increment HTTP/1.1\r\n\r\n", "x".repeat(20_000))).await;
    // The end may overtake the answer, since not all was read.
    assert!(client.answer().await.is_none_or(|reply| [414, 431].contains(&reply.status)));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_in_flight_are_refused_until_one_is_answered() {
    let served = Counting::with(ServiceOptions::default().max_inflight(1)).await;
    let mut waiting = half_an_increment(&served).await;
    for (method, path) in [("POST", INCREMENT), ("GET", "/counter/a"), ("GET", "/counters")] {
        let refused = served.client().await.ask(method, path, &[], "").await;
        assert_eq!(refused.code(), (503, "too_many_in_flight".to_owned()), "{method} {path}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    for path in ["/healthz", "/readyz", "/docs"] {
        assert_eq!(served.client().await.get(path).await.status, 200, "who looks on is let in");
    }
    waiting.send(REST).await;
    assert_eq!(waiting.answer().await.unwrap().json()["value"], 5);
    // The place is free once the answer is written, which may be a moment after it is read.
    wait_until("its place", SOON, async || served.client().await.get("/counter/a").await.status == 200).await;
    assert_eq!(served.client().await.get("/counter/a").await.json()["value"], 5);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_has_its_place_until_its_connection_ends() {
    let served = Counting::with(ServiceOptions::default().max_inflight(1)).await;
    let mut client = served.client().await;
    for n in 0..100 {
        assert_eq!(client.post(&format!("/counter/{n:0200}/increment"), "").await.status, 200);
    }
    let mut deaf = served.client().await;
    let lists = "GET /counters?top=100 HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    deaf.send(lists).await;
    // 24 MB, of which the sockets take some: then the server is stuck writing an answer, and answers no more.
    let (mut answered, mut same) = (None, 0);
    let stuck = async || {
        let now = served.figure("evenfold_counter_requests_total{route=\"top\",status=\"2xx\"}").await;
        same = if now.is_some() && now == answered { same + 1 } else { 0 };
        answered = now;
        same == 20
    };
    wait_until("an answer that nobody reads", SOON, stuck).await;
    assert_eq!(client.get("/counter/a").await.code(), (503, "too_many_in_flight".to_owned()));
    assert!(served.figure("evenfold_counter_bytes_in_flight").await.unwrap() > 10_000.0, "its bytes are counted");
    drop(deaf);
    wait_until("its place", SOON, async || client.get("/counter/a").await.status == 200).await;
    assert_eq!(served.figure("evenfold_counter_bytes_in_flight").await, Some(0.0));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_in_flight_is_counted_and_answered_after_a_shutdown() {
    let served = Counting::plain().await;
    let mut waiting = half_an_increment(&served).await;
    served.shutdown.cancel();
    let gone = async || tokio::net::TcpStream::connect(served.address).await.is_err();
    wait_until("the end of the listener", SOON, gone).await;
    waiting.send(REST).await;
    assert_eq!(waiting.answer().await.unwrap().json()["value"], 5);
    served.end().await;
}

const REQUESTS: [(&str, &str, bool); 6] = [
    ("GET", "/counter/a", true),
    ("GET", "/counters", true),
    ("HEAD", "/counter/a/watch", true),
    ("POST", INCREMENT, false),
    ("POST", "/counter/a", false),
    ("GET", "/nothing", false),
];

const OPEN: [&str; 4] = ["/healthz", "/readyz", "/docs", "/docs/openapi.json"];

#[tokio::test(flavor = "multi_thread")]
async fn increments_need_the_bearer_token_and_reads_where_that_is_set() {
    for reads in [false, true] {
        let auth = Some(Auth { token: ApiToken::new("secret").unwrap(), reads });
        let served = Counting::with(ServiceOptions::default().auth(auth)).await;
        for (method, path, read) in REQUESTS {
            let mut client = served.client().await;
            let wrong = ["Bearer Secret", "Basic secret", "secret", "Bearer "].map(|value| ("authorization", value));
            let wrong = wrong.into_iter().chain([("x-api-token", "secret"), ("other", "")]);
            for header in wrong {
                let refused = client.ask(method, path, &[header], "").await;
                assert_eq!(refused.status == 401, reads || !read, "{method} {path} {header:?}");
                let challenge = refused.header("www-authenticate");
                assert_eq!(challenge, (refused.status == 401).then_some("Bearer"), "{method} {path}");
            }
            let allowed = client.ask(method, path, &[("authorization", "Bearer secret")], "").await;
            assert_ne!(allowed.status, 401, "{method} {path}");
        }
        for path in OPEN {
            assert_eq!(served.client().await.get(path).await.status, 200, "{path}");
        }
        assert_eq!(Client::connect(served.figures).await.get("/metrics").await.status, 200);
        served.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_no_web_page_can_count() {
    let served = Counting::plain().await;
    let page = [("origin", "https://example.org")];
    for (method, path, read) in REQUESTS {
        let answer = served.client().await.ask(method, path, &page, "").await;
        assert_eq!(answer.status == 403, !read, "{method} {path}: {answer:?}");
    }
    assert_eq!(served.client().await.get("/counter/a").await.json()["version"], 0);
    served.end().await;
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let value =
        prop_oneof!["-?[0-9]{1,20}", "[0-9.eE+-]{0,8}", Just("null".to_owned()), "\"[ -~]{0,8}\"", "\\[[0-9]{0,3}\\]"];
    let name = prop_oneof![8 => Just("amount".to_owned()), 1 => "[a-z]{0,8}"];
    let text = (name, value).prop_map(|(name, value)| format!("{{\"{name}\":{value}}}").into_bytes());
    let cut = (text.clone(), any::<prop::sample::Index>()).prop_map(|(mut text, at)| {
        text.truncate(at.index(text.len() + 1));
        text
    });
    prop_oneof![4 => text, 1 => cut, 1 => prop::collection::vec(any::<u8>(), 0..100)]
}

/// Whatever is sent, the answer is no 5xx, and an error has a code.
#[test]
fn no_path_no_key_and_no_body_is_too_much() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (served, client) = runtime.block_on(async {
        let served = Counting::plain().await;
        let client = served.client().await;
        (served, RefCell::new(client))
    });
    let method = prop::sample::select(&["GET", "POST", "PUT", "HEAD"][..]);
    let rest = prop::sample::select(&["", "/increment", "/watchs", "?top=5"][..]);
    // What a URI and a header can have; anything else is no HTTP.
    let inputs = (
        method,
        "(/counter/|/counters)?[A-Za-z0-9%!$&'()*+,;=:@._~-]{0,20}",
        rest,
        prop::option::of("[ -~]{0,12}"),
        body(),
    );
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&inputs, |(method, path, rest, key, body)| {
        let path = format!("/{}{rest}", path.trim_start_matches('/'));
        let headers: Vec<_> = key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
        let answer = runtime.block_on(client.borrow_mut().ask(method, &path, &headers, body));
        let refused = [400, 404, 405, 422].contains(&answer.status);
        let led = answer.status == 307 && path.split('?').next() == Some("/");
        prop_assert!(answer.status == 200 || refused || led, "{answer:?}");
        prop_assert_eq!(
            refused && method != "HEAD",
            answer.body.starts_with("{\"error\":{\"code\":\""),
            "{:?}",
            answer
        );
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}");
    runtime.block_on(served.end());
}
