//! Four workers in four terminals, which share nothing but the database. In each of four terminals, with another key:
//!
//! `PARTITION_KEY=0 cargo run --example partitioned`
//!
//! The database is that of `DATABASE_URL`, or one of its own in `.evenfold/examples`, which the last one out stops.
//! Each appends some sample events of all partitions now and then, so that every terminal has something to show; it
//! ends by Ctrl-C, or after `ROUNDS` rounds.

mod shared;

use evenfold::counters::Counters;
use evenfold::{BoxError, Class, Database, RunOptions, Worker, WorkerOptions, run};
use shared::{Place, append_samples, setting};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const TOTAL: u32 = 4;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let key = setting::<u32>("PARTITION_KEY")?.ok_or("which partition? set PARTITION_KEY to 0, 1, 2 or 3")?;
    let (partition, rounds) = (Class::partition(key, TOTAL)?, setting("ROUNDS")?.unwrap_or(u64::MAX));
    let place = Place::open().await?;
    let (worker, stop) = (Worker::new(partition, counters(), WorkerOptions::default()), CancellationToken::new());
    let (progress, database, stopped) = (worker.progress(), place.database.clone(), stop.clone());
    let working = tokio::spawn(async move { run(&database, worker, &RunOptions::default(), stopped).await });
    println!("partition {partition} is at work; Ctrl-C ends it");
    tokio::select! {
        written = write(&place.database, rounds, || println!("{partition} has applied {} events", progress.applied())) =>
            written?,
        signal = tokio::signal::ctrl_c() => signal?,
    }
    stop.cancel();
    let report = working.await??;
    println!("partition {partition} has applied {} events, and ends", report.applied);
    place.close()
}

fn counters() -> Counters {
    Counters::new("/amount".parse().unwrap_or_default(), 100_000)
}

/// Appends ten events to each of ten aggregates every second.
async fn write(database: &Database, rounds: u64, show: impl Fn()) -> Result<(), BoxError> {
    for _ in 0..rounds {
        append_samples(database, 10, 10).await?;
        sleep(Duration::from_secs(1)).await;
        show();
    }
    Ok(())
}
