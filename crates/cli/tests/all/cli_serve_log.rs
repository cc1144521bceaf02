//! What `serve` logs when it starts and ends, and when the cluster changes.

use crate::support::{NatsServer, SOON, Serving, wait_until};
use nix::sys::signal::Signal;

/// The lines that have this in them.
fn with<'a>(log: &'a str, part: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(part)).collect()
}

/// It is the last line of a start.
async fn started(serving: &Serving) {
    wait_until("the start to be logged", SOON, async || serving.process.log().contains(" started ")).await;
}

async fn members(serving: &Serving, count: usize) {
    let all = format!("}} {count}.0");
    wait_until("all nodes to see all", SOON, async || {
        let metrics = serving.metrics().await;
        let mut seen = metrics.lines().filter(|line| line.starts_with("evenfold_counter_cluster_members{"));
        seen.clone().count() > 0 && seen.all(|line| line.ends_with(&all))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_an_end_are_one_line_per_node_and_one_for_the_process() {
    let nats = NatsServer::start();
    let url = nats.url();
    let mut serving = Serving::start(&["--volatile", "--nodes=7", "--nats-url", &url], &[]);
    started(&serving).await;
    members(&serving, 7).await;
    let start = serving.process.log();
    assert_eq!((with(&start, " joining ").len(), with(&start, " started ").len()), (7, 1), "{start}");
    assert_eq!(start.lines().count(), 8, "{start}");
    assert_eq!(serving.end(Signal::SIGTERM).0, 0);
    let log = serving.process.log();
    let end = &log[start.len()..];
    assert_eq!((with(end, " left the cluster ").len(), with(end, " stopped").len()), (7, 1), "{end}");
    assert_eq!(end.lines().count(), 9, "that it is to finish, as well: {end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_by_itself_logs_one_line_at_the_start_and_two_at_the_end() {
    let mut serving = Serving::start(&["--volatile"], &[]);
    started(&serving).await;
    assert_eq!(serving.process.log().lines().count(), 1, "{}", serving.process.log());
    assert_eq!(serving.end(Signal::SIGTERM).0, 0);
    assert_eq!(serving.process.log().lines().count(), 3, "{}", serving.process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_other_processes_that_come_and_go_are_logged_once() {
    let nats = NatsServer::start();
    let url = nats.url();
    let start = |name: &str| {
        let args = ["--volatile", "--nodes=2", "--nats-url", &url, "--node-id", name];
        Serving::start(&args, &[("RUST_LOG", "debug")])
    };
    let (one, mut two) = (start("one"), start("two"));
    members(&one, 4).await;
    let changed = "the other nodes of the cluster have changed others=";
    let known = r#"others={"two-1", "two-2"}"#;
    wait_until("the others to be known", SOON, async || one.process.log().contains(known)).await;
    assert_eq!(two.end(Signal::SIGTERM).0, 0);
    wait_until("the others to be gone", SOON, async || one.process.log().contains("others={}")).await;
    let log = one.process.log();
    let infos: Vec<&str> = with(&log, changed).into_iter().filter(|line| line.contains(" INFO ")).collect();
    // They come and go one after the other.
    assert!((2..=4).contains(&infos.len()), "{infos:#?}");
    assert!(with(&log, " DEBUG the members have changed ").len() >= 4, "the rest is there for who asks: {log}");
}

/// A connection is tried again ten times a second.
#[tokio::test(flavor = "multi_thread")]
async fn why_there_is_no_connection_to_nats_is_logged_once_for_each_reason_and_that_there_is_one_again() {
    let with_password = |password: &str| format!("authorization {{ user: node, password: {password} }}");
    let mut nats = NatsServer::configured(&with_password("one"));
    let url = format!("nats://node:one@{}", nats.address());
    let mut serving = Serving::start(&["--volatile", "--nats-url", &url], &[]);
    let logs = async |phrase: &str, times: usize| {
        let logged = async || serving.process.log().matches(phrase).count() >= times;
        wait_until(phrase, SOON, logged).await;
    };
    nats.kill();
    logs("a heartbeat was not acknowledged", 2).await;
    nats.restart_configured(&with_password("two"));
    logs("authorization violation", 1).await;
    logs("a heartbeat was not acknowledged", serving.process.log().matches("was not acknowledged").count() + 2).await;
    nats.restart_configured(&with_password("one"));
    logs("connected to NATS again", 1).await;
    let log = serving.process.log();
    let reasons = with(&log, "no connection to NATS yet, trying again until there is one: ");
    assert_eq!(reasons.len(), 2, "{log}");
    assert!(reasons[0].ends_with("IO error") && reasons[1].ends_with("authorization violation"), "{reasons:?}");
    assert!(!log.contains("ERROR"), "nothing that the client of NATS logs by itself: {log}");
    assert_eq!(serving.end(Signal::SIGTERM).0, 0);
}
