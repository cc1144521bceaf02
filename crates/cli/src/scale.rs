//! `scale`: the number of partitions, changed while events come in.

use super::demo::caught_up;
use super::generate::{GenerateArgs, generate};
use super::output::{per_second, print, table, thousands};
use super::panel::{Panel, TICK};
use super::progress::endless;
use super::session::{self, Session};
use super::tuning::Tuning;
use super::verify::verify;
use super::{Global, signals};
use crate::config::number;
use anyhow::{anyhow, bail};
use clap::Args;
use evenfold::checkpoint::Takeover;
use evenfold::class::{Class, MAX_PARTITIONS};
use evenfold::projection::{Pool, PoolError, PoolWorker, RunError, WorkerError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Counters that differ are listed up to this many.
const SHOWN: u32 = 10;

/// How long the workers of a replaced number of partitions may take to notice.
const HANDOVER: Duration = Duration::from_mins(1);

/// Through which numbers of partitions to go, how fast, and how much is written meanwhile.
#[derive(Debug, Args)]
pub(super) struct Course {
    /// The number of partitions to begin with: 1 to 65536
    #[arg(long, default_value = "1", value_name = "N", conflicts_with = "path", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_PARTITIONS)))]
    from: u32,
    /// The number of partitions to change to: 1 to 65536
    #[arg(long, default_value = "4", value_name = "N", conflicts_with = "path", value_parser = |t: &str| number::<u32>(t, &(1..=MAX_PARTITIONS)))]
    to: u32,
    /// Several numbers of partitions to walk through, as in 1,4,3,7,2
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = |t: &str| number::<u32>(t, &(1..=MAX_PARTITIONS)))]
    path: Vec<u32>,
    /// How long each number of partitions is kept, in milliseconds: 100 to 3600000
    #[arg(long, default_value = "3000", value_name = "MS", value_parser = |t: &str| number::<u64>(t, &(100..=3_600_000)))]
    stage_ms: u64,
    /// Events that are written meanwhile, per second: 1 to 10000000
    #[arg(long, default_value = "5000", value_name = "PER_SECOND", value_parser = |t: &str| number::<u64>(t, &(1..=10_000_000)))]
    pub(super) rate: u64,
}

impl Course {
    pub(super) fn path(&self) -> Vec<u32> {
        if self.path.is_empty() { vec![self.from, self.to] } else { self.path.clone() }
    }

    pub(super) fn stage(&self) -> Duration {
        Duration::from_millis(self.stage_ms)
    }
}

/// What is written on the way.
pub(super) fn steps(path: &[u32]) -> String {
    path.iter().map(u32::to_string).collect::<Vec<_>>().join(" -> ")
}

#[derive(Debug, Args)]
pub(super) struct ScaleArgs {
    #[command(flatten)]
    course: Course,
    #[command(flatten)]
    tuning: Tuning,
}

/// What one number of partitions did: per partition, events and the pause before its first.
pub(super) struct Stage {
    total: u32,
    partitions: Vec<(Class, u64, Option<Duration>)>,
    lasted: Duration,
}

pub(super) async fn run(global: &Global, args: ScaleArgs) -> anyhow::Result<()> {
    args.tuning.check()?;
    let path = args.course.path();
    let shutdown = signals::shutdown()?;
    let session = Session::demonstration(global).await?;
    let outcome = scale(&session, &args, &path, &shutdown).await;
    session.close().await?;
    outcome?;
    print(&session::look_around(global))
}

async fn scale(session: &Session, args: &ScaleArgs, path: &[u32], shutdown: &CancellationToken) -> anyhow::Result<()> {
    let (rate, steps) = (args.course.rate, steps(path));
    print(&format!("8 writers append {} events per second; partitions: {steps}\n", thousands(rate)))?;
    let stop_writing = shutdown.child_token();
    let appended = endless("appended");
    appended.enable_steady_tick(TICK);
    let endless = GenerateArgs {
        events: 1_000_000_000,
        aggregates: 10_000,
        writers: 8,
        batch_size: 5,
        rate: Some(rate),
        seed: None,
    };
    let writing = generate(&session.database, endless, &appended, stop_writing.clone());
    let walking = async {
        let start = |partitions: &[Class], stop: &CancellationToken| {
            let tuning = args.tuning.clone();
            let make = move |class| tuning.worker(class, Takeover::Now);
            Pool::start(&session.database, partitions, make, &args.tuning.run_options(), stop)
        };
        let walked = walk(path, args.course.stage(), shutdown, start).await;
        stop_writing.cancel();
        walked
    };
    let (written, walked) = tokio::join!(writing, walking);
    let (written, (stages, last, stop)) = (written?, walked?);
    let total = path.last().copied().unwrap_or(1);
    let partitions = (0..total).map(|key| Class::partition(key, total)).collect::<Result<Vec<_>, _>>()?;
    caught_up(session, &partitions, shutdown).await?;
    stop.cancel();
    end(last).await?;
    appended.finish_and_clear();
    if shutdown.is_cancelled() {
        bail!("interrupted: what was applied stays applied");
    }
    print(&format!("{}\n{} events appended.\n", render(&stages), thousands(written)))?;
    verify(session.database.schema(), &mut session.connect().await?, &args.tuning.counters.amount_pointer, SHOWN, false)
        .await
}

pub(super) type Walked = (Vec<Stage>, Pool, CancellationToken);

/// Goes through the numbers of partitions: each one's workers are started while those of the last one run, and take
/// over from them.
pub(super) async fn walk(
    path: &[u32],
    stay_for: Duration,
    shutdown: &CancellationToken,
    start: impl Fn(&[Class], &CancellationToken) -> Result<Pool, PoolError>,
) -> anyhow::Result<Walked> {
    let mut stages = Vec::new();
    let mut before: Option<(Pool, CancellationToken)> = None;
    for &total in path {
        let started = Instant::now();
        let partitions = (0..total).map(|key| Class::partition(key, total)).collect::<Result<Vec<_>, _>>()?;
        let stop = CancellationToken::new();
        let pool = start(&partitions, &stop)?;
        let mut panel = Panel::new(&pool);
        let stay = async {
            let old = match before.take() {
                Some((old, _)) => {
                    let members = old.members().to_vec();
                    let ended = tokio::time::timeout(HANDOVER, end(old)).await;
                    ended.map_err(|_| slow_handover(&members))??;
                    members
                }
                None => Vec::new(),
            };
            shutdown.run_until_cancelled(tokio::time::sleep(stay_for)).await;
            Ok::<_, anyhow::Error>(old)
        };
        let old = tokio::select! {
            old = stay => old?,
            never = panel.draw() => match never {},
        };
        panel.clear();
        stages.push(stage(total, &pool, &old, started.elapsed()));
        before = Some((pool, stop));
    }
    let (last, stop) = before.ok_or_else(|| anyhow!("the path is empty"))?;
    Ok((stages, last, stop))
}

fn slow_handover(old: &[PoolWorker]) -> anyhow::Error {
    let (workers, seconds) = (old.len(), HANDOVER.as_secs());
    anyhow!(
        "the {workers} workers that were replaced have not ended within {seconds} s: is the machine under load? Run it again"
    )
}

/// Waits until every worker of a pool has ended: as it was to, or superseded.
pub(super) async fn end(mut pool: Pool) -> anyhow::Result<()> {
    while let Some((_, ended)) = pool.ended().await {
        match ended {
            Ok(_) | Err(RunError::Worker(WorkerError::Superseded { .. })) => {}
            Err(error) => bail!(error),
        }
    }
    Ok(())
}

fn stage(total: u32, pool: &Pool, old: &[PoolWorker], lasted: Duration) -> Stage {
    let of = |member: &PoolWorker| {
        // From the last commit of anybody who had some of its events to its own first one.
        let last =
            old.iter().filter(|o| o.partition.overlaps(member.partition)).filter_map(|o| Some(o.progress.commits()?.1));
        let pause =
            last.max().zip(member.progress.commits()).map(|(last, (first, _))| first.saturating_duration_since(last));
        (member.partition, member.progress.applied(), pause)
    };
    Stage { total, partitions: pool.members().iter().map(of).collect(), lasted }
}

pub(super) fn render(stages: &[Stage]) -> String {
    let rows: Vec<Vec<String>> = stages
        .iter()
        .flat_map(|stage| {
            stage.partitions.iter().map(|(class, events, pause)| {
                vec![
                    stage.total.to_string(),
                    class.to_string(),
                    thousands(*events),
                    per_second(*events, stage.lasted),
                    pause.map_or("-".to_owned(), |pause| {
                        format!("{} ms", thousands(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)))
                    }),
                ]
            })
        })
        .collect();
    table(&["total", "partition", "events", "rate", "pause"], &rows, 0)
}
