//! How fast the counter service is, against a handler that answers the same whatever it is asked, and how much memory
//! it takes. Each of them is a process of its own; what was counted is compared with what was answered.

mod constant;
mod count;
mod process;
mod typed;

use super::client::{Seen, Until};
use super::{Bench, Runs, steps};
use anyhow::bail;
use clap::Args;
pub(super) use constant::serve_constant;
use count::Counters;
use evenfold_cli::bench::arena::within;
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::stats::{percentile, sample};
use evenfold_cli::config::number;
use evenfold_cli::nats_server::{NatsProgram, NatsServer};
use process::Service;
use std::path::Path;
use std::time::Duration;
pub(super) use typed::{TypedArgs, serve_typed};

/// What 99 of 100 answers may take, in milliseconds.
const P99_MS: f64 = 20.0;

/// What a service may have in memory at most, in MiB.
const MEMORY_MIB: f64 = 64.0;

/// How many nodes the cluster has, in one process.
const NODES: u32 = 7;

/// How many of the example's counters are incremented.
const TYPED_KEYS: u32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct CounterArgs {
    /// How long each thing is measured, in seconds: 1 to 3600
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    /// How many connections send requests, each one after the other: 1 to 4000
    #[arg(long, default_value = "200", value_name = "N", value_parser = |t: &str| number::<usize>(t, &(1..=4000)))]
    connections: usize,
    /// How many counters are incremented: 1 to 90000
    #[arg(long, default_value = "10000", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=90_000)))]
    keys: u32,
    /// How many requests are made to see what memory they take: 1000 to 1000000000
    #[arg(long, default_value = "500000", value_name = "N",
        value_parser = |t: &str| number::<u64>(t, &(1_000..=1_000_000_000)))]
    requests: u64,
    #[command(flatten)]
    nats: NatsProgram,
    #[command(flatten)]
    pub(super) runs: Runs,
}

impl CounterArgs {
    pub(super) fn about(&self, figures: &[Figure]) -> String {
        let Self { seconds, connections, keys, nats, runs, .. } = self;
        let about = format!("{seconds} s each, {connections} connections, {keys} counters; {}.", runs.describe());
        // Without them nothing was measured there: a row is not to look like a failure.
        match nats.find() {
            Err(missing) if !figures.iter().any(|figure| figure.what.ends_with("nodes")) => {
                format!("{about}\n{NODES} nodes are left out: {missing}.")
            }
            _ => about,
        }
    }

    fn time(&self) -> Until {
        Until::Time(Duration::from_secs(self.seconds))
    }
}

/// The yardstick.
const CONSTANT: &str = "a constant";

/// What one of them is measured by, once per run.
#[derive(Debug, Default)]
struct Samples {
    rates: Vec<f64>,
    p99: Vec<f64>,
}

impl Samples {
    fn add(&mut self, seen: &Seen) {
        self.rates.push(seen.rate);
        self.p99.extend(percentile(&seen.latencies, 0.99));
    }
}

pub(super) async fn run(bench: Bench<'_>, args: &CounterArgs) -> anyhow::Result<Vec<Figure>> {
    let nats = args.nats.find().ok();
    let steps = steps(1 + args.runs.runs * if nats.is_some() { 7 } else { 5 });
    let [mut constant, mut volatile, mut durable, mut hot, mut typed, mut nodes, mut typed_nodes] =
        std::array::from_fn(|_| Samples::default());
    let measure = Measure { bench, args };
    for _ in 0..args.runs.runs {
        constant.add(&measure.constant().await?);
        steps.inc(1);
        volatile.add(&measure.volatile(&["--volatile"], &[]).await?);
        steps.inc(1);
        durable.add(&measure.durable(args.keys).await?);
        steps.inc(1);
        hot.add(&measure.durable(1).await?);
        steps.inc(1);
        typed.add(&measure.typed(None).await?);
        steps.inc(1);
        if let Some(program) = &nats {
            nodes.add(&measure.nodes(program).await?);
            typed_nodes.add(&measure.typed(Some(program)).await?);
            steps.inc(2);
        }
    }
    let memory = measure.memory().await?;
    steps.finish_and_clear();
    let limit = vec![P99_MS; durable.p99.len()];
    let against = |what: &str, of: &Samples, least| {
        figure(what, Unit::PerSecond, &of.rates, CONSTANT, &constant.rates, Goal::AtLeast(least))
    };
    let mut figures = vec![
        against("volatile", &volatile, 0.6),
        against("durable", &durable, 0.36),
        figure("durable: p99", Unit::Milliseconds, &durable.p99, "the limit", &limit, Goal::AtMost(1.0)),
        figure("durable, one key", Unit::PerSecond, &hot.rates, "all keys", &durable.rates, Goal::AtLeast(0.5)),
    ];
    figures.push(against("typed actors", &typed, 0.8));
    if nats.is_some() {
        figures.push(against(&format!("{NODES} nodes"), &nodes, 0.35));
        figures.push(against(&format!("typed actors, {NODES} nodes"), &typed_nodes, 0.35));
    }
    figures.push(figure("its peak memory", Unit::Mebibytes, &memory, "the limit", &[MEMORY_MIB], Goal::AtMost(1.0)));
    Ok(figures)
}

fn figure(what: &str, unit: Unit, samples: &[f64], against: &'static str, yardstick: &[f64], goal: Goal) -> Figure {
    Figure { what: what.to_owned(), unit, samples: samples.to_vec(), against, yardstick: yardstick.to_vec(), goal }
}

/// What is measured: each once.
struct Measure<'a> {
    bench: Bench<'a>,
    args: &'a CounterArgs,
}

impl Measure<'_> {
    /// Does something that needs no schema of its own, unless it is interrupted: what it has started ends by being
    /// dropped.
    async fn interruptible<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let done = self.bench.shutdown.run_until_cancelled(work).await;
        done.unwrap_or_else(|| bail!("interrupted: there are no figures"))
    }

    async fn constant(&self) -> anyhow::Result<Seen> {
        self.interruptible(async {
            let service = Service::constant().await?;
            let seen =
                Counters::new(self.args.keys).load(service.address, self.args.connections, self.args.time()).await?;
            service.stop().await?;
            Ok(seen)
        })
        .await
    }

    async fn volatile(&self, args: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Seen> {
        self.interruptible(async {
            let service = Service::serving(args, variables).await?;
            let counters = Counters::new(self.args.keys);
            let seen = counters.load(service.address, self.args.connections, self.args.time()).await?;
            counters.check(service.address, seen.answers).await?;
            service.stop().await?;
            Ok(seen)
        })
        .await
    }

    async fn nodes(&self, program: &Path) -> anyhow::Result<Seen> {
        let nats = self.interruptible(NatsServer::start(program)).await?;
        let nodes = format!("--nodes={NODES}");
        let seen = self.volatile(&["--volatile", &nodes, "--cluster=bench"], &[("NATS_URL", &nats.url)]).await;
        drop(nats);
        seen
    }

    /// Counters as typed actors: on one node, or on several over a NATS server.
    async fn typed(&self, program: Option<&Path>) -> anyhow::Result<Seen> {
        self.interruptible(async {
            let nats = match program {
                Some(program) => Some(NatsServer::start(program).await?),
                None => None,
            };
            let service = Service::typed(nats.as_ref().map(|nats| (NODES, nats.url.as_str()))).await?;
            let counters = Counters::new(TYPED_KEYS);
            let seen = counters.load(service.address, self.args.connections, self.args.time()).await?;
            counters.check(service.address, seen.answers).await?;
            service.stop().await?;
            Ok(seen)
        })
        .await
    }

    async fn durable(&self, keys: u32) -> anyhow::Result<Seen> {
        let (seen, _) = self.in_the_log(keys, self.args.time()).await?;
        Ok(seen)
    }

    async fn memory(&self) -> anyhow::Result<Vec<f64>> {
        let (_, peak) = self.in_the_log(self.args.keys, Until::Requests(self.args.requests)).await?;
        Ok(peak.map(|bytes| sample(bytes) / sample(1024 * 1024)).into_iter().collect())
    }

    /// One node with its workers, as it is started without arguments, over a log that is empty at first; also the most
    /// memory that it has had.
    async fn in_the_log(&self, keys: u32, until: Until) -> anyhow::Result<(Seen, Option<u64>)> {
        let Bench { session, shutdown } = self.bench;
        within(session, shutdown, "counter", async |arena| {
            let service = Service::serving(
                &[],
                &[("DATABASE_URL", &arena.url), ("EVENFOLD_SCHEMA", arena.database.schema().name())],
            )
            .await?;
            let counters = Counters::new(keys);
            let seen = counters.load(service.address, self.args.connections, until).await?;
            let peak = service.peak_memory();
            counters.check(service.address, seen.answers).await?;
            service.stop().await?;
            count::check_log(arena, seen.answers).await?;
            Ok((seen, peak))
        })
        .await
    }
}
