//! Real workers and a real PostgreSQL, killed, stopped, doubled and replaced at random while events are written: in the
//! end every event that was acknowledged is in the log, and applied exactly once.
//!
//! The counter service is tested in the same way, with an oracle around it: see `counters`. Servers that are replaced
//! by others are in `failover`, logs that others write in `foreign`.
//!
//! `CHAOS_SECONDS` says for how long (120), `CHAOS_SEED` with which schedule of faults (a new one).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets an error has failed, and should say where")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod counters;
mod crew;
mod failover;
mod foreign;
mod schedule;
mod server;
mod writers;

use crew::Crew;
use evenfold::checkpoint::status;
use evenfold::counters::{NAME, mismatches};
use evenfold::database::Database;
use evenfold::schema::{self, Schema};
use evenfold_testkit::{Evenfold, SOON, wait_until};
use schedule::{Fault, Schedule};
use server::Server;
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use writers::{Pace, Writers, Written};

struct Chaos {
    server: Server,
    database: Database,
    crew: Crew,
    crashes: u64,
    verified: u64,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_stopped_doubled_or_replaced_every_acknowledged_event_is_applied_once() {
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = number("CHAOS_SECONDS").unwrap_or(120);
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    let server = tokio::task::block_in_place(Server::start);
    let database = Database::at(&server.url).unwrap();
    schema::migrate(&Schema::default(), &mut database.connect_to_server().await.unwrap().0).await.unwrap();
    let crew = Crew::new(&server.url).in_sql();
    let mut chaos = Chaos { server, database, crew, crashes: 0, verified: 0 };
    let writers = Writers::start(&chaos.database, seed, &Pace::DENSE);
    chaos.crew.start(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut schedule = Schedule::new(seed);
    while Instant::now() < end {
        let (pause, fault) = schedule.next();
        tokio::time::sleep(pause).await;
        chaos.meet(fault).await;
    }
    let written = tokio::time::timeout(2 * SOON, writers.stop()).await.unwrap();
    chaos.crew.finish(4 * SOON).await;
    chaos.prove(&written).await;
    chaos.report(&written);
}

impl Chaos {
    async fn meet(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { pick } => self.crew.kill(pick),
            Fault::Terminate { pick } => self.crew.terminate(pick),
            Fault::Freeze { pick, time } => self.crew.freeze(pick, time),
            Fault::Duplicate { pick } => self.crew.duplicate(pick),
            Fault::Crash { .. } => {
                self.server.crash().await;
                self.crashes += 1;
            }
            Fault::Change { keys, pauses } => {
                self.crew.change(u32::try_from(keys.len()).unwrap());
                for (key, pause) in keys.into_iter().zip(pauses) {
                    self.crew.start(key);
                    tokio::time::sleep(pause).await;
                }
            }
            Fault::Verify => self.verify().await,
        }
        self.crew.tend();
    }

    async fn connect(&self) -> PgConnection {
        let mut conn = None;
        wait_until("a connection", SOON, async || match self.database.connect().await {
            Ok(connected) => {
                conn = Some(connected);
                true
            }
            // What it was that did not pass is shown with the test that fails for it.
            Err(error) => {
                println!("no connection: {error}");
                false
            }
        })
        .await;
        conn.unwrap()
    }

    /// While workers run: the counters are what the checkpoints say, and the checkpoints are an exact cover.
    async fn verify(&mut self) {
        let mut conn = self.connect().await;
        let differ = mismatches(&Schema::default(), &mut conn, &"/amount".parse().unwrap(), 10).await.unwrap();
        assert!(differ.is_empty(), "{differ:#?}");
        let status = status(&Schema::default(), &mut conn, NAME).await.unwrap();
        assert!(status.classes.is_empty() || status.cover_complete, "{status:#?}");
        self.verified += 1;
    }

    async fn prove(&mut self, written: &Written) {
        self.verify().await;
        let verify = Evenfold::run(&["verify", "--database-url", &self.server.url], "");
        assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
        let mut conn = self.connect().await;
        let status = status(&Schema::default(), &mut conn, NAME).await.unwrap();
        assert_eq!(status.classes.len(), self.crew.total as usize, "{status:#?}");
        assert!(status.classes.iter().all(|class| class.behind == 0), "{status:#?}");
        for some in written.acknowledged.chunks(10_000) {
            let there: i64 = sqlx::query_scalar("SELECT count(*) FROM evenfold.events WHERE event_id = ANY ($1)")
                .bind(some)
                .fetch_one(&mut conn)
                .await
                .unwrap();
            assert_eq!(there, i64::try_from(some.len()).unwrap(), "acknowledged, and not in the log");
        }
        let acknowledged = i64::try_from(written.acknowledged.len()).unwrap();
        let counts: (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM evenfold.events), (SELECT coalesce(sum(events), 0)::bigint FROM evenfold.counters),
                 (SELECT count(*) FROM evenfold.parked_events)",
        )
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert_eq!(counts, (acknowledged, acknowledged, 0), "in the log, applied, and parked");
        let in_sql: (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM timeline JOIN evenfold.events USING (position)),
                 (SELECT count(*) FROM (SELECT aggregate_type, aggregate_id, events, value, version FROM evenfold.counters
                  EXCEPT SELECT aggregate_type, aggregate_id, events, value, version FROM totals) AS otherwise)",
        )
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert_eq!(in_sql, (acknowledged, 0), "rows of the timeline, and totals that are not the counters'");
    }

    fn report(&self, written: &Written) {
        println!("events acknowledged: {}", written.acknowledged.len());
        println!("transactions rolled back: {}", written.rolled_back);
        println!("commits that were cut off and had happened: {}", written.found);
        println!("writers' failures survived: {}", written.failures);
        println!("server crashes: {}, verified in between: {}", self.crashes, self.verified);
        println!("workers: {:?}", self.crew.counts);
    }
}
