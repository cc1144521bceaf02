//! What requests and answers take in memory, of services that run as processes of their own, asked by whoever can
//! connect.

use crate::support::{Caching, Client, SOON, Serving, wait_until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

const MIB: usize = 1024 * 1024;

/// What the limits are for: answers and bodies in flight, of all requests together.
const BUDGET: usize = 64 * MIB;

/// What a process takes besides what is counted, with some hundred connections: their buffers, the gaps between
/// allocations, and the answers that its few threads are just making.
const BESIDES: usize = 64 * MIB;

async fn put(client: &mut Client, key: &str, value: serde_json::Value) {
    let body = json!({"value": value}).to_string();
    assert_eq!(client.put(&format!("/v1/kv/{key}"), body).await.status, 201);
}

/// So many connections that ask and read nothing, and how many of their requests were refused: those whose answer is
/// short enough to come whole are read here.
async fn unread(service: &Caching, count: usize, path: &str, method: &str, body: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = service.client().await;
        client.begin(method, path, &[], body).await;
        clients.push(client);
    }
    clients
}

/// Waits until all of these requests were handled, by the counts of the figures.
async fn handled(service: &Caching, route: &str, count: f64) -> (f64, f64) {
    let each = async |class: &str| {
        let line = format!("evenfold_cache_requests_total{{route=\"{route}\",status=\"{class}\"}}");
        service.figure(&line).await.unwrap_or_default()
    };
    wait_until("the requests", SOON, async || each("2xx").await + each("5xx").await >= count).await;
    (each("2xx").await, each("5xx").await)
}

async fn health(service: &Caching) -> u16 {
    let mut probe = service.client().await;
    timeout(Duration::from_secs(1), probe.get("/healthz")).await.expect("an answer within a second").status
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_take_no_more_memory_than_their_budget() {
    let service = Caching::start(&["--max-inflight-bytes", &BUDGET.to_string()], &[]);
    let mut client = service.client().await;
    let keys: Vec<String> = (0..1_000).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        put(&mut client, key, "x".repeat(16_000).into()).await;
    }
    let before = service.resident();
    let asked = json!({"keys": keys}).to_string();
    let deaf = unread(&service, 259, "/v1/kv/batch/get", "POST", &asked).await;
    let (answered, refused) = handled(&service, "batch_get", 259.0).await;
    let more = service.peak() - before;
    println!("{} MiB more for {answered} answers of 16 MB that nobody reads", more / MIB);
    assert!(more < BUDGET + BESIDES, "{more} bytes more");
    // What a socket takes is written, and free again.
    assert!(answered >= 3.0 && refused >= 240.0, "{answered} answered, {refused} refused");
    let refused = client.post("/v1/kv/batch/get", &asked).await;
    assert_eq!(refused.code(), (503, "too_many_bytes_in_flight".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(health(&service).await, 200);
    let small = json!({"value": 1}).to_string();
    assert_eq!(client.put("/v1/kv/small", small).await.status, 201, "small requests have what all of them need");
    assert_eq!(client.get("/v1/kv/small").await.status, 200);
    drop(deaf);
    let free = async || service.figure("evenfold_cache_bytes_in_flight").await == Some(0.0);
    wait_until("their bytes", SOON, free).await;
    assert_eq!(client.post("/v1/kv/batch/get", &asked).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_values_count_with_what_they_are_unpacked_to() {
    let item = 64 * MIB;
    let service = Caching::start(
        &["--max-inflight-bytes", &BUDGET.to_string()],
        &[("MAX_ITEM_BYTES", &item.to_string()), ("COMPRESS_ABOVE_BYTES", "1000")],
    );
    let mut client = service.client().await;
    let zeros = json!({"value": STANDARD.encode(vec![0; 60 * MIB]), "type": "base64"}).to_string();
    assert_eq!(client.put("/v1/kv/zeros", zeros).await.status, 201);
    // The place is free once the answer is written, which may be a moment after it is read.
    wait_until("its place", SOON, async || service.figure("evenfold_cache_bytes_in_flight").await == Some(0.0)).await;
    let before = service.resident();
    service.forget_peak();
    let deaf = unread(&service, 20, "/v1/kv/zeros", "GET", "").await;
    let (answered, refused) = handled(&service, "get", 20.0).await;
    let more = service.peak().saturating_sub(before);
    println!("{} MiB more for {answered} answers of 80 MB that nobody reads", more / MIB);
    // One that is larger than the budget is let through at a time: unpacked, copied, and encoded.
    assert!(more < BUDGET + 60 * MIB * 2 + 80 * MIB + BESIDES, "{more} bytes more");
    assert_eq!((answered, refused), (1.0, 19.0));
    assert_eq!(health(&service).await, 200);
    drop(deaf);
    wait_until("its bytes", SOON, async || service.figure("evenfold_cache_bytes_in_flight").await == Some(0.0)).await;
    let whole = client.get("/v1/kv/zeros").await;
    assert_eq!((whole.status, whole.body.len() > 80 * MIB), (200, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_come_slowly_take_no_more_memory_than_the_budget() {
    let service = Caching::start(
        &["--max-inflight-bytes", &BUDGET.to_string()],
        &[("REQUEST_TIMEOUT_MS", "3600000"), ("MEMORY_BUDGET_BYTES", "1048576")],
    );
    let before = service.resident();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut client = service.client().await;
        let head = "POST /v1/kv/batch/set HTTP/1.1\r\nhost: localhost\r\ncontent-length: 16000000\r\n\r\n";
        client.send(head).await;
        slow.push(client);
    }
    let part = vec![b' '; 5 * MIB];
    let mut taken = 0;
    for client in &mut slow {
        taken += usize::from(client.try_send(&part).await);
    }
    let (_, refused) = handled(&service, "batch_set", 80.0).await;
    let more = service.peak() - before;
    println!("{} MiB more for bodies of 5 MiB, {taken} of which were taken and {refused} refused", more / MIB);
    assert!(more < BUDGET + BESIDES, "{more} bytes more");
    assert_eq!(health(&service).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_too_long_is_not_read_to_its_end() {
    let service = Caching::start(&[], &[]);
    let before = service.resident();
    let keys = format!("{{\"keys\":[{}\"\"]}}", "\"\",".repeat(5 * MIB));
    let refused = service.client().await.post("/v1/kv/batch/get", keys).await;
    assert_eq!(refused.code(), (422, "invalid_body".to_owned()));
    let more = service.peak() - before;
    println!("{} MiB more for a body of 15 MiB", more / MIB);
    // The body itself, twice while its buffer grows.
    assert!(more < 2 * 16 * MIB + 16 * MIB, "{more} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_counters_that_nobody_reads_have_as_many_bytes_as_may_be_and_counting_goes_on() {
    let serving = Serving::start(&["--volatile"], &[("MAX_INFLIGHT_BYTES", &MIB.to_string())]);
    let mut client = serving.client().await;
    for n in 0..1_000 {
        assert_eq!(client.post(&format!("/counter/{n:0250}/increment"), "").await.status, 200);
    }
    // Three lists of 290 kB fit. So many requests that the sockets do not take all answers.
    let lists = "GET /counters?top=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(60);
    let mut deaf = Vec::new();
    for _ in 0..5 {
        let mut client = serving.client().await;
        client.send(&lists).await;
        deaf.push(client);
    }
    let handled = async || {
        let metrics = serving.metrics().await;
        let lists = metrics.lines().filter(|line| line.starts_with("evenfold_counter_requests_total{route=\"top\""));
        lists.map(str::to_owned).collect::<Vec<_>>()
    };
    let (mut before, mut same) = (Vec::new(), 0);
    let stuck = async || {
        let now = handled().await;
        same = if !now.is_empty() && now == before { same + 1 } else { 0 };
        before = now;
        same == 20
    };
    wait_until("lists that nobody reads", SOON, stuck).await;
    let refused = client.get("/counters?top=1000").await;
    assert_eq!(refused.code(), (503, "too_many_bytes_in_flight".to_owned()));
    let line = "evenfold_counter_bytes_in_flight ";
    let metrics = serving.metrics().await;
    let bytes = metrics.lines().find_map(|metric| metric.strip_prefix(line)).unwrap().parse::<f64>().unwrap();
    assert!(bytes > 250_000.0 && bytes <= 1_048_576.0, "{bytes}");
    assert_eq!(client.post("/counter/a/increment", "").await.json()["value"], 1);
    assert_eq!(client.get("/counter/a").await.json()["value"], 1);
    assert_eq!(client.get("/healthz").await.status, 200);
    drop(deaf);
    let fits = async || client.get("/counters?top=1000").await.status == 200;
    wait_until("room for a list", SOON, fits).await;
}
