//! A log that others write on one server, checkpoints and read model on another: both servers and the workers are
//! killed at random, the number of workers changes, and writers go on. In the end every event that was acknowledged is
//! in the log, and applied once, in the order of its aggregate.
//!
//! `CHAOS_SECONDS` says for how long (25), `CHAOS_SEED` with which schedule (a new one).

mod writers;

use crate::crew::Crew;
use crate::number;
use crate::schedule::{Fault, Schedule};
use crate::server::Server;
use crate::writers::{Writers, Written};
use evenfold::counters::mismatches_of;
use evenfold::database::Database;
use evenfold::log::Source;
use evenfold::log::foreign::Preset;
use evenfold::schema::{self, Schema};
use evenfold_testkit::{Evenfold, LOG_OF_OTHERS, SOON, assert_each_noted_once};
use sqlx::PgConnection;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;
use uuid::Uuid;

const PROJECTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/projections");

struct Chaos {
    log: Server,
    read_model: Server,
    crew: Crew,
    /// Of the log's server, of the read model's, and of both at once.
    crashes: [u64; 3],
    verified: u64,
}

async fn connect(server: &Server) -> PgConnection {
    Database::at(&server.url).unwrap().connect_to_server().await.unwrap().0
}

impl Chaos {
    async fn start() -> Self {
        let (log, read_model) = block_in_place(|| (Server::start(), Server::start()));
        sqlx::raw_sql(LOG_OF_OTHERS).execute(&mut connect(&log).await).await.unwrap();
        schema::migrate(&Schema::default(), &mut connect(&read_model).await).await.unwrap();
        let crew = Crew::new(&read_model.url).given(&[
            "--source=pupsourcing",
            "--source-url",
            &log.url,
            "--projections",
            PROJECTIONS,
            "--projection=counters",
            "--projection=noted",
        ]);
        Self { log, read_model, crew, crashes: [0; 3], verified: 0 }
    }

    async fn meet(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { pick } => self.crew.kill(pick),
            Fault::Terminate { pick } => self.crew.terminate(pick),
            Fault::Freeze { pick, time } => self.crew.freeze(pick, time),
            Fault::Duplicate { pick } => self.crew.duplicate(pick),
            Fault::Crash { pick } => self.crash(pick % 3).await,
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

    async fn crash(&mut self, which: usize) {
        match which {
            0 => self.log.crash().await,
            1 => self.read_model.crash().await,
            _ => {
                tokio::join!(self.log.kill(), self.read_model.kill());
                self.read_model.restart().await;
                self.log.restart().await;
            }
        }
        self.crashes[which] += 1;
    }

    /// While workers run: the counters are what the checkpoints say of the log on the other server.
    async fn verify(&mut self) {
        let database = Database::at(&self.log.url).unwrap();
        let mapping = Preset::named("pupsourcing").unwrap().mapping(None);
        let source = Source::find(&database, &mapping).await.unwrap();
        let (mut conn, pointer) = (connect(&self.read_model).await, "/amount".parse().unwrap());
        let differ = mismatches_of(&Schema::default(), &mut conn, &source, &pointer, 10).await.unwrap();
        assert!(differ.differ.is_empty() && differ.removed_in_all == 0, "{differ:#?}");
        self.verified += 1;
    }

    async fn prove(&mut self, written: &Written) {
        self.verify().await;
        let log = ["--source=pupsourcing", "--source-url", &self.log.url, "--database-url", &self.read_model.url];
        let verify = block_in_place(|| Evenfold::run(&[&["verify"], &log[..]].concat(), ""));
        assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
        let (mut there, mut model) = (connect(&self.log).await, connect(&self.read_model).await);
        let mut ids: Vec<Uuid> =
            sqlx::query_scalar("SELECT event_id FROM public.events").fetch_all(&mut there).await.unwrap();
        let mut acknowledged = written.acknowledged.clone();
        ids.sort_unstable();
        acknowledged.sort_unstable();
        assert!(ids == acknowledged, "{} in the log, {} acknowledged", ids.len(), acknowledged.len());
        assert_each_noted_once(&mut there, &mut model).await;
        let parked: i64 =
            sqlx::query_scalar("SELECT count(*) FROM evenfold.parked_events").fetch_one(&mut model).await.unwrap();
        assert_eq!(parked, 0, "parked");
    }

    async fn report(&self, written: &Written) {
        let nobodys = "SELECT max(global_position) - count(*) FROM public.events";
        let nobodys: i64 = sqlx::query_scalar(nobodys).fetch_one(&mut connect(&self.log).await).await.unwrap();
        println!("events acknowledged: {}, positions of nobody: {nobodys}", written.acknowledged.len());
        println!("transactions rolled back: {}, found after a crash: {}", written.rolled_back, written.found);
        println!("writers' failures survived: {}, verified in between: {}", written.failures, self.verified);
        println!("crashes of the log's server, of the read model's, and of both: {:?}", self.crashes);
        println!("workers: {:?}", self.crew.counts);
        assert!(nobodys > 0, "nobody has rolled back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_of_two_servers_is_killed_every_event_of_a_log_of_others_is_applied_once_and_in_order() {
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = number("CHAOS_SECONDS").unwrap_or(25);
    println!("a log of others: CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    let mut chaos = Chaos::start().await;
    let database = Database::at(&chaos.log.url).unwrap();
    let writers = Writers::of(seed, |index, random, stop| writers::write(database.clone(), index, random, stop));
    chaos.crew.start(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut schedule = Schedule::of_servers(seed);
    while Instant::now() < end {
        let (pause, fault) = schedule.next();
        tokio::time::sleep(pause).await;
        chaos.meet(fault).await;
    }
    // Each once, in however short a time.
    for which in 0..3 {
        if chaos.crashes[which] == 0 {
            chaos.crash(which).await;
        }
    }
    let written = tokio::time::timeout(2 * SOON, writers.stop()).await.unwrap();
    chaos.crew.finish(4 * SOON).await;
    chaos.prove(&written).await;
    chaos.report(&written).await;
}
