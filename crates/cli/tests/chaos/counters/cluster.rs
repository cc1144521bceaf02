//! Nodes of the counter service as processes, which share a database and a NATS server.

use evenfold::database::Database;
use evenfold_testkit::Client;
use evenfold_testkit::NatsServer;
use evenfold_testkit::Serving;
use evenfold_testkit::oracle::{Ledger, Load, Places, Proof};
use evenfold_testkit::proxy::{Proxy, Server, wire_to};
use evenfold_testkit::{SOON, wait_until};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How soon after a fault the others know of a node that it is dead.
const NOTICED: Duration = Duration::from_secs(3);

/// How soon after a fault all counters answer elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(5);

pub struct Cluster {
    pub nats: NatsServer,
    /// None where counters are in memory only.
    database: Option<Database>,
    /// Of each node: where it finds the database, and NATS.
    urls: Vec<(String, String)>,
    nodes: Vec<Option<Serving>>,
    pub places: Places,
    /// What was counted in addition to the load.
    swept: Ledger,
}

impl Cluster {
    /// Nodes that are not started.
    pub fn of(nodes: usize, url: &str) -> Self {
        Self::new(nodes, url, Some(Database::at(url).unwrap()))
    }

    /// Nodes that keep counters in memory only, and are not started.
    pub fn volatile(nodes: usize) -> Self {
        Self::new(nodes, "", None)
    }

    fn new(nodes: usize, url: &str, database: Option<Database>) -> Self {
        let nats = tokio::task::block_in_place(NatsServer::start);
        let urls = vec![(url.to_owned(), nats.url()); nodes];
        let nodes = (0..nodes).map(|_| None).collect();
        Self { nats, database, urls, nodes, places: Places::default(), swept: Ledger::default() }
    }

    pub async fn start(nodes: usize, url: &str) -> Self {
        let mut cluster = Self::of(nodes, url);
        cluster.start_all().await;
        cluster
    }

    pub async fn start_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.spawn(node);
        }
        self.whole().await;
    }

    /// Puts a wire between this node and NATS.
    pub async fn wire_to_nats(&mut self, node: usize) -> Proxy {
        let proxy = Proxy::start(Server::Tcp(self.nats.url().strip_prefix("nats://").unwrap().parse().unwrap())).await;
        self.urls[node].1 = format!("nats://127.0.0.1:{}", proxy.port);
        proxy
    }

    /// Puts a wire between this node and the database.
    pub async fn wire_to_database(&mut self, node: usize) -> Proxy {
        let (proxy, url) = wire_to(&self.urls[node].0).await;
        self.urls[node].0 = url;
        proxy
    }

    pub fn spawn(&mut self, node: usize) {
        let serving = tokio::task::block_in_place(|| self.serving(node));
        self.places.set(node, serving.address);
        self.nodes[node] = Some(serving);
    }

    fn serving(&self, node: usize) -> Serving {
        let (database, nats) = &self.urls[node];
        let storage = match &self.database {
            Some(_) => vec![format!("--database-url={database}"), "--total-partitions=2".to_owned()],
            None => vec!["--volatile".to_owned()],
        };
        let (nats, id) = (format!("--nats-url={nats}"), format!("--node-id=n{node}"));
        let args = ["--shards=16", "--log=info", &nats, &id];
        let args: Vec<&str> = args.into_iter().chain(storage.iter().map(String::as_str)).collect();
        Serving::start(&args, &[])
    }

    /// Starts these nodes and asks those to end, all at the same time, and waits until all of that has happened.
    pub fn change(&mut self, starting: &[usize], ending: &[usize]) {
        let leaving: Vec<Serving> = ending.iter().map(|node| self.nodes[*node].take().unwrap()).collect();
        let (cluster, run) = (&*self, |mut leaving: Serving| ended_well(&mut leaving));
        let started: Vec<Serving> = tokio::task::block_in_place(|| {
            std::thread::scope(|threads| {
                let ends: Vec<_> = leaving.into_iter().map(|leaving| threads.spawn(move || run(leaving))).collect();
                let starts: Vec<_> =
                    starting.iter().map(|node| threads.spawn(move || cluster.serving(*node))).collect();
                for end in ends {
                    end.join().unwrap();
                }
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            })
        });
        for (node, serving) in starting.iter().zip(started) {
            self.places.set(*node, serving.address);
            self.nodes[*node] = Some(serving);
        }
    }

    /// The nodes that run.
    pub fn living(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].is_some()).collect()
    }

    pub fn address(&self, node: usize) -> SocketAddr {
        self.node(node).address
    }

    fn node(&self, node: usize) -> &Serving {
        self.nodes[node].as_ref().unwrap()
    }

    pub fn signal(&self, node: usize, signal: Signal) {
        self.node(node).process.signal(signal);
    }

    pub fn kill(&mut self, node: usize) {
        self.signal(node, Signal::SIGKILL);
        let mut dead = self.nodes[node].take().unwrap();
        dead.process.wait();
        assert!(!dead.process.log().contains("panicked"), "{}", dead.process.log());
    }

    /// Asks it to end, and waits for that. It ends well.
    pub fn terminate(&mut self, node: usize) {
        let mut leaving = self.nodes[node].take().unwrap();
        tokio::task::block_in_place(|| ended_well(&mut leaving));
    }

    /// Waits until every node is ready and sees all others.
    pub async fn whole(&self) {
        let living = self.living();
        for node in &living {
            self.sees(*node, living.len(), SOON).await;
        }
    }

    /// Waits until a node is ready and sees so many members.
    pub async fn sees(&self, node: usize, members: usize, limit: Duration) {
        let serving = self.node(node);
        let line = format!("cluster_members{{node=\"n{node}\"}} {members}");
        wait_until(&format!("node {node} is ready and sees {members} members"), limit, async || {
            serving.metrics().await.lines().any(|other| other.trim_end_matches(".0").ends_with(&line))
                && Client::connect(serving.address).await.get("/readyz").await.status == 200
        })
        .await;
    }

    /// From a node's death on: another one notices it, and answers for all counters, in the time that is promised.
    pub async fn takes_ownership(&mut self, by: usize, members: usize, load: &Load, since: Instant) {
        self.sees_dead(by, members, NOTICED.saturating_sub(since.elapsed())).await;
        println!("noticed after {:?}", since.elapsed());
        let place = self.node(by).address;
        self.swept.add(load.sweep(place, ELSEWHERE.saturating_sub(since.elapsed())).await);
    }

    async fn sees_dead(&self, node: usize, members: usize, limit: Duration) {
        let serving = self.node(node);
        let line = format!("cluster_members{{node=\"n{node}\"}} {members}");
        wait_until(&format!("node {node} sees {members} members"), limit, async || {
            serving.metrics().await.lines().any(|other| other.trim_end_matches(".0").ends_with(&line))
        })
        .await;
    }

    /// Ends the load, and compares all that there is.
    pub async fn prove(self, load: Load) {
        self.whole().await;
        let ledger = load.stop(SOON).await;
        self.prove_all(ledger).await;
    }

    /// Compares what the clients were answered with all that there is.
    pub async fn prove_all(mut self, mut ledger: Ledger) {
        self.whole().await;
        ledger.add(std::mem::take(&mut self.swept));
        let mut conn = self.database.as_ref().unwrap().connect().await.unwrap();
        Proof::of(&ledger, &mut conn, &self.places).await.assert(&ledger);
        for node in self.nodes.iter_mut().flatten() {
            assert!(!node.process.log().contains("panicked"), "{}", node.process.log());
        }
    }
}

/// Asks a node to end, and waits until it has ended well.
fn ended_well(leaving: &mut Serving) {
    let (code, _) = leaving.end(Signal::SIGTERM);
    let log = leaving.process.log();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("not answered") && !log.contains("panicked"), "{log}");
    assert!(!log.contains("leaves with them"), "{log}");
}

/// Waits until the clients have had so many more answers.
pub async fn counted(load: &Load, more: u64) {
    let before = load.answered();
    wait_until("the clients count", SOON, async || load.answered() > before + more).await;
}
