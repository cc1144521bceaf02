//! How fast the cache is: in the process against other caches, over HTTP against a handler that does nothing, and
//! whether it keeps within its memory.

mod args;
mod http;
mod memory;
mod reads;

pub(super) use args::CacheArgs;

use super::steps;
use anyhow::bail;
use evenfold_cli::bench::report::Figure;
use tokio_util::sync::CancellationToken;

pub(super) async fn run(shutdown: &CancellationToken, args: &CacheArgs) -> anyhow::Result<Vec<Figure>> {
    shutdown.run_until_cancelled(measure(args)).await.unwrap_or_else(|| bail!("the benchmark was stopped"))
}

async fn measure(args: &CacheArgs) -> anyhow::Result<Vec<Figure>> {
    let steps = steps(1 + args.runs.runs * (http::STEPS + reads::STEPS));
    // Before anything else has used memory.
    let memory = memory::measure(args.writes).await?;
    steps.inc(1);
    let mut figures = reads::measure(args, &steps).await?;
    figures.extend(http::measure(args, &steps).await?);
    figures.extend(memory);
    steps.finish_and_clear();
    Ok(figures)
}
