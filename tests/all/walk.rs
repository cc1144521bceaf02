//! A random walk through everything that workers and operators can do to each other, one thing at a time: between any
//! two, the checkpoints are an exact cover, and at the end every event was applied exactly once.

use crate::support::{Stepped, TestDb, assert_all_applied_once, drain_all, event, partition, rows};
use evenfold::checkpoint::{Registered, Takeover};
use evenfold::log;
use evenfold::projection::WorkerError;
use fastrand::Rng;
use sqlx::{Connection, PgConnection};

const THINGS: u32 = 400;
const MOST_WORKERS: usize = 12;

struct Walk {
    db: TestDb,
    random: Rng,
    writer: PgConnection,
    /// A connection with a transaction that has appended and is open.
    slow: Option<PgConnection>,
    /// What the next worker is started with, and what the last one was.
    total: u32,
    present: u32,
    /// Partitions of the present total of which no worker has started.
    absent: Vec<u32>,
    workers: Vec<Stepped>,
    superseded: u32,
    changes: u32,
}

impl Walk {
    async fn new(seed: u64) -> Self {
        let db = TestDb::new().await;
        let writer = db.connect().await;
        let random = Rng::with_seed(seed);
        let (workers, absent) = (Vec::new(), vec![0]);
        Self { db, random, writer, slow: None, total: 1, present: 1, absent, workers, superseded: 0, changes: 0 }
    }

    async fn thing(&mut self) {
        match self.random.u32(0..100) {
            0..45 => self.step().await,
            45..65 => self.append().await,
            65..80 => self.start_absent().await,
            80..85 => self.start_again().await,
            85..92 => self.slow().await,
            92..96 => self.vanish(),
            _ => self.change(),
        }
    }

    async fn step(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.workers.len());
        match self.workers[index].try_step().await {
            Ok(_) | Err(WorkerError::Moving) => {}
            Err(WorkerError::Superseded { by, .. }) => {
                assert_eq!(by, self.present);
                self.workers.remove(index);
                self.superseded += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn append(&mut self) {
        let events: Vec<_> =
            (0..self.random.u32(1..6)).map(|n| event(&format!("a{}", self.random.u8(0..40)), n.into())).collect();
        let mut tx = self.writer.begin().await.unwrap();
        log::append(&mut tx, &events).await.unwrap();
        if self.random.u8(0..5) == 0 { tx.rollback().await.unwrap() } else { tx.commit().await.unwrap() }
    }

    async fn start(&mut self, key: u32) {
        // The oldest vanish when there are too many.
        self.workers.drain(..(self.workers.len() + 1).saturating_sub(MOST_WORKERS));
        let batch = self.random.usize(1..4);
        let mut one = Stepped::new(&self.db, partition(key, self.total), batch, Takeover::Now).await;
        assert_eq!(one.register().await, Registered::Ready);
        self.present = self.total;
        self.workers.push(one);
    }

    async fn start_absent(&mut self) {
        if let Some(key) = self.absent.pop() {
            self.start(key).await;
        }
    }

    /// A second worker with a key that there is, or the one that vanished.
    async fn start_again(&mut self) {
        let key = self.random.u32(0..self.total);
        self.start(key).await;
    }

    /// Begins a transaction that appends, or ends the one that is open.
    async fn slow(&mut self) {
        if let Some(mut conn) = self.slow.take() {
            sqlx::raw_sql(if self.random.bool() { "COMMIT" } else { "ROLLBACK" }).execute(&mut conn).await.unwrap();
            return;
        }
        let mut conn = self.db.connect().await;
        sqlx::raw_sql("BEGIN").execute(&mut conn).await.unwrap();
        let events = [event(&format!("slow{}", self.random.u8(0..9)), 1), event("slow", 1)];
        log::append(&mut conn, &events).await.unwrap();
        self.slow = Some(conn);
    }

    /// As a killed process does: without a word.
    fn vanish(&mut self) {
        if !self.workers.is_empty() {
            let index = self.random.usize(0..self.workers.len());
            self.workers.remove(index);
        }
    }

    fn change(&mut self) {
        self.changes += 1;
        self.total = self.random.u32(1..=8);
        self.absent = (0..self.total).collect();
        self.random.shuffle(&mut self.absent);
    }

    /// Lets one set of workers do the rest.
    async fn end(mut self) {
        if self.slow.is_some() {
            self.slow().await;
        }
        self.workers.clear();
        for key in 0..self.total {
            self.start(key).await;
        }
        drain_all(&mut self.workers).await;
        assert_eq!(
            rows(&mut self.writer).await,
            (0..self.total).map(|key| partition(key, self.total)).collect::<Vec<_>>()
        );
        assert_all_applied_once(&mut self.writer).await;
        println!("{} changes, {} workers superseded", self.changes, self.superseded);
    }
}

async fn walk(seed: u64) {
    println!("seed {seed}");
    let mut walk = Walk::new(seed).await;
    for _ in 0..THINGS {
        walk.thing().await;
        if walk.workers.is_empty() {
            walk.start_absent().await;
        } else {
            rows(&mut walk.writer).await;
        }
    }
    walk.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_in_whatever_order_every_event_is_applied_once() {
    for seed in 1..=5 {
        walk(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_in_an_order_never_tried_before_every_event_is_applied_once() {
    for _ in 0..3 {
        walk(fastrand::u64(..)).await;
    }
}
