//! What is exported by OTLP, as a collector of OpenTelemetry receives it.
//!
//! `scripts/test` installs the collector.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets an error has failed, and should say where"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod collector;

use collector::{Collector, Span, free_port};
use evenfold::NewEvent;
use evenfold::log::append;
use evenfold_testkit::cli::{CliOutput, finish};
use evenfold_testkit::{Evenfold, SOON, Serving, TestDb, append_one, wait_until};
use nix::sys::signal::Signal;
use serde_json::json;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const ONE: [&str; 4] = ["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up"];
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

async fn collector() -> Collector {
    let collector = Collector::start();
    wait_until("the collector", SOON, async || collector.listens()).await;
    collector
}

fn worker(db: &TestDb, variables: &[(&str, &str)]) -> CliOutput {
    let mut command = Evenfold::command(&ONE);
    command.env("DATABASE_URL", &db.url).envs(variables.iter().copied());
    finish(command)
}

/// An event that was caused by this span of a trace.
fn caused(id: &str, trace: u32, span: u32) -> NewEvent {
    let traceparent = format!("00-{trace:032x}-{span:016x}-01");
    let event = NewEvent::new("t", id, "added", &json!({ "amount": 1 })).unwrap();
    event.with_metadata(&json!({ "user": "somebody", "traceparent": traceparent })).unwrap()
}

fn link(trace: u32, span: u32) -> (String, String) {
    (format!("{trace:032x}"), format!("{span:016x}"))
}

/// Increments a counter as a part of the trace of somebody else; the event's metadata.
async fn increment(serving: &Serving, db: &TestDb, traceparent: &str) -> serde_json::Value {
    let headers = [("traceparent", traceparent)];
    let reply = serving.client().await.ask("POST", "/counter/a/increment", &headers, "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let newest = "SELECT metadata::text FROM evenfold.events ORDER BY position DESC LIMIT 1";
    let metadata: String = sqlx::query_scalar(newest).fetch_one(&mut db.connect().await).await.unwrap();
    serde_json::from_str(&metadata).unwrap()
}

/// The names of the spans in this one.
fn below(collector: &Collector, batch: &Span) -> Vec<String> {
    let below = collector.spans().into_iter().filter(|span| span.parent == batch.id && span.trace == batch.trace);
    let mut below: Vec<String> = below.map(|Span { name, .. }| name).collect();
    below.sort();
    below
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_a_span_that_is_linked_to_what_has_caused_its_events_each_once() {
    let (db, mut collector) = (TestDb::new().await, collector().await);
    let mut conn = db.connect().await;
    let events = [caused("a", 7, 8), caused("a", 7, 8), caused("b", 9, 10)];
    append(&mut conn, &events).await.unwrap();
    append_one(&mut conn, "c", 1).await;
    let other = NewEvent::new("t", "d", "added", &json!({ "amount": 1 })).unwrap();
    append(&mut conn, &[other.with_metadata(&json!({ "traceparent": "nonsense" })).unwrap()]).await.unwrap();
    let attributes = "deployment.environment.name=test";
    let variables =
        [(ENDPOINT, &*collector.endpoint), ("OTEL_SERVICE_NAME", "orders"), ("OTEL_RESOURCE_ATTRIBUTES", attributes)];
    worker(&db, &variables).fine();
    let bad = NewEvent::new("t", "bad", "added", &json!({ "amount": "many" })).unwrap();
    append(&mut conn, &[bad]).await.unwrap();
    worker(&db, &variables).fine();
    collector.end();
    let batches = collector.spans_of("batch");
    let [batch, parked] = batches.as_slice() else { panic!("{batches:#?}") };
    assert_eq!(batch.links(), [link(7, 8), link(9, 10)], "{batch:#?}");
    for (name, value) in [("projection", "Str(counters)"), ("partition", "Str(0/1)"), ("events", "Int(5)")] {
        assert_eq!(batch.attribute(name), Some(value), "{name}: {batch:#?}");
    }
    assert_eq!(batch.attribute("last_position"), Some("Int(5)"), "{batch:#?}");
    // Counters that are written in one statement are committed by it.
    assert_eq!(below(&collector, batch), ["apply"], "{}", collector.printed());
    assert_eq!(below(&collector, parked), ["apply", "apply", "commit"], "{}", collector.printed());
    let printed = collector.printed();
    assert!(printed.contains("service.name: Str(orders)"), "{printed}");
    assert!(printed.contains("deployment.environment.name: Str(test)"), "{printed}");
    assert!(collector.spans_of("worker").is_empty(), "it would be one trace of everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_32_links_at_most() {
    let (db, mut collector) = (TestDb::new().await, collector().await);
    let events: Vec<NewEvent> = (1..=50).map(|n| caused("a", n, n)).collect();
    append(&mut db.connect().await, &events).await.unwrap();
    worker(&db, &[(ENDPOINT, &collector.endpoint)]).fine();
    collector.end();
    let links: Vec<_> = (1..=32).map(|n| link(n, n)).collect();
    assert_eq!(collector.spans_of("batch")[0].links(), links, "the first ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_in_the_trace_of_whoever_asks_and_the_batch_that_folds_its_event_is_linked_to_it() {
    let (db, mut collector) = (TestDb::new().await, collector().await);
    let endpoint = collector.endpoint.clone();
    let variables = [("DATABASE_URL", &*db.url), (ENDPOINT, &*endpoint)];
    let mut serving = Serving::start(&["--total-partitions=1"], &variables);
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let metadata = increment(&serving, &db, &format!("00-{trace}-{parent}-01")).await;
    let passed = metadata["traceparent"].as_str().unwrap().to_owned();
    assert!(passed.starts_with(&format!("00-{trace}-")) && !passed.contains(parent), "{passed}: the request's own");
    let folded = async || {
        let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM evenfold.counters");
        rows.fetch_one(&mut db.connect().await).await.unwrap() == 1
    };
    wait_until("the event to be folded", SOON, folded).await;
    assert_eq!(serving.end(Signal::SIGTERM).0, 0);
    collector.end();
    let requests = collector.spans_of("request");
    let [request] = requests.as_slice() else { panic!("{requests:#?}") };
    assert_eq!((&*request.trace, &*request.parent), (trace, parent), "{request:#?}");
    assert_eq!(passed.split('-').nth(2), Some(&*request.id), "{request:#?}");
    assert_eq!(request.attribute("http.route"), Some("Str(/counter/{id}/increment)"), "{request:#?}");
    assert_eq!(request.attribute("http.response.status_code"), Some("Int(200)"), "{request:#?}");
    let linked = collector.spans_of("batch").iter().any(|batch| batch.links() == [(trace.into(), request.id.clone())]);
    assert!(linked, "{}", collector.printed());
}

/// What comes after the last line with this in it, up to the next figure.
fn figure(printed: &str, name: &str) -> String {
    let rest = printed.rsplit_once(name).map(|(_, rest)| rest).unwrap_or_default();
    rest.split("Metric #").next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_have_done_is_exported_under_the_names_that_prometheus_gets_also_what_comes_last() {
    let (db, collector) = (TestDb::new().await, collector().await);
    let mut conn = db.connect().await;
    append_one(&mut conn, "a", 1).await;
    let mut command = Evenfold::command(&ONE[..3]);
    command.envs([("DATABASE_URL", &*db.url), (ENDPOINT, &*collector.endpoint)]);
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "500");
    let mut process = Evenfold::start(command);
    let shows = |name: &str, parts: &[&str]| {
        let figure = figure(&collector.printed(), name);
        parts.iter().all(|part| figure.contains(part))
    };
    let first = ["projection: Str(counters)", "class: Str(0/1)", "Value: 1\n"];
    wait_until("the first event", SOON, async || shows("evenfold_worker_applied_events", &first)).await;
    wait_until("the phase", SOON, async || shows("evenfold_worker_phase", &["phase: Str("])).await;
    append_one(&mut conn, "a", 1).await;
    wait_until("one more to be applied", SOON, async || process.log().contains("applied_total=2")).await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait(), 0);
    wait_until("what comes last", SOON, async || shows("evenfold_worker_applied_events", &["Value: 2\n"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_is_one_line_and_everything_is_applied() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    for n in 1..=200 {
        append_one(&mut conn, "a", n).await;
    }
    let endpoint = format!("http://{}", free_port());
    let mut command = Evenfold::command(&[&ONE[..], &["--batch-size=1", "--log=warn"]].concat());
    // Exported again and again meanwhile.
    command.envs([("DATABASE_URL", &*db.url), (ENDPOINT, &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "5")]);
    let output: CliOutput = finish(command);
    output.fine();
    let lines: Vec<&str> = output.err.lines().filter(|line| line.contains("OpenTelemetry")).collect();
    assert_eq!(lines.len(), 1, "{output:#?}");
    assert!(lines[0].contains("are not exported"), "{output:#?}");
    assert_eq!(output.err.lines().count(), 1, "{output:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_delays_nothing_but_the_end_and_that_by_5_seconds_at_most() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    // Connections are taken by the kernel, and by nobody else.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut command = Evenfold::command(&ONE);
    command.envs([("DATABASE_URL", &*db.url), (ENDPOINT, &*endpoint)]);
    let mut process = Evenfold::start(command);
    wait_until("everything to be applied", SOON, async || process.log().contains(" stopped ")).await;
    let since = Instant::now();
    assert_eq!(process.wait(), 0);
    // The rest is for a machine that is busy with other tests.
    assert!(since.elapsed() < Duration::from_secs(5 + 5), "{:?}", since.elapsed());
}

#[test]
fn variables_that_can_not_be_followed_are_one_sentence() {
    let refused = |name: &str, value: &str, phrase: &str| {
        let mut command = Evenfold::command(&ONE);
        command.envs([(ENDPOINT, "http://127.0.0.1:1"), (name, value)]);
        finish(command).complains(2, phrase);
    };
    refused("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "evenfold exports by http/protobuf");
    refused(ENDPOINT, "collector.example:4318", "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL");
}
