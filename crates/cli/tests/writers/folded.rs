//! A log in one database, written by a library of others, and the read model in another: workers fold it meanwhile, are
//! killed, and are replaced by more.

use crate::library::Library;
use crate::writer::{Acknowledged, Writer, acknowledged};
use evenfold::database::Database;
use evenfold_testkit::cli::{CliOutput, finish};
use evenfold_testkit::{Evenfold, Postgres, wait_until};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, PgConnection};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::block_in_place;

/// How long anything may take here.
const LONG: Duration = Duration::from_mins(1);

/// How many processes write.
const WRITERS: usize = 4;

pub struct Folded {
    server: Postgres,
    /// Where the workers are started: their settings, and the projection.
    directory: TempDir,
    workers: Vec<Option<Evenfold>>,
    /// What was acknowledged before there were workers.
    before: Vec<Acknowledged>,
}

impl Folded {
    /// The library's tables, and a read model without an event. The user of the log may do no more than the check of
    /// the log has asked for.
    pub async fn new(library: &Library) -> Self {
        let server = block_in_place(|| Postgres::start("UTF8", "track_commit_timestamp = on"));
        let directory = tempfile::tempdir().unwrap();
        let mut folded = Self { server, directory, workers: Vec::new(), before: Vec::new() };
        let mut conn = folded.connect("postgres").await;
        for statement in ["CREATE DATABASE log", "CREATE ROLE reader LOGIN"] {
            sqlx::raw_sql(statement).execute(&mut conn).await.unwrap();
        }
        let prepared = block_in_place(|| library.prepare(&folded.log_url()).output()).unwrap();
        assert!(prepared.status.success(), "{prepared:?}");
        folded.before = acknowledged(str::from_utf8(&prepared.stdout).unwrap());
        let settings = format!(
            "[source]\nurl = '{}'\npreset = '{}'\n{}",
            folded.server.url_of("reader", "log"),
            library.preset,
            library.settings
        );
        let projections = folded.directory.path().join("projections");
        fs::write(folded.directory.path().join("evenfold.toml"), settings).unwrap();
        fs::create_dir(&projections).unwrap();
        fs::write(projections.join("noted.sql"), include_str!("../projections/noted.sql")).unwrap();
        folded.meet(library).await;
        folded.run(&["migrate"]).fine();
        folded
    }

    /// Does what the check of the log asks for.
    async fn meet(&self, library: &Library) {
        let mut log = self.log().await;
        for need in library.needs {
            let check = self.run(&["source", "check"]);
            let shown = check.out.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(check.code == 1 && shown.contains(need), "{need} is not asked for: {check:#?}");
            sqlx::raw_sql(AssertSqlSafe((*need).to_owned())).execute(&mut log).await.unwrap();
        }
        self.run(&["source", "check"]).fine();
    }

    /// Four processes write, three workers fold, all of which are killed and started again; then five take over, of
    /// which one is killed; in the end all are. What was acknowledged is returned once five have applied what is left.
    pub async fn course(&mut self, library: &Library) -> Vec<Acknowledged> {
        let mut writers: Vec<Writer> =
            (0..WRITERS).map(|number| Writer::start(&mut library.write(&self.log_url(), number))).collect();
        self.begin(3, &[]);
        self.until_noted(200, &mut writers).await;
        self.replace(0);
        self.until_noted(400, &mut writers).await;
        self.replace(1);
        self.replace(2);
        self.until_noted(600, &mut writers).await;
        let former = std::mem::take(&mut self.workers);
        self.begin(5, &["--takeover"]);
        for mut worker in former.into_iter().flatten() {
            wait_until("a worker that was replaced to end", LONG, async || worker.ended().is_some()).await;
        }
        self.until_noted(800, &mut writers).await;
        self.replace(4);
        self.until_noted(1000, &mut writers).await;
        writers.iter_mut().for_each(Writer::stop);
        for writer in &mut writers {
            wait_until("a writer to end", LONG, async || writer.has_ended()).await;
        }
        (0..5).for_each(|key| self.kill(key));
        self.begin(5, &["--until-caught-up"]);
        for mut worker in std::mem::take(&mut self.workers).into_iter().flatten() {
            wait_until("the last workers to catch up", LONG, async || worker.ended().is_some()).await;
            assert_eq!(worker.wait(), 0, "{}", worker.log());
        }
        self.before.drain(..).chain(writers.iter_mut().flat_map(Writer::acknowledged)).collect()
    }

    fn begin(&mut self, total: usize, more: &[&str]) {
        self.workers = (0..total).map(|key| Some(self.worker(key, total, more))).collect();
    }

    fn worker(&self, key: usize, total: usize, more: &[&str]) -> Evenfold {
        let (key, total) = (format!("--partition-key={key}"), format!("--total-partitions={total}"));
        let args = ["worker", &key, &total, "--projection=noted", "--batch-size=50", "--log=info"];
        Evenfold::start(self.command(&[&args, more].concat()))
    }

    /// Kills a worker, and starts another one in its place.
    fn replace(&mut self, key: usize) {
        self.kill(key);
        self.workers[key] = Some(self.worker(key, self.workers.len(), &[]));
    }

    fn kill(&mut self, key: usize) {
        let mut worker = self.workers[key].take().unwrap();
        assert!(worker.ended().is_none(), "a worker has ended: {}", worker.log());
        worker.signal(Signal::SIGKILL);
        worker.wait();
    }

    /// Waits until so many events have been applied, while all writers write and all workers work.
    async fn until_noted(&mut self, events: i64, writers: &mut [Writer]) {
        let mut conn = self.read_model().await;
        wait_until(&format!("{events} events to be applied"), LONG, async || {
            writers.iter_mut().for_each(Writer::check);
            for worker in self.workers.iter_mut().flatten() {
                assert!(worker.ended().is_none(), "a worker has ended: {}", worker.log());
            }
            let made: bool =
                sqlx::query_scalar("SELECT to_regclass('noted') IS NOT NULL").fetch_one(&mut conn).await.unwrap();
            made && events <= sqlx::query_scalar("SELECT count(*) FROM noted").fetch_one(&mut conn).await.unwrap()
        })
        .await;
    }

    pub async fn read_model(&self) -> PgConnection {
        self.connect("postgres").await
    }

    pub async fn log(&self) -> PgConnection {
        self.connect("log").await
    }

    async fn connect(&self, database: &str) -> PgConnection {
        let url = self.server.url_of("postgres", database);
        Database::at(&url).unwrap().connect_to_server().await.unwrap().0
    }

    fn log_url(&self) -> String {
        self.server.url_of("postgres", "log")
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = Evenfold::command(args);
        command.env("DATABASE_URL", self.server.url()).current_dir(self.directory.path());
        command
    }

    fn run(&self, args: &[&str]) -> CliOutput {
        block_in_place(|| finish(self.command(args)))
    }
}
