//! Servers that are replaced by others under running workers and writers: switchovers, failovers to a standby that
//! lags, servers that come back as they were earlier, crashes that lose the tail of the log, and clusters that were
//! restored from a dump. In the end the read model is the fold of the log of the server that is the primary then.
//!
//! `CHAOS_SECONDS` says for how long (60 for each of the two), `CHAOS_SEED` with which schedule (a new one).

mod servers;

use crate::crew::Crew;
use crate::number;
use crate::writers::{Pace, Writers, Written};
use evenfold::checkpoint::status;
use evenfold::counters::{NAME, mismatches};
use evenfold::database::Database;
use evenfold::event::NewEvent;
use evenfold::schema::{self, Schema};
use evenfold_testkit::Evenfold;
use evenfold_testkit::SOON;
use evenfold_testkit::proxy::{Proxy, Server};
use fastrand::Rng;
use serde_json::json;
use servers::Servers;
use sqlx::Connection;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;
use uuid::Uuid;

/// How a server comes to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Replacement {
    /// The primary is stopped, and its standby promoted: nothing is lost.
    Switchover,
    /// The primary is killed, and its standby promoted, which may not have had everything.
    Failover,
    /// The standby has not been connected for a while: the log goes back.
    Earlier,
    /// The primary is killed and started again; commits did not wait for the disk.
    Crash,
    /// A new cluster, from a dump.
    Restore,
}

const ANY: [Replacement; 5] =
    [Replacement::Switchover, Replacement::Failover, Replacement::Earlier, Replacement::Crash, Replacement::Restore];

struct Chaos {
    servers: Servers,
    proxy: Proxy,
    crew: Crew,
    random: Rng,
    done: BTreeMap<Replacement, u32>,
    /// What an application has committed at a primary from which the address had been moved away.
    late: Vec<Uuid>,
}

impl Chaos {
    async fn start(test: &str, settings: &'static str) -> (Self, Database, u64) {
        let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
        println!("{test}: CHAOS_SEED={seed} CHAOS_SECONDS={}", seconds().as_secs());
        let servers = block_in_place(|| Servers::start(settings));
        let (mut conn, _) = Database::at(&servers.primary.url()).unwrap().connect_to_server().await.unwrap();
        schema::migrate(&Schema::default(), &mut conn).await.unwrap();
        let proxy = Proxy::start(Server::Tcp(servers.primary.address())).await;
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port);
        let (crew, random) = (Crew::new(&url), Rng::with_seed(seed));
        (
            Self { servers, proxy, crew, random, done: BTreeMap::new(), late: Vec::new() },
            Database::at(&url).unwrap(),
            seed,
        )
    }

    /// Replaces servers until the time is over, with two workers at work, one of which is killed now and then.
    async fn run(&mut self, among: &[Replacement]) {
        let end = Instant::now() + seconds();
        self.crew.change(2);
        (0..2).for_each(|key| self.crew.start(key));
        while Instant::now() < end {
            let pause = Duration::from_millis(self.random.u64(300..2_500));
            tokio::time::sleep(pause).await;
            let replacement = among[self.random.usize(..among.len())];
            self.replace(replacement).await;
            *self.done.entry(replacement).or_default() += 1;
            if self.random.u8(0..3) == 0 {
                self.crew.kill(self.random.usize(..));
            }
            self.crew.tend();
        }
    }

    async fn replace(&mut self, how: Replacement) {
        match how {
            Replacement::Crash => {
                block_in_place(|| {
                    self.servers.primary.kill();
                    self.servers.primary.start_after_kill();
                });
                return;
            }
            Replacement::Restore => block_in_place(|| self.servers.restore()),
            Replacement::Earlier => {
                block_in_place(|| self.servers.add_standby().stop());
                tokio::time::sleep(Duration::from_millis(self.random.u64(100..1_000))).await;
                self.servers.primary.kill();
            }
            Replacement::Switchover | Replacement::Failover => {
                block_in_place(|| {
                    self.servers.add_standby();
                });
                tokio::time::sleep(Duration::from_millis(self.random.u64(300..1_500))).await;
                self.move_away().await;
                if how == Replacement::Switchover {
                    block_in_place(|| self.servers.primary.stop());
                } else {
                    self.servers.primary.kill();
                }
            }
        }
        if how == Replacement::Earlier {
            block_in_place(|| self.servers.next().start_again());
        }
        // Before it is promoted: workers and writers come to a standby, and have the time to look at its log, of which
        // what was committed last is not replayed yet.
        self.proxy.lead_to(Server::Tcp(self.servers.next().address()));
        tokio::time::sleep(Duration::from_millis(self.random.u64(0..2_000))).await;
        block_in_place(|| self.servers.promote_next());
        if how == Replacement::Restore {
            self.repair();
        }
    }

    /// The address leads to the standby already, and an application that is still connected to the primary commits
    /// there.
    async fn move_away(&mut self) {
        let mut conn = Database::at(&self.servers.primary.url()).unwrap().connect().await.unwrap();
        let event =
            NewEvent::new("account", format!("late-{}", self.random.u8(0..5)), "added", &json!({ "amount": 1 }));
        let event = event.unwrap();
        let mut tx = conn.begin().await.unwrap();
        evenfold::log::append(&mut tx, std::slice::from_ref(&event)).await.unwrap();
        // Overtaken by what others commit meanwhile.
        tokio::time::sleep(Duration::from_millis(self.random.u64(200..1_000))).await;
        self.proxy.lead_to(Server::Tcp(self.servers.next().address()));
        tokio::time::sleep(Duration::from_millis(self.random.u64(0..1_000))).await;
        tx.commit().await.unwrap();
        self.late.push(event.event_id());
    }

    /// As the operator does by the advice; a projection that was not complete when the dump was made begins anew.
    fn repair(&self) {
        let url = self.servers.primary.url();
        let run =
            |more: &[&str]| block_in_place(|| Evenfold::run(&[&["repair", "--database-url", &url], more].concat(), ""));
        let first = run(&[]);
        let text = String::from_utf8_lossy(&first.stderr).into_owned();
        if !first.status.success() {
            assert!(text.contains("--start-over counters"), "{text}");
            let again = run(&["--start-over", "counters"]);
            assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        }
    }

    async fn prove(mut self, written: &Written, all: bool) {
        self.crew.finish(10 * SOON).await;
        let url = self.servers.primary.url();
        let mut conn = Database::at(&url).unwrap().connect().await.unwrap();
        let differ = mismatches(&Schema::default(), &mut conn, &"/amount".parse().unwrap(), 10).await.unwrap();
        assert!(differ.is_empty(), "{differ:#?}");
        let status = status(&Schema::default(), &mut conn, NAME).await.unwrap();
        assert!(status.cover_complete && status.classes.iter().all(|class| class.behind == 0), "{status:#?}");
        let (events, applied, parked): (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM evenfold.events), (SELECT coalesce(sum(events), 0)::bigint FROM evenfold.counters),
                 (SELECT count(*) FROM evenfold.parked_events)",
        )
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert_eq!((applied, parked), (events, 0), "applied and parked, of the events in the log");
        let mut there = 0;
        let acknowledged = [&written.acknowledged[..], &self.late].concat();
        for some in acknowledged.chunks(10_000) {
            there += sqlx::query_scalar::<_, i64>("SELECT count(*) FROM evenfold.events WHERE event_id = ANY ($1)")
                .bind(some)
                .fetch_one(&mut conn)
                .await
                .unwrap();
        }
        let acknowledged = i64::try_from(acknowledged.len()).unwrap();
        assert!(!all || there == acknowledged, "{there} of {acknowledged} acknowledged events are in the log");
        println!(
            "{:?}; {events} events in the log, {there} of {acknowledged} acknowledged ones; {} failures survived by writers; \
             workers: {:?}",
            self.done, written.failures, self.crew.counts
        );
    }
}

fn seconds() -> Duration {
    Duration::from_secs(number("CHAOS_SECONDS").unwrap_or(60))
}

/// While nothing comes, a worker remembers how far it has looked, and writes nothing, which would fail on a standby.
/// What is open meanwhile is overtaken by others' commits, of workers' heartbeats for one.
const SPARSE: Pace = Pace { open: 0..800, pause: 300..3_000 };

/// So much that there is always something on its way, and that a read model that is started over late can be folded
/// again.
const MIXED: Pace = Pace { open: 0..50, pause: 0..200 };

/// A commit is replayed some time after what it commits, as on a standby that has much to do.
const LATE_COMMITS: &str = "recovery_min_apply_delay = '1s'";

#[tokio::test(flavor = "multi_thread")]
async fn through_switchovers_every_acknowledged_event_is_applied_once() {
    let (mut chaos, database, seed) = Chaos::start("switchovers", LATE_COMMITS).await;
    let writers = Writers::start(&database, seed, &SPARSE);
    chaos.run(&[Replacement::Switchover]).await;
    let written = tokio::time::timeout(2 * SOON, writers.stop()).await.unwrap();
    chaos.prove(&written, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_servers_are_replaced_the_read_model_is_the_fold_of_the_last_ones_log() {
    let unsafely = "synchronous_commit = off\nwal_writer_delay = 10s\nrecovery_min_apply_delay = '1s'";
    let (mut chaos, database, seed) = Chaos::start("replacements", unsafely).await;
    let writers = Writers::start(&database, seed, &MIXED);
    chaos.run(&ANY).await;
    let written = tokio::time::timeout(2 * SOON, writers.stop()).await.unwrap();
    chaos.prove(&written, false).await;
}
