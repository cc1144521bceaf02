//! How fast evenfold is, as ratios to what the database or another library can do at best, measured in the same run.

mod append;
mod cache;
mod client;
mod counter;
mod cpu;
mod fan_out;
mod groups;
mod growth;
mod latency;
mod monitor;
mod schedule;
mod sources;
mod sql;
mod stamped;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use evenfold_cli::bench::{Bench, Runs, catch_up, on_database, report, steps};
use evenfold_cli::config::UsageError;
use evenfold_cli::{Global, signals, start};
use std::process::ExitCode;

/// Measure how fast evenfold is here, against what the database and others can do at best.
///
/// Each benchmark works in a schema of its own, which is removed afterwards. Each figure is a ratio to a yardstick
/// that is measured in the same run. A missed goal is no error: the exit code is 0 once there are figures.
#[derive(Debug, Parser)]
#[command(name = "evenfold-bench", version, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Apply a whole log: against reading it, and against one SQL statement that folds it
    CatchUp(catch_up::CatchUpArgs),
    /// From the commit of an event to that of the counter: against a single INSERT
    Latency(latency::LatencyArgs),
    /// Projections in SQL: against the built-in counters, reading the log, and single INSERTs
    Sql(sql::SqlArgs),
    /// Logs that others write: against evenfold's own, the log on another server, and writers that nobody folds
    Sources(sources::SourcesArgs),
    /// Figures and probes: a scrape with many classes, what the monitor takes, and what figures cost a worker
    Figures(monitor::MonitorArgs),
    /// Append one event per transaction: against single INSERTs
    Append(append::AppendArgs),
    /// What many worker processes cost the database: against one
    FanOut(fan_out::FanOutArgs),
    /// The same figures at several sizes of one log: what grows faster than the log does
    Growth(growth::GrowthArgs),
    /// Count over HTTP, in memory, in the log, and on several nodes: against a handler that does nothing
    Counter(counter::CounterArgs),
    /// Send to and ask a group of actors: against mailboxes that take one message after the other; needs no database
    Groups(groups::GroupsArgs),
    /// Read and write the cache, in the process and over HTTP: against other caches, and a handler that does nothing
    Cache(cache::CacheArgs),
    /// A handler that answers the same whatever it is asked: what `counter` compares to, as a process of its own
    #[command(hide = true)]
    Constant,
    /// Counters as typed actors, as in the example: what `counter` measures, as a process of its own
    #[command(hide = true)]
    Typed(counter::TypedArgs),
}

/// Commands of the product, which the benchmarks start as processes of their own: they are this same program, so that
/// what is measured is built as what measures.
const MEASURED: [&str; 3] = ["worker", "serve", "monitor"];

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|command| MEASURED.contains(&command.as_str())) {
        return evenfold_cli::main();
    }
    if let Err(code) = evenfold_cli::read_dotenv() {
        return code;
    }
    let read =
        |matches: &clap::ArgMatches| Cli::from_arg_matches(matches).map_err(|error| UsageError(error.to_string()));
    let log = |cli: &Cli| cli.global.logging("warn");
    start(Cli::command(), None, read, log, async |cli, _| run(cli).await)
}

async fn run(Cli { global, benchmark }: Cli) -> anyhow::Result<()> {
    match benchmark {
        Benchmark::CatchUp(args) => {
            args.check()?;
            on_database(&global, async |bench| catch_up::show(bench, &args).await).await
        }
        Benchmark::Latency(args) => {
            args.check()?;
            on_database(&global, async |bench| {
                let figures = latency::run(bench, &args).await?;
                report::show("latency", &args.about(), &figures, args.runs.json)
            })
            .await
        }
        Benchmark::Sql(args) => {
            args.check()?;
            on_database(&global, async |bench| {
                let figures = sql::run(bench, &args).await?;
                report::show("sql", &args.about(), &figures, args.runs.json)
            })
            .await
        }
        Benchmark::Sources(args) => {
            args.check()?;
            on_database(&global, async |bench| {
                let figures = sources::run(bench, &global, &args).await?;
                report::show("sources", &args.about(), &figures, args.runs.json)
            })
            .await
        }
        Benchmark::Figures(args) => {
            args.check()?;
            on_database(&global, async |bench| {
                let figures = monitor::run(bench, &args).await?;
                report::show("figures", &args.about(), &figures, args.runs.json)
            })
            .await
        }
        Benchmark::Append(args) => {
            args.check()?;
            on_database(&global, async |bench| {
                let figures = append::run(bench, &args).await?;
                report::show("append", &args.about(), &figures, args.runs.json)
            })
            .await
        }
        Benchmark::FanOut(args) => {
            args.check()?;
            on_database(&global, async |bench| {
                let figures = fan_out::run(bench, &args).await?;
                report::show("fan-out", &args.about(&figures), &figures, args.runs.json)
            })
            .await
        }
        Benchmark::Growth(args) => {
            args.check()?;
            on_database(&global, async |bench| {
                let figures = growth::run(bench, &args).await?;
                report::show("growth", &args.about(), &figures, args.runs.json)
            })
            .await
        }
        Benchmark::Counter(args) => {
            on_database(&global, async |bench| {
                let figures = counter::run(bench, &args).await?;
                report::show("counter", &args.about(&figures), &figures, args.runs.json)
            })
            .await
        }
        Benchmark::Groups(args) => {
            let figures = groups::run(&signals::shutdown()?, &args).await?;
            report::show("groups", &args.about(), &figures, args.runs.json)
        }
        Benchmark::Cache(args) => {
            let figures = cache::run(&signals::shutdown()?, &args).await?;
            report::show("cache", &args.about(), &figures, args.runs.json)
        }
        Benchmark::Constant => counter::serve_constant(signals::shutdown()?).await,
        Benchmark::Typed(args) => counter::serve_typed(args, signals::shutdown()?).await,
    }
}
