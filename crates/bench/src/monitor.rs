//! What it costs to be watched: a scrape of the monitor with many classes, what the monitor takes by itself, and what
//! figures cost a worker.

use super::{Bench, Runs, cpu, steps};
use anyhow::Context;
use clap::Args;
use evenfold::class::MAX_PARTITIONS;
use evenfold_cli::bench::arena::{Arena, within};
use evenfold_cli::bench::child::{self, Process};
use evenfold_cli::bench::report::{Figure, Goal, Unit};
use evenfold_cli::bench::sample::{Sample, start_over};
use evenfold_cli::bench::stats::median;
use evenfold_cli::config::number;
use evenfold_cli::output::thousands;
use evenfold_cli::tuning::Tuning;
use sqlx::PgConnection;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a scrape may take, in milliseconds.
const MOST_MS: f64 = 50.0;

/// What the monitor may take of a processor, in milliseconds per second, while it is scraped this often.
const MOST_CPU_MS: f64 = 10.0;
const SCRAPED_EVERY: Duration = Duration::from_secs(5);

/// Scrapes of one run.
const SCRAPES: u32 = 20;

/// How long the monitor may take to count for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct MonitorArgs {
    /// How many classes there are to watch: 1 to 65536
    #[arg(long, default_value = "1000", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_PARTITIONS)))]
    classes: u32,
    /// How many events a worker applies, with figures and without: 1 to 1000000000
    #[arg(long, default_value = "1000000", value_name = "N", value_parser = |t: &str| number::<u64>(t, &(1..=1_000_000_000)))]
    events: u64,
    /// How long the monitor is watched in each run, in seconds: 1 to 3600
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = |t: &str| number::<u64>(t, &(1..=3600)))]
    seconds: u64,
    #[command(flatten)]
    pub(super) runs: Runs,
    #[command(flatten)]
    tuning: Tuning,
}

impl MonitorArgs {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.tuning.check()?;
        Ok(self.sample().check_size()?)
    }

    fn sample(&self) -> Sample {
        Sample { events: self.events, aggregates: 10_000 }
    }

    pub(super) fn about(&self) -> String {
        format!(
            "{} classes, {} events, {} s of one scrape per {} s; {}.",
            thousands(self.classes),
            thousands(self.events),
            self.seconds,
            SCRAPED_EVERY.as_secs(),
            self.runs.describe()
        )
    }
}

pub(super) async fn run(bench: Bench<'_>, args: &MonitorArgs) -> anyhow::Result<Vec<Figure>> {
    let mut figures =
        within(bench.session, bench.shutdown, "monitor", async |arena| many_classes(arena, args).await).await?;
    figures.push(within(bench.session, bench.shutdown, "monitor", async |arena| a_worker(arena, args).await).await?);
    Ok(figures)
}

/// The monitor of a projection with many classes, with a worker each.
async fn many_classes(arena: &Arena, args: &MonitorArgs) -> anyhow::Result<Vec<Figure>> {
    Sample { events: 10_000, aggregates: 1_000 }.write(arena).await?;
    let mut conn = arena.database.connect().await?;
    fill(arena, &mut conn, args.classes).await?;
    let server = cpu::Server::of(&mut conn).await?;
    let (mut scrapes, mut own, mut servers) = (vec![], vec![], vec![]);
    let steps = steps(args.runs.runs);
    for _ in 0..args.runs.runs {
        let (monitor, address) = start(arena)?;
        until_counted(address).await?;
        let mut took_each = Vec::new();
        for _ in 0..SCRAPES {
            let (took, text) = scrape(address).await?;
            let classes = text.matches("\nevenfold_projection_position{").count();
            anyhow::ensure!(
                classes == args.classes as usize,
                "the monitor shows {classes} of {} classes",
                args.classes
            );
            took_each.push(took);
        }
        scrapes.extend(median(&took_each));
        let used = || Some((cpu::seconds_of(monitor.0.id())?, server?.seconds()?));
        let (before, began) = (used(), Instant::now());
        while began.elapsed() < Duration::from_secs(args.seconds) {
            scrape(address).await?;
            let left = Duration::from_secs(args.seconds).saturating_sub(began.elapsed());
            tokio::time::sleep(SCRAPED_EVERY.min(left)).await;
        }
        let per_second = |before: f64, after: f64| (after - before) * 1_000.0 / began.elapsed().as_secs_f64();
        if let (Some(before), Some(after)) = (before, used()) {
            own.push(per_second(before.0, after.0));
            servers.push(per_second(before.1, after.1));
        }
        steps.inc(1);
    }
    steps.finish_and_clear();
    let figure = |what: &str, samples, limit, goal| Figure {
        what: what.to_owned(),
        unit: Unit::Milliseconds,
        samples,
        against: "the limit",
        yardstick: vec![limit],
        goal,
    };
    Ok(vec![
        figure("scrape", scrapes, MOST_MS, Goal::AtMost(1.0)),
        figure("monitor: CPU", own, MOST_CPU_MS, Goal::AtMost(1.0)),
        figure("server: CPU", servers, MOST_CPU_MS, Goal::Open),
    ])
}

/// Checkpoints that have applied everything, each with the heartbeat of a worker.
async fn fill(arena: &Arena, conn: &mut PgConnection, classes: u32) -> anyhow::Result<()> {
    let schema = arena.database.schema();
    for statement in [
        "INSERT INTO evenfold.projections (name, definition) SELECT 'watched', 'everything' WHERE $1 > 0",
        "INSERT INTO evenfold.topologies (projection, total) VALUES ('watched', $1)",
        "INSERT INTO evenfold.checkpoints (projection, modulus, residue, seen, floor, next_xid, owner)
         SELECT 'watched', $1, n, pg_current_snapshot(), (SELECT max(position) FROM evenfold.events),
             pg_snapshot_xmax(pg_current_snapshot()), gen_random_uuid() FROM generate_series(0, $1 - 1) n",
        "INSERT INTO evenfold.heartbeats (worker, projection, partition_key, total_partitions, process, state, applied,
             coordination_ms, compute_ms, beat_at)
         SELECT owner, projection, residue, $1, 'host:' || residue, 'caught up', 1000, 1000, 1000, now() + interval '1 hour'
         FROM evenfold.checkpoints WHERE modulus = $1",
    ] {
        sqlx::query(schema.sql(statement)).bind(i64::from(classes)).execute(&mut *conn).await?;
    }
    sqlx::query(schema.sql("ANALYZE evenfold.checkpoints, evenfold.heartbeats")).execute(conn).await?;
    Ok(())
}

/// The monitor as a process of its own, and where it answers.
fn start(arena: &Arena) -> anyhow::Result<(Process, SocketAddr)> {
    let program = std::env::current_exe().context("can't find this program, to start it as a monitor")?;
    let mut command = Command::new(program);
    command
        .args(["monitor", "--http=127.0.0.1:0", "--log=error"])
        .env("DATABASE_URL", &arena.url)
        .env("EVENFOLD_SCHEMA", arena.database.schema().name())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut process = Process(command.spawn().context("can't start the monitor")?);
    let mut line = String::new();
    let out = process.0.stdout.take().context("the monitor has no output")?;
    BufReader::new(out).read_line(&mut line)?;
    let address = line.split_once("http://").and_then(|(_, rest)| rest.split(['/', '\n']).next()?.trim().parse().ok());
    Ok((process, address.with_context(|| format!("the monitor printed no address: {line}"))?))
}

/// Waits until the monitor has counted all classes: before that its figures are few.
async fn until_counted(address: SocketAddr) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let answer = get(address, "/readyz").await?;
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        anyhow::ensure!(started.elapsed() < PATIENCE, "the monitor has not counted everything: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The whole answer to a request on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// How long a scrape took, with its connection, in milliseconds; and its text.
async fn scrape(address: SocketAddr) -> anyhow::Result<(f64, String)> {
    let started = Instant::now();
    let text = get(address, "/metrics").await?;
    Ok((started.elapsed().as_secs_f64() * 1_000.0, text))
}

/// A worker that shows figures, and is scraped every second, against one that does not.
async fn a_worker(arena: &Arena, args: &MonitorArgs) -> anyhow::Result<Figure> {
    args.sample().write(arena).await?;
    let (mut with, mut without) = (vec![], vec![]);
    let mut conn = arena.database.connect().await?;
    let steps = steps(2 * args.runs.runs);
    for run in 0..args.runs.runs {
        // What runs second finds warmer caches: each of the two does so in half of the runs.
        for figures in [run % 2 == 0, run % 2 == 1] {
            let took = folded(arena, &mut conn, args, figures).await?;
            if figures { &mut with } else { &mut without }.extend(took);
            steps.inc(1);
        }
    }
    steps.finish_and_clear();
    Ok(Figure {
        what: "worker: CPU, scraped".to_owned(),
        unit: Unit::Seconds,
        samples: with,
        against: "without",
        yardstick: without,
        goal: Goal::AtMost(1.01),
    })
}

/// The processor time that a worker process took for the whole log. On a clock, what else the machine does is more than
/// what is looked for.
async fn folded(
    arena: &Arena,
    conn: &mut PgConnection,
    args: &MonitorArgs,
    figures: bool,
) -> anyhow::Result<Option<f64>> {
    start_over(arena.database.schema(), conn).await?;
    let mut command = child::worker(arena, &args.tuning, 0, 1)?;
    command.arg("--until-caught-up");
    let address: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    if figures {
        command.args(["--http", &address.to_string()]);
    }
    let before = cpu::seconds_of_ended();
    let mut process = Process(command.spawn().context("can't start a worker process")?);
    let scraping = async {
        loop {
            // It does not answer before it has begun, nor when it has ended.
            let _ = scrape(address).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let complaint = tokio::select! {
        complaint = child::ended(&mut process) => complaint?,
        () = scraping, if figures => String::new(),
    };
    child::outcome(&mut process, &complaint)?;
    Ok(before.zip(cpu::seconds_of_ended()).map(|(before, after)| after - before))
}
