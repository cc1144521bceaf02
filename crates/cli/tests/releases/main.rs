//! Logs that others write on other releases of PostgreSQL than the one of the other tests: what their check shows, and
//! what workers make of them, of transactions that commit in another order than their positions have, that are
//! prepared, and that a crash of the server ends or renames.
//!
//! `scripts/test` installs the oldest and the newest release, and those in `POSTGRES_RELEASES`.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed, and should say where")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod log;

use evenfold_testkit::{Evenfold, Release, TestDb, assert_each_noted_once, releases, wait_until};
use log::Log;
use nix::sys::signal::Signal;
use sqlx::PgConnection;
use std::time::{Duration, Instant};

/// How long anything may take here.
const LONG: Duration = Duration::from_mins(1);

/// A worker looks four times a second who may write what is missing.
const LOOKS: Duration = Duration::from_millis(1_500);

const PROJECTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/projections");

/// The log, and a read model on the server of the other tests.
struct Folded {
    log: Log,
    read_model: TestDb,
    model: PgConnection,
}

impl Folded {
    async fn new(release: &Release) -> Self {
        let (log, read_model) = (Log::start(release).await, TestDb::new().await);
        let model = read_model.connect().await;
        Self { log, read_model, model }
    }

    fn workers(&self, total: u32, more: &[&str]) -> Vec<Evenfold> {
        let spawn = |key: u32| {
            let (key, total) = (format!("--partition-key={key}"), format!("--total-partitions={total}"));
            let mut args = vec!["worker", &key, &total, "--database-url", &self.read_model.url, "--projection=noted"];
            args.extend(["--projections", PROJECTIONS, "--takeover", "--log=warn"]);
            args.extend(["--source=pupsourcing", "--source-url", &self.log.reader]);
            args.extend(more);
            Evenfold::spawn(&args)
        };
        (0..total).map(spawn).collect()
    }

    /// Goes on writing, for as long as workers take to look several times who may write what is missing, and until the
    /// checkpoints of both miss these positions; others as well after a crash, which skips some; none where none is
    /// given.
    async fn until_missing(&mut self, positions: &[i64], what: &str) {
        let (mut writer, started) = (self.log.connect().await, Instant::now());
        let mut last = 0;
        while started.elapsed() < LOOKS {
            last = Log::append_steadily(&mut writer).await;
        }
        let missing = "SELECT count(*) FROM evenfold.checkpoints
            WHERE missing @> $1 AND (missing = '{}' OR cardinality($1) > 0) AND floor > $2";
        wait_until(what, LONG, async || {
            Log::append_steadily(&mut writer).await;
            let missing = sqlx::query_scalar::<_, i64>(missing).bind(positions).bind(last);
            missing.fetch_one(&mut self.model).await.unwrap() == 2
        })
        .await;
    }

    async fn is_noted(&mut self, aggregate: &str) -> bool {
        let noted = "SELECT count(*) FROM noted WHERE id = $1";
        1 == sqlx::query_scalar::<_, i64>(noted).bind(aggregate).fetch_one(&mut self.model).await.unwrap()
    }

    async fn until_noted(&mut self, aggregate: &str) {
        wait_until(aggregate, LONG, async || self.is_noted(aggregate).await).await;
    }

    /// Two workers see all that there is, are killed, and three go on.
    async fn course(&mut self) -> usize {
        let workers = self.workers(2, &[]);
        let mut slow = self.log.connect().await;
        let late = Log::begin(&mut slow, "late").await;
        let prepared = self.log.prepare("prepared").await;
        let [in_savepoint, rolled_back] = self.log.roll_back().await;
        // All of these are drawn while the first two may write anything.
        self.until_missing(&[late, prepared, in_savepoint, rolled_back], "nothing to be taken for nobody's").await;
        assert!(!self.is_noted("late").await && !self.is_noted("prepared").await);
        Log::run(&mut slow, "COMMIT").await;
        self.until_noted("late").await;

        let ended = Log::begin(&mut slow, "ended by the crash").await;
        let before = self.log.holder_of_prepared().await;
        self.log.crash();
        let after = self.log.holder_of_prepared().await;
        assert!(!before.starts_with("-1/") && after.starts_with("-1/"), "{before}, and after the restart {after}");
        let missing = [prepared, in_savepoint, rolled_back, ended];
        self.until_missing(&missing, "what is prepared to be waited for after a restart").await;
        assert!(!self.is_noted("prepared").await);
        self.log.commit_prepared().await;
        self.until_noted("prepared").await;
        self.until_missing(&[], "the rest to be nobody's").await;

        for mut worker in workers {
            assert_eq!(worker.ended(), None, "a worker has ended: {}", worker.log());
            worker.signal(Signal::SIGKILL);
            worker.wait();
        }
        self.catch_up(&[]).await;
        // What comes then is read from a standby.
        let standby = self.log.standby();
        Log::append_steadily(&mut self.log.connect().await).await;
        self.catch_up(&["--source-rows-from", &standby.url_of("reader", "postgres")]).await
    }

    async fn catch_up(&mut self, more: &[&str]) -> usize {
        for mut worker in self.workers(3, &[&["--until-caught-up"], more].concat()) {
            wait_until("the last workers to catch up", LONG, async || worker.ended().is_some()).await;
            assert_eq!(worker.wait(), 0, "{}", worker.log());
        }
        assert_each_noted_once(&mut self.log.connect().await, &mut self.model).await
    }
}

/// What the check finds, as a role that may do nothing, that may read the table, and that may see its sequence.
async fn check(log: &Log) {
    let (grant, sequence) = ("GRANT SELECT ON public.events TO reader", "events_global_position_seq");
    let refused = log.check();
    assert!(refused.code == 1 && refused.out.contains(&format!("{grant}: missing")), "{refused:?}");
    log.alter(grant).await;
    let checked = log.check();
    let fine = checked.fine();
    let positions = format!("positions   sequence {sequence}, cache 1, increment 1");
    assert!(fine.contains(&positions) && fine.contains(&format!("{grant}: granted")), "{fine}");
    log.append("first").await;
    log.append("second").await;
    // As after a restore that has left the sequence behind.
    log.alter("SELECT setval('events_global_position_seq', 1)").await;
    log.check().fine();
    log.alter("GRANT SELECT ON SEQUENCE events_global_position_seq TO reader").await;
    let behind = log.check();
    let sentence = "the last value of its sequence events_global_position_seq is 1";
    assert!(behind.code == 1 && log::unwrapped(&behind.out).contains(sentence), "{behind:?}");
    log.alter("SELECT setval('events_global_position_seq', 2)").await;
    log.check().fine();
    log.alter("REVOKE SELECT ON SEQUENCE events_global_position_seq FROM reader").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_log_of_others_is_applied_once_and_in_order_on_each_release_of_postgresql() {
    let releases = releases();
    assert!(!releases.is_empty());
    for release in releases {
        let mut folded = Folded::new(&release).await;
        check(&folded.log).await;
        let events = folded.course().await;
        println!("PostgreSQL {}: {events} events, each applied once", folded.log.version().await);
    }
}
