//! `cache`: the service as a process of its own.

use crate::support::cli::finish;
use crate::support::{Caching, Client, SOON, wait_until};
use nix::sys::signal::Signal;
use serde_json::json;
use std::net::SocketAddr;

#[tokio::test(flavor = "multi_thread")]
async fn the_service_runs_without_a_database_and_ends_with_code_0() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut service = Caching::start(&[], &[]);
        let mut client = service.client().await;
        assert_eq!(client.put("/v1/kv/a", r#"{"value":1}"#).await.status, 201);
        assert_eq!(client.get("/v1/kv/a").await.json()["value"], 1);
        client.send("PUT /v1/kv/b HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n{\"val").await;
        let figures = "evenfold_cache_requests_in_flight 1";
        wait_until("the request", SOON, async || service.client().await.get("/metrics").await.body.contains(figures))
            .await;
        service.signal(signal);
        let gone = async || tokio::net::TcpStream::connect(service.address).await.is_err();
        wait_until("the end of the listener", SOON, gone).await;
        client.send("ue\":1}").await;
        assert_eq!(client.answer().await.unwrap().status, 201, "a request in flight is answered");
        assert_eq!(service.wait(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_has_its_effect() {
    let variables = [
        ("SHARDS", "3"),
        ("AUTO_SHARDS", "false"),
        ("MAX_ITEM_BYTES", "10"),
        ("MEMORY_BUDGET_BYTES", "2000000"),
        ("API_TOKEN", "secret"),
        ("READ_REQUIRES_AUTH", "true"),
        ("REQUEST_TIMEOUT_MS", "100"),
    ];
    let service = Caching::start(&["--bind=0.0.0.0"], &variables);
    let address = SocketAddr::new([127, 0, 0, 1].into(), service.address.port());
    let mut client = Client::connect(address).await;
    let token = [("x-api-token", "secret")];
    assert_eq!(client.get("/healthz").await.json()["shards"].as_array().unwrap().len(), 3);
    let metrics = client.get("/metrics").await.body;
    assert!(metrics.contains("evenfold_cache_memory_budget_bytes 2000000\n"));
    assert!(metrics.contains("evenfold_cache_auto_shards 0\n"));
    assert_eq!(client.get("/v1/kv/a").await.code(), (401, "unauthorized".to_owned()));
    let value = |length: usize| json!({"value": "x".repeat(length)}).to_string();
    assert_eq!(client.ask("PUT", "/v1/kv/a", &token, value(10)).await.status, 201);
    assert_eq!(client.ask("PUT", "/v1/kv/a", &token, value(11)).await.status, 413);
    client.send("PUT /v1/kv/a HTTP/1.1\r\nhost: localhost\r\nx-api-token: secret\r\ncontent-length: 11\r\n\r\n{").await;
    assert_eq!(client.answer().await.unwrap().code(), (408, "body_timeout".to_owned()));
}

/// Flags, variables, and the phrase that says what is wrong or what to do.
type Mistake = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

#[test]
fn what_can_not_be_meant_is_one_sentence_and_code_2() {
    #[rustfmt::skip]
    let cases: [Mistake; 20] = [
        (&["--bind=0.0.0.0"], &[], "0.0.0.0 can be reached from other machines: set API_TOKEN, or bind to 127.0.0.1"),
        (&["--bind=::"], &[], "can be reached from other machines"),
        (&["--bind=localhost"], &[], "'--bind <ADDR>'"),
        (&[], &[("API_TOKEN", "")], "API_TOKEN (--api-token): the token is empty"),
        (&["--bind=0.0.0.0"], &[("API_TOKEN", "")], "the token is empty"),
        (&[], &[("API_TOKEN", "a b")], "visible ASCII characters only"),
        (&[], &[("READ_REQUIRES_AUTH", "true")], "set API_TOKEN too"),
        (&[], &[("READ_REQUIRES_AUTH", "maybe")], "'--read-requires-auth <BOOL>'"),
        (&["--port=65536"], &[], "from 0 to 65535"),
        (&[], &[("SHARDS", "0")], "from 1 to 1024"),
        (&[], &[("AUTO_SHARDS", "maybe")], "'--auto-shards <BOOL>'"),
        (&[], &[("MAX_SHARDS", "1025")], "from 1 to 1024"),
        (&[], &[("MAX_ITEM_BYTES", "0")], "from 1 to 67108864"),
        (&[], &[("MEMORY_BUDGET_BYTES", "1048575")], "from 1048576"),
        (&[], &[("REQUEST_TIMEOUT_MS", "0")], "from 1 to 3600000"),
        (&[], &[("MAX_INFLIGHT", "0")], "from 1 to 1000000"),
        (&[], &[("MAX_INFLIGHT_BYTES", "1048575")], "from 1048576"),
        (&["--allowed-hosts=cache.example:8080"], &[], "ALLOWED_HOSTS (--allowed-hosts): \"cache.example:8080\" is no name of a host"),
        (&[], &[("ALLOWED_HOSTS", "a,http://b")], "give names or addresses without ports"),
        (&[], &[("MAX_SHARD_MAILBOX", "0")], "from 1 to 1048576"),
    ];
    for (args, variables, phrase) in cases {
        println!("{args:?} {variables:?}");
        finish(Caching::command(args, variables)).complains(2, phrase);
    }
}

#[test]
fn the_token_is_not_shown() {
    let output = finish(Caching::command(&["--help"], &[("API_TOKEN", "topsecret")]));
    assert!(output.fine().contains("API_TOKEN") && !output.out.contains("topsecret"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_names_that_are_allowed_are_answered_to_and_no_others() {
    for (bind, variables) in [("127.0.0.1", [].as_slice()), ("0.0.0.0", &[("API_TOKEN", "secret")])] {
        let service = Caching::start(&["--bind", bind, "--allowed-hosts=a.example,b.example"], variables);
        let address = SocketAddr::new([127, 0, 0, 1].into(), service.address.port());
        for (host, status) in [("a.example", 200), ("b.example:80", 200), ("localhost", 200), ("evil.example", 421)] {
            let mut client = Client::connect(address).await;
            client.send(format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!(client.answer().await.unwrap().status, status, "{bind} {host}");
        }
    }
    let any = Caching::start(&["--bind=0.0.0.0"], &[("API_TOKEN", "secret")]);
    let mut client = Client::connect(SocketAddr::new([127, 0, 0, 1].into(), any.address.port())).await;
    client.send("GET /readyz HTTP/1.1\r\nhost: any.example\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 200, "other machines may call it as they like");
}

#[test]
fn a_port_that_is_taken_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    finish(Caching::command(&["--port", &port], &[]))
        .complains(1, "is in use: stop who has it, or choose another port (--port)");
    finish(Caching::command(&["--bind=192.0.2.1", "--api-token=x", "--port=0"], &[]))
        .complains(1, "is no address of this machine");
}
