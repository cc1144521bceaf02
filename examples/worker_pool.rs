//! All partitions in one process, each with a worker of its own, whose failure is its own: `cargo run --example
//! worker_pool`
//!
//! The database is that of `DATABASE_URL`, or one of its own in `.evenfold/examples`.

mod shared;

use evenfold::counters::Counters;
use evenfold::{BoxError, Class, Pool, RunOptions, Worker, WorkerOptions};
use shared::{Place, append_samples};
use tokio_util::sync::CancellationToken;

const TOTAL: u32 = 4;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let place = Place::open().await?;
    append_samples(&place.database, 100, 50).await?;
    let partitions = (0..TOTAL).map(|key| Class::partition(key, TOTAL)).collect::<Result<Vec<_>, _>>()?;
    let make = |class| {
        let counters = Counters::new("/amount".parse().unwrap_or_default(), 100_000);
        Worker::new(class, counters, WorkerOptions::default())
    };
    let options = RunOptions::default().until_caught_up(true);
    let mut pool = Pool::start(&place.database, &partitions, make, &options, &CancellationToken::new())?;
    let mut all = 0;
    while let Some((partition, report)) = pool.ended().await {
        let applied = report?.applied;
        println!("{partition} has applied {applied} events");
        all += applied;
    }
    println!("{TOTAL} partitions have applied {all} events between them");
    place.close()
}
