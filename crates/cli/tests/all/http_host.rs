//! A page that has its name resolved to this machine is not answered by anything on it.

use crate::support::{Cached, Client, Counting, HttpReply, Serving};
use evenfold_cache::CacheOptions;
use evenfold_cache::http::ServiceOptions;
use evenfold_http::{AllowedHosts, Limits};
use std::net::SocketAddr;

const OF_THE_CACHE: [(&str, &str, &str); 14] = [
    ("GET", "/v1/kv/a", ""),
    ("HEAD", "/v1/kv/a", ""),
    ("PUT", "/v1/kv/a", r#"{"value":2}"#),
    ("DELETE", "/v1/kv/a", ""),
    ("POST", "/v1/kv/incr", r#"{"key":"a","delta":1}"#),
    ("POST", "/v1/kv/batch/get", r#"{"keys":["a"]}"#),
    ("POST", "/v1/kv/batch/set", r#"{"entries":[{"key":"a","value":2}]}"#),
    ("POST", "/v1/kv/batch/delete", r#"{"keys":["a"]}"#),
    ("POST", "/v1/admin/drain", ""),
    ("GET", "/healthz", ""),
    ("GET", "/readyz", ""),
    ("GET", "/metrics", ""),
    ("GET", "/docs", ""),
    ("GET", "/nothing", ""),
];

const OF_THE_COUNTERS: [(&str, &str, &str); 9] = [
    ("POST", "/counter/a/increment", ""),
    ("GET", "/counter/a", ""),
    ("HEAD", "/counter/a", ""),
    ("GET", "/counters", ""),
    ("GET", "/counter/a/watch", ""),
    ("GET", "/healthz", ""),
    ("GET", "/readyz", ""),
    ("GET", "/docs/openapi.json", ""),
    ("GET", "/nothing", ""),
];

/// Asks for a host by its header, or by the target as well.
async fn ask(address: SocketAddr, (method, path, body): (&str, &str, &str), host: &str, absolute: bool) -> HttpReply {
    let mut client = Client::connect(address).await;
    let target = if absolute { format!("http://{host}{path}") } else { path.to_owned() };
    let head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n", body.len());
    client.send(format!("{head}{body}")).await;
    if method == "HEAD" { client.head().await } else { client.answer().await }.unwrap()
}

async fn refuses(address: SocketAddr, request: (&str, &str, &str)) {
    for absolute in [false, true] {
        let answer = ask(address, request, "evil.example", absolute).await;
        assert_eq!(answer.status, 421, "{request:?}");
        if request.0 != "HEAD" {
            assert_eq!(answer.code().1, "misdirected_request");
            assert!(answer.body.contains("--allowed-hosts"), "it says what to do: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_cache_is_answered_to_another_name() {
    let served = Cached::plain().await;
    served.client().await.put("/v1/kv/a", r#"{"value":1}"#).await;
    for request in OF_THE_CACHE {
        refuses(served.address, request).await;
    }
    assert!(served.cache.is_ready(), "nothing was done");
    assert_eq!(served.client().await.get("/v1/kv/a").await.json()["version"], 1);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_counters_is_answered_to_another_name_and_no_figures() {
    let served = Counting::plain().await;
    for request in OF_THE_COUNTERS {
        refuses(served.address, request).await;
    }
    refuses(served.figures, ("GET", "/metrics", "")).await;
    assert_eq!(served.client().await.get("/counter/a").await.json()["version"], 0, "nothing was counted");
    assert_eq!(ask(served.figures, ("GET", "/metrics", ""), "localhost:2121", false).await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_this_machine_is_asked_by_its_address_localhost_and_the_names_that_are_allowed() {
    let limits = Limits::default().allowed_hosts(AllowedHosts::new(["cache.example"]).unwrap());
    let served = Cached::limited(CacheOptions::default(), ServiceOptions::default(), limits).await;
    let port = served.address.port();
    let own = ["127.0.0.1", "localhost", "LOCALHOST", "cache.example"].map(|name| format!("{name}:{port}"));
    for host in own.iter().map(String::as_str).chain(["127.0.0.1", "localhost", "cache.example:80"]) {
        for absolute in [false, true] {
            assert_eq!(ask(served.address, ("GET", "/readyz", ""), host, absolute).await.status, 200, "{host}");
        }
    }
    for host in ["[::1]", "127.0.0.2", "example", "cache.example.evil.example", "localhost.evil.example", "localhost:x"]
    {
        assert_eq!(ask(served.address, ("GET", "/readyz", ""), host, false).await.status, 421, "{host}");
    }
    let mut old = served.client().await;
    old.send("GET /readyz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer().await.unwrap().status, 200, "HTTP/1.0 needs no Host, and no browser speaks it");
    for wrong in ["", "host: localhost\r\nhost: localhost\r\n"] {
        let mut client = served.client().await;
        client.send(format!("GET /readyz HTTP/1.1\r\n{wrong}\r\n")).await;
        assert_eq!(client.answer().await.unwrap().status, 421, "{wrong:?}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_other_machines_reach_answers_to_the_names_that_are_allowed_also_for_its_figures() {
    for (bind, more) in [("127.0.0.1", [].as_slice()), ("0.0.0.0", &[("API_TOKEN", "secret")])] {
        let variables = [more, &[("ALLOWED_HOSTS", "a.example,b.example")]].concat();
        let serving = Serving::start(&["--volatile", "--bind", bind], &variables);
        for (bound, path) in [(serving.address, "/counter/a"), (serving.figures, "/metrics")] {
            let address = SocketAddr::from(([127, 0, 0, 1], bound.port()));
            for (host, status) in [
                ("a.example", 200),
                ("b.example:80", 200),
                ("localhost", 200),
                ("127.0.0.1", 200),
                ("evil.example", 421),
            ] {
                assert_eq!(ask(address, ("GET", path, ""), host, false).await.status, status, "{bind} {path} {host}");
            }
        }
    }
}
