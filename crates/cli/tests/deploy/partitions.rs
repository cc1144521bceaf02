//! From 4 partitions to 8, with processes in the order in which Kubernetes starts and stops pods: what
//! `docs/guide/operating.md` says of it.

use crate::support::cli::run_at;
use crate::support::{Client, Evenfold, SOON, TestDb, append_one, counted, wait_until};
use nix::sys::signal::Signal;
use sqlx::PgConnection;
use std::net::SocketAddr;

/// A pod: a worker whose probes are asked.
struct Pod {
    process: Evenfold,
}

impl Pod {
    fn start(db: &TestDb, key: &str, total: &str) -> Self {
        let (key, total) = (format!("--partition-key={key}"), format!("--total-partitions={total}"));
        let args = ["worker", &key, &total, "--http=127.0.0.1:0", "--database-url", &db.url];
        Self { process: Evenfold::spawn(&args) }
    }

    fn address(&self) -> Option<SocketAddr> {
        self.process.logged_address()
    }

    /// A pod that has ended is started again by the kubelet, and not ready until then.
    async fn is_ready(&self) -> bool {
        let Some(address) = self.address() else { return false };
        let Ok(stream) = tokio::net::TcpStream::connect(address).await else { return false };
        drop(stream);
        Client::connect(address).await.get("/readyz").await.status == 200
    }

    async fn ready(&self, what: &str) {
        wait_until(what, SOON, async || self.is_ready().await).await;
    }

    /// Its number of partitions was replaced: it has ended and named why, and the kubelet starts it again.
    async fn restarted(&mut self, db: &TestDb, key: &str) {
        let mut ended = None;
        wait_until("an old pod to be superseded", SOON, async || {
            ended = self.process.ended();
            ended.is_some()
        })
        .await;
        let log = self.process.log();
        assert!(ended == Some(1) && log.contains("superseded: the projection counters has gone on with 8"), "{log}");
        *self = Self::start(db, key, "4");
        self.ready("an old pod that waits").await;
        let process = &self.process;
        wait_until("the reason why it waits", SOON, async || process.log().contains("waiting, to take over when"))
            .await;
    }

    /// Ends it as the kubelet does. It may have ended before: its number of partitions was replaced.
    fn stop(mut self) {
        if self.process.ended().is_none() {
            self.process.signal(Signal::SIGTERM);
            self.process.wait();
        }
    }
}

/// Appends so many events, and gives how many there are.
async fn written(conn: &mut PgConnection, before: i64) -> i64 {
    for n in 0..25 {
        append_one(conn, &format!("a{}", (before + n) % 97), 1).await;
    }
    before + 25
}

async fn begun(db: &TestDb, conn: &mut PgConnection, key: impl Fn(usize) -> String) -> (Vec<Pod>, i64) {
    let pods: Vec<Pod> = (0..4).map(|n| Pod::start(db, &key(n), "4")).collect();
    for pod in &pods {
        pod.ready("a pod of four").await;
    }
    let events = written(conn, 0).await;
    wait_until("the first events", SOON, async || counted(conn).await == events).await;
    (pods, events)
}

/// Everything is applied once, by eight, of whom each has its partition.
async fn ended(db: &TestDb, conn: &mut PgConnection, pods: Vec<Pod>, events: i64) {
    for pod in &pods {
        pod.ready("a pod of eight").await;
    }
    wait_until("all events", SOON, async || counted(conn).await == events).await;
    wait_until("a worker for each class", SOON, async || run_at(db, &["status", "--check"]).code == 0).await;
    let status: serde_json::Value = serde_json::from_str(run_at(db, &["status", "--json"]).fine()).unwrap();
    assert_eq!((&status["total_partitions"], &status["cover_complete"]), (&8.into(), &true.into()), "{status}");
    assert_eq!(status["classes"].as_array().unwrap().len(), 8, "{status}");
    run_at(db, &["verify"]).fine();
    pods.into_iter().for_each(Pod::stop);
}

/// A Deployment with `maxSurge: 25%` and `maxUnavailable: 0`, of 4 replicas that are to be 8: at most 10 pods, of which
/// 8 are ready before an old one goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_goes_from_four_to_eight_while_events_are_written_and_nothing_is_lost() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (mut old, mut events) = begun(&db, &mut conn, |_| "auto".to_owned()).await;
    let mut new: Vec<Pod> = (0..6).map(|_| Pod::start(&db, "auto", "8")).collect();
    for pod in &new {
        pod.ready("a new pod").await;
    }
    for pod in &mut old {
        pod.restarted(&db, "auto").await;
    }
    events = written(&mut conn, events).await;
    for _ in 0..2 {
        old.pop().unwrap().stop();
        old.pop().unwrap().stop();
        if new.len() < 8 {
            let more: Vec<Pod> = (0..2).map(|_| Pod::start(&db, "auto", "8")).collect();
            for pod in &more {
                pod.ready("a pod in place of an old one").await;
            }
            new.extend(more);
        }
        events = written(&mut conn, events).await;
    }
    ended(&db, &mut conn, new, events).await;
}

/// A `StatefulSet` first makes the pods 4 to 7, all at once, and then replaces 3, 2, 1 and 0, each when the one before
/// it is ready.
#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_goes_from_four_to_eight_while_events_are_written_and_nothing_is_lost() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let (mut old, mut events) = begun(&db, &mut conn, |n| n.to_string()).await;
    let mut new: Vec<Pod> = (4..8).map(|n| Pod::start(&db, &n.to_string(), "8")).collect();
    for pod in &new {
        pod.ready("a pod from 4 to 7").await;
    }
    for (n, pod) in old.iter_mut().enumerate() {
        pod.restarted(&db, &n.to_string()).await;
    }
    events = written(&mut conn, events).await;
    for n in [3, 2, 1, 0] {
        old.pop().unwrap().stop();
        let pod = Pod::start(&db, &n.to_string(), "8");
        pod.ready("the pod that takes its place").await;
        new.push(pod);
        events = written(&mut conn, events).await;
    }
    ended(&db, &mut conn, new, events).await;
}
