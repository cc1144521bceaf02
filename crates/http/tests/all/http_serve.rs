//! Connections: how many, how long, and how they end.

use crate::support::{Client, SOON, wait_until};
use axum::body::Body;
use evenfold_http::{Limits, Respond, serve};
use futures_util::stream;
use hyper::body::Incoming;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Answers `/at-once` and probes at once, `/panic` not at all, `/flood` with a stream that never ends, `/drops` with
/// one of as much as is let, and anything else when it is let.
#[derive(Clone)]
struct Doorman {
    begun: Arc<AtomicUsize>,
    let_through: Arc<Semaphore>,
}

impl Respond for Doorman {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            "/at-once" | "/healthz" | "/readyz" => {}
            "/panic" => panic!("as the test asked for"),
            "/flood" => return self.stream(None),
            "/drops" => return self.stream(Some(Arc::clone(&self.let_through))),
            _ => {
                self.begun.fetch_add(1, Ordering::SeqCst);
                self.let_through.acquire().await.unwrap().forget();
            }
        }
        Response::new(Body::from("through"))
    }
}

impl Doorman {
    fn stream(&self, each: Option<Arc<Semaphore>>) -> Response<Body> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let chunks = stream::unfold(each, async |each| {
            let Some(permits) = &each else { return Some((Ok::<_, Infallible>("x".repeat(50_000)), each)) };
            permits.acquire().await.unwrap().forget();
            Some((Ok("drop".to_owned()), each))
        });
        Response::new(Body::from_stream(chunks))
    }
}

struct Served {
    address: SocketAddr,
    doorman: Doorman,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    async fn new(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let doorman = Doorman { begun: Arc::default(), let_through: Arc::new(Semaphore::new(0)) };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, doorman.clone(), limits, shutdown.clone().cancelled_owned()));
        Self { address, doorman, shutdown, task }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A client whose request has come and is waiting.
    async fn waiting(&self) -> Client {
        self.asking("/waiting").await
    }

    /// A client whose request has come.
    async fn asking(&self, path: &str) -> Client {
        let (mut client, before) = (self.client().await, self.begun());
        client.begin("GET", path, &[], "").await;
        wait_until("the request", SOON, async || self.begun() > before).await;
        client
    }

    fn begun(&self) -> usize {
        self.doorman.begun.load(Ordering::SeqCst)
    }

    async fn end(self) {
        self.shutdown.cancel();
        timeout(SOON, self.task).await.expect("an end").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_answered_after_a_shutdown_and_new_ones_are_not_taken() {
    let served = Served::new(Limits::default()).await;
    let (mut waiting, mut idle) = (served.waiting().await, served.client().await);
    assert_eq!(idle.get("/at-once").await.status, 200);
    served.shutdown.cancel();
    wait_until("the end of the listener", SOON, async || TcpStream::connect(served.address).await.is_err()).await;
    assert!(idle.answer().await.is_none(), "connections without a request end");
    served.doorman.let_through.add_permits(1);
    assert_eq!(waiting.answer().await.unwrap().body, "through");
    assert!(waiting.answer().await.is_none());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_id_that_its_request_has_or_one_of_its_own() {
    let served = Served::new(Limits::default()).await;
    let mut client = served.client().await;
    let mut ids = Vec::new();
    for (host, status) in [(&[][..], 200), (&[("Host", "page.example")], 421)] {
        let mut id_of = async |given: &[(&str, &str)]| {
            let reply = client.ask("GET", "/at-once", &[host, given].concat(), "").await;
            assert_eq!(reply.status, status, "{reply:?}");
            reply.header("x-request-id").unwrap().to_owned()
        };
        assert_eq!(id_of(&[("X-Request-ID", "order-4711")]).await, "order-4711");
        ids.extend([id_of(&[]).await, id_of(&[("X-Request-ID", "two words")]).await, id_of(&[]).await]);
    }
    ids.sort();
    ids.dedup();
    assert!(ids.len() == 6 && ids.iter().all(|id| id.len() == 32), "{ids:?}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_answered_within_the_grace_is_cut_off() {
    let served = Served::new(Limits::default().grace(Duration::from_millis(20))).await;
    let mut waiting = served.waiting().await;
    served.end().await;
    assert!(waiting.answer().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_closed_and_those_that_wait_for_an_answer_are_not() {
    let served = Served::new(Limits::default().idle(Duration::from_millis(20))).await;
    let mut waiting = served.waiting().await;
    // One after the other, so that the one that waits has been there for several times the limit.
    for _ in 0..4 {
        let mut idle = served.client().await;
        assert!(idle.answer().await.is_none(), "nothing was sent");
        let mut slow = served.client().await;
        slow.send("GET /at-once HTTP/1.1\r\nhost: te").await;
        assert!(slow.answer().await.is_none(), "the headers did not come");
    }
    served.doorman.let_through.add_permits(1);
    assert_eq!(waiting.answer().await.unwrap().body, "through");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_does_not_keep_a_connection() {
    let served = Served::new(Limits::default().idle(Duration::from_millis(20)).connections(1)).await;
    let mut deaf = served.client().await;
    // Pipelined until neither side's buffers take more: the server is stuck writing.
    let requests = "GET /at-once HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    while timeout(Duration::from_millis(50), deaf.try_send(&requests)).await.is_ok_and(|sent| sent) {}
    let free = async || served.client().await.get("/at-once").await.status == 200;
    wait_until("the only place", SOON, free).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_stays_open_while_it_is_read_however_little_it_says() {
    let served = Served::new(Limits::default().idle(Duration::from_millis(20))).await;
    let mut reader = served.asking("/drops").await;
    assert_eq!(reader.answer().await.unwrap().status, 200);
    for _ in 0..3 {
        // One after the other, so that the stream has been silent for several times the limit.
        for _ in 0..2 {
            assert!(served.client().await.answer().await.is_none(), "nothing was sent");
        }
        served.doorman.let_through.add_permits(1);
        assert_eq!(reader.chunk().await.as_deref(), Some("drop"));
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_does_not_keep_a_connection() {
    let served = Served::new(Limits::default().idle(Duration::from_millis(20)).connections(1)).await;
    let mut deaf = served.asking("/flood").await;
    let free = async || served.client().await.get("/at-once").await.status == 200;
    wait_until("the only place", SOON, free).await;
    assert!(deaf.answer().await.is_some() && deaf.breaks_off().await, "it has not ended, it was cut");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_at_once_at_a_shutdown_whether_they_are_read_or_not() {
    let limits = Limits::default().idle(Duration::from_hours(1)).grace(Duration::from_hours(1));
    let served = Served::new(limits).await;
    let (mut reader, deaf) = (served.asking("/drops").await, served.asking("/flood").await);
    assert_eq!(reader.answer().await.unwrap().status, 200);
    served.doorman.let_through.add_permits(1);
    assert_eq!(reader.chunk().await.as_deref(), Some("drop"));
    served.end().await;
    assert_eq!(reader.chunk().await, None, "the end is sent");
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_every_connection_has_a_request_probes_alone_are_answered() {
    let served = Served::new(Limits::default().connections(2)).await;
    let (mut first, _second) = (served.waiting().await, served.waiting().await);
    // More than there are places for probes, so that those that send nothing make room there as well.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(served.client().await);
    }
    for path in ["/healthz", "/readyz"] {
        let mut probe = served.client().await;
        let answer = probe.get(path).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{path}");
        assert!(probe.answer().await.is_none());
    }
    let refused = served.client().await.get("/at-once").await;
    assert_eq!((refused.code(), refused.header("retry-after")), ((503, "too_many_connections".to_owned()), Some("1")));
    assert_eq!(refused.header("connection"), Some("close"));
    served.doorman.let_through.add_permits(2);
    assert_eq!(first.answer().await.unwrap().body, "through", "a request that has begun is never cut off");
    assert_eq!(served.client().await.get("/at-once").await.status, 200, "whoever is answered makes room");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_send_no_request_make_room_for_those_that_do_and_are_driven_out_before_them() {
    let served = Served::new(Limits::default().connections(8).idle(Duration::from_hours(1))).await;
    let mut known = served.client().await;
    assert_eq!(known.get("/at-once").await.status, 200);
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut client = served.client().await;
        client.send("GET /at-once HTTP/1.1\r\nhost: local").await;
        slow.push(client);
    }
    assert_eq!(served.client().await.get("/at-once").await.status, 200);
    assert_eq!(known.get("/at-once").await.status, 200, "whoever was answered stays");
    assert!(slow[0].answer().await.is_none(), "the oldest has made room");
    let newest = slow.last_mut().unwrap();
    newest.send("host\r\n\r\n").await;
    assert_eq!(newest.answer().await.unwrap().status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_own_connection_only() {
    let served = Served::new(Limits::default()).await;
    let (mut other, mut panics) = (served.client().await, served.client().await);
    panics.begin("GET", "/panic", &[], "").await;
    assert!(panics.answer().await.is_none());
    assert_eq!(other.get("/at-once").await.status, 200);
    assert_eq!(served.client().await.get("/at-once").await.status, 200);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_http_are_answered_with_400_and_the_end() {
    let served = Served::new(Limits::default()).await;
    for bytes in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let mut client = served.client().await;
        client.send(bytes).await;
        assert_eq!(client.answer().await.map(|reply| reply.status), Some(400), "{bytes}");
        assert!(client.answer().await.is_none(), "{bytes}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_too_long_are_not_kept() {
    let served = Served::new(Limits::default()).await;
    let mut client = served.client().await;
    client.send(format!("GET /at-once HTTP/1.1\r\nhost: localhost\r\nlong: {}\r\n\r\n", "x".repeat(16_000))).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    client
        .try_send(format!("GET /at-once HTTP/1.1\r\nhost: localhost\r\nlong: {}\r\n\r\n", "x".repeat(16 * 1024)))
        .await;
    // The end may overtake the answer, since not all was read.
    assert!(client.answer().await.is_none_or(|reply| reply.status == 431));
    served.end().await;
}
