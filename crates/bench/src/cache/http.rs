//! The service over loopback, against an axum handler that answers the same bytes whatever it is asked.

use super::args::{CacheArgs, figure};
use crate::client::{Seen, Sender, Until, load};
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use evenfold_cache::http::{CacheService, ServiceOptions};
use evenfold_cache::{Cache, CacheOptions};
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::stats::percentile;
use evenfold_http::{Limits, serve};
use indicatif::ProgressBar;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How many things are measured in each run.
pub(super) const STEPS: u64 = 4;

/// The goal for 95 of 100 answers, in milliseconds.
const P95_MS: f64 = 25.0;

/// Keys in use.
const KEYS: u32 = 1000;

/// What the service answers to a GET, and the yardstick to everything.
const ANSWER: &str =
    r#"{"value":"a value of about as many bytes as a session has: 0123456789","type":"string","version":1000}"#;
const BODY: &str = r#"{"value":"a value of about as many bytes as a session has: 0123456789"}"#;

#[derive(Debug, Clone, Copy)]
enum Method {
    Get,
    Put,
}

impl Method {
    fn request(self, number: u32) -> Vec<u8> {
        let key = number % KEYS;
        match self {
            Self::Get => format!("GET /v1/kv/key-{key} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            Self::Put => format!(
                "PUT /v1/kv/key-{key} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
                BODY.len()
            ),
        }
        .into_bytes()
    }
}

pub(super) async fn measure(args: &CacheArgs, steps: &ProgressBar) -> anyhow::Result<Vec<Figure>> {
    let (cache, _cache) = service(args.connections).await?;
    let (constant, _constant) = handler().await?;
    let (mut get, mut put) = (Measured::default(), Measured::default());
    for _ in 0..args.runs.runs {
        // So that each GET finds its key.
        for (method, measured) in [(Method::Put, &mut put), (Method::Get, &mut get)] {
            let senders = || (0..args.connections).map(|number| Sender::of(method.request(number)));
            let time = Until::Time(args.time());
            measured.yardstick.push(load(constant, senders(), time).await?.rate);
            steps.inc(1);
            let Seen { rate, latencies, .. } = load(cache, senders(), time).await?;
            measured.rates.push(rate);
            measured.p95.extend(percentile(&latencies, 0.95));
            steps.inc(1);
        }
    }
    Ok([("GET", get, 0.85), ("PUT", put, 0.7)]
        .into_iter()
        .flat_map(|(name, of, least)| of.figures(name, least))
        .collect())
}

#[derive(Default)]
struct Measured {
    rates: Vec<f64>,
    p95: Vec<f64>,
    yardstick: Vec<f64>,
}

impl Measured {
    fn figures(self, name: &str, least: f64) -> [Figure; 2] {
        let limit = vec![P95_MS; self.p95.len()];
        [
            figure(name, Unit::PerSecond, &self.rates, "a constant", self.yardstick, Goal::AtLeast(least)),
            figure(&format!("{name}: p95"), Unit::Milliseconds, &self.p95, "the limit", limit, Goal::AtMost(1.0)),
        ]
    }
}

/// The service, which ends with the guard.
async fn service(connections: u32) -> anyhow::Result<(SocketAddr, DropGuard)> {
    let (listener, address, stop) = listen().await?;
    let options = CacheOptions::default().max_shard_mailbox(4000);
    let options_of_service = ServiceOptions::default()
        // The load is to be served, not refused.
        .max_inflight(connections as usize)
        .request_timeout(options.request_timeout)
        .max_item_bytes(options.max_item_bytes);
    let service = CacheService::new(Cache::start(options).await?, options_of_service);
    let ended = stop.clone().cancelled_owned();
    tokio::spawn(serve(listener, service, Limits::default(), ended));
    Ok((address, stop.drop_guard()))
}

/// The yardstick, which ends with the guard.
async fn handler() -> anyhow::Result<(SocketAddr, DropGuard)> {
    let (listener, address, stop) = listen().await?;
    let answer = || ([(CONTENT_TYPE, "application/json")], ANSWER);
    let methods = get(move || async move { answer() }).put(move |_: Bytes| async move { answer() });
    let router = Router::new().route("/v1/kv/{key}", methods);
    let ended = stop.clone().cancelled_owned();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(ended).await {
            tracing::error!(%error, "the handler to compare with has ended");
        }
    });
    Ok((address, stop.drop_guard()))
}

async fn listen() -> anyhow::Result<(TcpListener, SocketAddr, CancellationToken)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address, CancellationToken::new()))
}
