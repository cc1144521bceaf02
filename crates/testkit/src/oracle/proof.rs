//! What must be true when all faults are over.

use super::connection::{AttemptOutcome, Connection, CounterAnswer};
use super::ledger::{Ledger, Logged, judge};
use super::{Places, name};
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long it may take until every node answers again, and the workers have caught up.
const LIMIT: Duration = Duration::from_secs(20);

/// What a load has led to.
#[derive(Debug)]
pub struct Proof {
    pub events: usize,
    pub wrong: Vec<String>,
}

impl Proof {
    /// Compares what the clients were answered, the log, the read model, and what every node answers now.
    pub async fn of(ledger: &Ledger, conn: &mut PgConnection, places: &Places) -> Self {
        let log = read(conn).await;
        let mut wrong = judge(ledger, &log);
        for place in places.all() {
            compare(place, &log, &mut wrong).await;
        }
        let sums: BTreeMap<String, (i64, i64)> = log.iter().map(|(id, events)| (name(*id), last(events))).collect();
        let started = Instant::now();
        while model(conn).await != sums {
            if started.elapsed() > LIMIT {
                wrong.push(format!("the read model is not what the log says: {:?}", model(conn).await));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { events: log.values().map(Vec::len).sum(), wrong }
    }

    /// Fails unless all is as it must be, and something was tested.
    pub fn assert(&self, ledger: &Ledger) {
        println!(
            "acknowledged: {}, in the log: {}, not known: {}, refused: {}, repeated: {}",
            ledger.acknowledged.len(),
            self.events,
            ledger.maybes.len(),
            ledger.refused,
            ledger.repeated
        );
        assert!(
            self.wrong.is_empty(),
            "{} are wrong: {:#?}",
            self.wrong.len(),
            &self.wrong[..self.wrong.len().min(20)]
        );
        assert!(ledger.acknowledged.len() > 100, "hardly anything was answered");
    }
}

async fn read(conn: &mut PgConnection) -> HashMap<u32, Vec<Logged>> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT aggregate_id, version, (payload->>'amount')::bigint FROM evenfold.events
         WHERE aggregate_type = 'counter' ORDER BY aggregate_id, version",
    )
    .fetch_all(conn)
    .await
    .unwrap();
    let mut log: HashMap<u32, Vec<Logged>> = HashMap::new();
    for (id, version, amount) in rows {
        let counter = id.strip_prefix('c').unwrap().parse().unwrap();
        log.entry(counter).or_default().push(Logged { version, amount });
    }
    log
}

/// The value and the version.
fn last(events: &[Logged]) -> (i64, i64) {
    (events.iter().map(|event| event.amount).sum(), events.last().map_or(0, |event| event.version))
}

async fn model(conn: &mut PgConnection) -> BTreeMap<String, (i64, i64)> {
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT aggregate_id, value, version FROM evenfold.counters WHERE aggregate_type = 'counter'")
            .fetch_all(conn)
            .await
            .unwrap();
    rows.into_iter().map(|(id, value, version)| (id, (value, version))).collect()
}

/// What a node answers, once it does.
async fn compare(place: SocketAddr, log: &HashMap<u32, Vec<Logged>>, wrong: &mut Vec<String>) {
    let (started, mut kept) = (Instant::now(), None);
    for (counter, events) in log {
        let request = format!("GET /counter/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", name(*counter));
        let (value, version) = last(events);
        loop {
            match Connection::ask(&mut kept, place, &request, LIMIT).await {
                AttemptOutcome::Counted(answer) if answer == (CounterAnswer { value, version }) => break,
                AttemptOutcome::Nothing | AttemptOutcome::Unknown if started.elapsed() < LIMIT => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => {
                    wrong.push(format!(
                        "{place} says {other:?} of {}: the log says {value} at {version}",
                        name(*counter)
                    ));
                    break;
                }
            }
        }
    }
}
