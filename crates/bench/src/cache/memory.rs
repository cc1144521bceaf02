//! What memory a cache takes through many writes, most of which have to make room.

use super::args::figure;
use anyhow::ensure;
use evenfold_cache::{Cache, CacheOptions, Condition, Value};
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::stats::sample;
use evenfold_cli::done::memory;
use futures_util::future::try_join_all;

const BUDGET: u64 = 64 * MIB;
const MIB: u64 = 1024 * 1024;
const WRITERS: u64 = 8;

/// What the process has in memory, without the pages of the program itself.
const RESIDENT: &str = "RssAnon:";

/// How many writes are made between two looks at the process.
const BETWEEN_LOOKS: u64 = 50_000;

pub(super) async fn measure(writes: u64) -> anyhow::Result<Vec<Figure>> {
    let cache = Cache::start(CacheOptions::default().memory_budget_bytes(BUDGET)).await?;
    // The threads and their first pages are there then, whatever is written.
    cache.put("first", true.into(), None, Condition::Always).await?;
    let before = memory(RESIDENT);
    let (mut most, mut peak) = (0, before);
    for from in (0..writes).step_by(usize::try_from(BETWEEN_LOOKS)?) {
        let to = writes.min(from + BETWEEN_LOOKS);
        try_join_all((0..WRITERS).map(|writer| write(&cache, from + writer, to))).await?;
        most = most.max(cache.stats().bytes);
        peak = peak.max(memory(RESIDENT));
    }
    ensure!(most <= BUDGET, "the cache counts {most} bytes, more than its budget of {BUDGET}");
    cache.stop().await;
    let mebibytes = |bytes: u64| sample(bytes) / sample(MIB);
    let grown: Vec<f64> =
        peak.zip(before).map(|(peak, before)| mebibytes(peak.saturating_sub(before))).into_iter().collect();
    let budget = vec![mebibytes(BUDGET)];
    Ok(vec![
        figure("writes: bytes", Unit::Mebibytes, &[mebibytes(most)], "the budget", budget.clone(), Goal::AtMost(1.0)),
        figure("writes: resident", Unit::Mebibytes, &grown, "the budget", budget, Goal::AtMost(1.0)),
    ])
}

/// Values of 50 to 305 bytes, one key in four of which has been put before.
async fn write(cache: &Cache, from: u64, to: u64) -> anyhow::Result<()> {
    for number in (from..to).step_by(usize::try_from(WRITERS)?) {
        let key = format!("counter-{:08}", number - number % 4 / 3);
        let value = "v".repeat(50 + usize::try_from(number % 256)?);
        cache.put(&key, Value::String(value.into()), None, Condition::Always).await?;
    }
    Ok(())
}
