//! A real Prometheus, with the rules of `deploy/`, asks a real monitor.

use crate::monitor::Monitor;
use crate::programs::with_files;
use crate::support::{Client, Evenfold, SOON, TestDb, append_one, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CONFIGURATION: &str = include_str!("../../../../deploy/prometheus/prometheus.yml");
const RULES: &str = include_str!("../../../../deploy/prometheus/rules.yml");

/// From the kill to the alert.
const RED: Duration = Duration::from_secs(10);

struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Prometheus {
    /// With the configuration of the compose file, and its monitor here.
    async fn start(monitor: SocketAddr) -> Self {
        let configuration = CONFIGURATION.replace("monitor:9600", &monitor.to_string());
        assert_ne!(configuration, CONFIGURATION);
        let directory = with_files(&[("prometheus.yml", &configuration), ("rules.yml", RULES)]);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let listen = format!("--web.listen-address={free}");
        let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", &listen];
        let mut command = Command::new("prometheus");
        command.args(arguments).current_dir(directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("prometheus: `scripts/test --test deploy` installs it");
        let prometheus = Self { child, address: free, _directory: directory };
        wait_until("Prometheus", SOON, async || tokio::net::TcpStream::connect(free).await.is_ok()).await;
        prometheus
    }

    /// The alerts that fire, with what they are about.
    async fn firing(&self) -> Vec<(String, String)> {
        let reply = Client::connect(self.address).await.get("/api/v1/alerts").await;
        let Ok(Value::Object(answer)) = serde_json::from_str(&reply.body) else { return Vec::new() };
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let text = |alert: &Value, label: &str| alert["labels"][label].as_str().unwrap_or_default().to_owned();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| (text(alert, "alertname"), text(alert, "class"))).collect()
    }

    async fn value(&self, query: &str) -> Option<String> {
        let reply = Client::connect(self.address).await.get(&format!("/api/v1/query?query={query}")).await;
        let answer: Value = serde_json::from_str(&reply.body).ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn worker(db: &TestDb, key: &str) -> Evenfold {
    Evenfold::spawn(&["worker", key, "--total-partitions=2", "--database-url", &db.url])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_is_an_alert_within_ten_seconds_and_none_any_more_when_there_is_another() {
    let db = TestDb::new().await;
    append_one(&mut db.connect().await, "a", 1).await;
    let (mut killed, _other) = (worker(&db, "--partition-key=0"), worker(&db, "--partition-key=1"));
    let monitor = Monitor::start(&db);
    let prometheus = Prometheus::start(monitor.address).await;
    let up = "count(evenfold_projection_worker_up==1)";
    wait_until("both to be at work", SOON, async || prometheus.value(up).await.as_deref() == Some("2")).await;
    wait_until("no alert", SOON, async || prometheus.firing().await.is_empty()).await;

    let nobody = ("EvenfoldNobodyAtWork".to_owned(), "0/2".to_owned());
    killed.signal(Signal::SIGKILL);
    killed.wait();
    let begun = Instant::now();
    wait_until("the alert", RED, async || prometheus.firing().await.contains(&nobody)).await;
    println!("an alert {:.1} s after the kill", begun.elapsed().as_secs_f64());
    assert_eq!(prometheus.firing().await, [nobody], "of nothing else");
    let _again = worker(&db, "--partition-key=0");
    wait_until("the end of it", SOON, async || prometheus.firing().await.is_empty()).await;

    monitor.process.signal(Signal::SIGKILL);
    let away = ("EvenfoldMonitorAway".to_owned(), String::new());
    wait_until("the other alert", SOON, async || prometheus.firing().await == [away.clone()]).await;
}
