//! Another number of partitions while events come in: `cargo run --example scaling`
//!
//! The database is that of `DATABASE_URL`, or one of its own in `.evenfold/examples`. The new workers are started
//! alongside the old ones, and take over: the old ones end, and no event is applied twice or not at all.

mod shared;

use evenfold::counters::Counters;
use evenfold::{BoxError, Class, Pool, RunOptions, Takeover, Worker, WorkerOptions};
use shared::{Place, append_samples};
use tokio_util::sync::CancellationToken;

fn start(place: &Place, total: u32, stop: &CancellationToken) -> Result<Pool, BoxError> {
    let partitions = (0..total).map(|key| Class::partition(key, total)).collect::<Result<Vec<_>, _>>()?;
    let make = |class| {
        let counters = Counters::new("/amount".parse().unwrap_or_default(), 100_000);
        Worker::new(class, counters, WorkerOptions::default().topology(Takeover::Now))
    };
    Ok(Pool::start(&place.database, &partitions, make, &RunOptions::default(), stop)?)
}

fn applied(pool: &Pool) -> u64 {
    pool.members().iter().map(|member| member.progress.applied()).sum()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (place, stop) = (Place::open().await?, CancellationToken::new());
    let mut before: Option<(Pool, u32)> = None;
    let (mut appended, mut all) = (0, 0);
    for total in [1, 4, 3] {
        let pool = start(&place, total, &stop)?;
        appended += append_samples(&place.database, 100, 20).await?;
        if let Some((mut old, before)) = before.replace((pool, total)) {
            // They end by themselves: they have been superseded.
            while old.ended().await.is_some() {}
            all += applied(&old);
            println!("{before} partitions have become {total}");
        }
    }
    let (mut last, total) = before.ok_or("there was one")?;
    while all + applied(&last) < appended {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stop.cancel();
    while last.ended().await.is_some() {}
    all += applied(&last);
    println!("{total} partitions are the last: {appended} events were appended meanwhile, and {all} applied");
    place.close()
}
