//! Probes are answered whatever connections others open.

use crate::support::Caching;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// So many connections the report had that showed the fault; the service has 4,096 places.
const SLOW: usize = 4_200;

/// A part of a head, after which nothing comes.
const HALF: &[u8] = b"GET /v1/kv/a HTTP/1.1\r\nhost: localhost\r\nx-slow: ";

/// Opens so many connections that send a part of a head. Those that the service closes stay with us.
async fn slow(service: &Caching, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        // It may be closed by then.
        let _ = stream.write_all(HALF).await;
        all.push(stream);
    }
    all
}

async fn probed(service: &Caching) {
    for path in ["/healthz", "/readyz"] {
        let begun = Instant::now();
        let answer = service.client().await.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{path} after {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_within_a_second_with_4200_connections_that_send_their_heads_slowly() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let needed = SLOW as u64 + 1_000;
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed), hard).expect("ulimit -Hn of 5,200 files");
    let service = Caching::start(&[], &[]);
    let mut known = service.client().await;
    assert_eq!(known.get("/readyz").await.status, 200);
    let slow = slow(&service, SLOW).await;
    probed(&service).await;
    assert_eq!(known.get("/readyz").await.status, 200, "whoever was answered before keeps the connection");
    assert_eq!(service.client().await.put("/v1/kv/a", r#"{"value":1}"#).await.status, 201, "others get in as well");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_within_a_second_by_a_process_that_may_open_few_files() {
    // With 100, three quarters are for connections. With 30, so many are not left besides what the process has itself.
    for files in [100, 30] {
        let service = Caching::start_limited(files);
        let slow = slow(&service, 300).await;
        probed(&service).await;
        let mut client = service.client().await;
        assert_eq!(client.put("/v1/kv/a", r#"{"value":1}"#).await.status, 201);
        drop(slow);
    }
}
