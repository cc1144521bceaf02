//! One client: random counters, random amounts, at random nodes, and never two answers to one increment.

use super::connection::{AttemptOutcome, Connection, CounterAnswer};
use super::ledger::Ledger;
use super::plan::{Places, Shared, name};
use fastrand::Rng;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use uuid::Uuid;

/// Before what was not answered is tried again: a node that is not there refuses at once.
const PAUSE: Duration = Duration::from_millis(25);

pub(super) struct OracleClient {
    shared: Arc<Shared>,
    places: Places,
    random: Rng,
    connections: HashMap<SocketAddr, Option<Connection>>,
    ledger: Ledger,
}

impl OracleClient {
    pub(super) fn new(shared: Arc<Shared>, places: Places, seed: u64) -> Self {
        Self { shared, places, random: Rng::with_seed(seed), connections: HashMap::new(), ledger: Ledger::default() }
    }

    pub(super) async fn run(mut self) -> Ledger {
        while !self.shared.stop.is_cancelled() {
            let counter = self.random.u32(..self.shared.plan.counters);
            if self.random.u8(..4) == 0 {
                self.read(counter).await;
            } else {
                let key = (self.shared.plan.keys && self.random.bool()).then(|| self.key());
                self.increment(counter, key).await;
            }
        }
        self.ledger
    }

    /// One increment, until it is answered.
    pub(super) async fn once(mut self, counter: u32) -> Ledger {
        let key = self.key();
        self.increment(counter, Some(key)).await;
        self.ledger
    }

    async fn ask(&mut self, request: &str) -> AttemptOutcome {
        let places = self.places.all();
        let to = places[self.random.usize(..places.len())];
        let kept = self.connections.entry(to).or_default();
        Connection::ask(kept, to, request, self.shared.plan.patience).await
    }

    fn floor(&self, counter: u32) -> i64 {
        self.shared.floors[counter as usize].load(Ordering::SeqCst)
    }

    /// From now on, whoever asks gets this version or a newer one.
    fn observe(&mut self, counter: u32, answer: CounterAnswer) {
        if self.shared.plan.fresh {
            self.shared.floors[counter as usize].fetch_max(answer.version, Ordering::SeqCst);
        }
        if let Some(before) = self.ledger.observed.insert((counter, answer.version), answer.value)
            && before != answer.value
        {
            let name = name(counter);
            self.ledger
                .contradicts(format!("{name} stood at {before} and at {} by version {}", answer.value, answer.version));
        }
    }

    async fn read(&mut self, counter: u32) {
        let floor = self.floor(counter);
        let request = format!("GET /counter/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", name(counter));
        match self.ask(&request).await {
            AttemptOutcome::Counted(answer) => {
                if answer.version < floor {
                    let name = name(counter);
                    self.ledger
                        .contradicts(format!("stale: {name} was read at version {} after {floor}", answer.version));
                }
                self.observe(counter, answer);
            }
            AttemptOutcome::Wrong(answer) => self.ledger.wrong(answer),
            AttemptOutcome::Nothing | AttemptOutcome::Unknown => tokio::time::sleep(PAUSE).await,
        }
    }

    async fn increment(&mut self, counter: u32, key: Option<String>) {
        let amount = match self.random.i64(-5..20) {
            0 => 20,
            amount => amount,
        };
        let header = key.as_ref().map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        let body = format!("{{\"amount\":{amount}}}");
        let request = format!(
            "POST /counter/{}/increment HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{header}\r\n{body}",
            name(counter),
            body.len()
        );
        self.shared.pending.fetch_add(1, Ordering::Relaxed);
        self.repeat(counter, amount, &request, key.is_some()).await;
        self.shared.pending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Until it is answered, if it has a key.
    async fn repeat(&mut self, counter: u32, amount: i64, request: &str, key: bool) {
        let mut first = true;
        loop {
            let floor = self.floor(counter);
            match self.ask(request).await {
                AttemptOutcome::Counted(answer) => {
                    // One that was repeated may be older than what was answered meanwhile.
                    if first && answer.version <= floor {
                        let name = name(counter);
                        self.ledger
                            .contradicts(format!("stale: {name} was given version {} after {floor}", answer.version));
                    }
                    self.observe(counter, answer);
                    self.shared.answered.fetch_add(1, Ordering::Relaxed);
                    return self.ledger.answered(counter, amount, answer);
                }
                AttemptOutcome::Wrong(answer) => return self.ledger.wrong(answer),
                AttemptOutcome::Nothing if !key => {
                    self.ledger.refused += 1;
                    return;
                }
                AttemptOutcome::Unknown if !key => return self.ledger.maybes.push((counter, amount)),
                AttemptOutcome::Nothing => {}
                AttemptOutcome::Unknown => first = false,
            }
            self.ledger.repeated += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn key(&mut self) -> String {
        let uuid = Uuid::from_u128(self.random.u128(..));
        if self.random.bool() { uuid.to_string() } else { format!("order-{uuid}") }
    }
}
