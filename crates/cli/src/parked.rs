//! `parked`: events that could not be applied.

use super::output::{print, print_json, table, thousands, visible};
use super::progress::bar;
use super::projections::{ProjectionArg, Projections};
use super::registry::Parked;
use super::session::Session;
use super::source::Logs;
use super::{Global, signals};
use crate::config::number;
use clap::{Args, Subcommand};
use evenfold::checkpoint::{ParkedAggregate, count_parked, list_parked};
use evenfold::event::Aggregate;
use evenfold::projection::parked::{Retried, RetriedTogether, RetryAll, StillParked};
use evenfold::schema::Schema;
use sqlx::PgConnection;

/// Aggregates that are still parked after all were tried, and are listed one by one.
const LISTED: usize = 20;

#[derive(Debug, Args)]
pub(super) struct ParkedArgs {
    #[command(subcommand)]
    command: ParkedCommand,
}

#[derive(Debug, Subcommand)]
enum ParkedCommand {
    /// List the aggregates that are parked, and why
    List {
        /// How many: 1 to 1000000
        #[arg(long, default_value = "100", value_name = "N", value_parser = |t: &str| number::<i64>(t, &(1..=1_000_000)))]
        limit: i64,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        projection: ProjectionArg,
    },
    /// Apply the parked events after all, as far as they can be
    Retry(Which),
    /// Drop the first parked event of an aggregate, and apply those behind it
    Drop(One),
}

#[derive(Debug, Args)]
struct Which {
    /// The aggregate's type
    #[arg(value_name = "TYPE", required_unless_present = "all", requires = "aggregate_id")]
    aggregate_type: Option<String>,
    /// The aggregate's id
    #[arg(value_name = "ID")]
    aggregate_id: Option<String>,
    /// Every parked aggregate
    #[arg(long, conflicts_with = "aggregate_type")]
    all: bool,
    #[command(flatten)]
    projection: ProjectionArg,
}

#[derive(Debug, Args)]
struct One {
    /// The aggregate's type
    #[arg(value_name = "TYPE")]
    aggregate_type: String,
    /// The aggregate's id
    #[arg(value_name = "ID")]
    aggregate_id: String,
    #[command(flatten)]
    projection: ProjectionArg,
}

pub(super) async fn run(global: &Global, args: ParkedArgs, known: &Projections<'_>) -> anyhow::Result<()> {
    let projection = match &args.command {
        ParkedCommand::List { projection, .. } => projection.clone(),
        ParkedCommand::Retry(which) => which.projection.clone(),
        ParkedCommand::Drop(one) => one.projection.clone(),
    };
    let name = known.name(&projection)?;
    let retrying = match &args.command {
        ParkedCommand::List { .. } => None,
        ParkedCommand::Retry(_) | ParkedCommand::Drop(_) => Some(known.configured(&projection, None)?.1),
    };
    let session = Session::open(global).await?;
    // Before the tables have statistics, their rows are found by their indexes all the same.
    let (own, mut conn) = (session.database.schema(), session.connect_by_index().await?);
    let retrying = match retrying {
        None => None,
        Some(projection) => {
            let logs = Logs::open(global, &session).await?;
            Some(projection.parked(logs.source_of(own, &mut conn, name).await?.cloned()))
        }
    };
    let outcome = match (args.command, retrying) {
        (ParkedCommand::List { limit, json, .. }, _) => list(own, &mut conn, name, limit, json).await,
        (
            ParkedCommand::Retry(Which {
                aggregate_type: Some(aggregate_type), aggregate_id: Some(aggregate_id), ..
            }),
            Some(mut projection),
        ) => retry_one(own, &mut conn, &Aggregate { aggregate_type, aggregate_id }, &mut *projection).await,
        (ParkedCommand::Retry(_), Some(mut projection)) => retry_all(own, &mut conn, name, &mut *projection).await,
        (ParkedCommand::Drop(one), Some(mut projection)) => drop_one(own, &mut conn, one, &mut *projection).await,
        (ParkedCommand::Retry(_) | ParkedCommand::Drop(_), None) => Ok(()),
    };
    drop(conn);
    session.close().await?;
    outcome
}

async fn list(own: &Schema, conn: &mut PgConnection, name: &str, limit: i64, json: bool) -> anyhow::Result<()> {
    let parked = list_parked(own, conn, name, limit).await?;
    if json {
        return parked.iter().try_for_each(print_json);
    }
    if parked.is_empty() {
        return print("nothing is parked\n");
    }
    let cells = |p: &ParkedAggregate| {
        let numbers = [p.events, p.version.get(), p.position.get()].map(|n| n.to_string());
        [p.aggregate_type.clone(), p.aggregate_id.clone()]
            .into_iter()
            .chain(numbers)
            .chain([p.reason.clone()])
            .collect()
    };
    let rows: Vec<Vec<String>> = parked.iter().map(cells).collect();
    print(&table(&["type", "id", "events", "version", "position", "reason"], &rows, usize::MAX))
}

async fn retry_one(
    own: &Schema,
    conn: &mut PgConnection,
    aggregate: &Aggregate,
    projection: &mut dyn Parked,
) -> anyhow::Result<()> {
    let retried = projection.retry(own, conn, aggregate).await?;
    print(&sentence_of(aggregate, &retried))?;
    if matches!(retried, Retried::Parked { .. }) {
        anyhow::bail!("{aggregate} is still parked");
    }
    Ok(())
}

/// What became of all parked aggregates that were tried so far.
#[derive(Default)]
struct RetriedAggregate {
    aggregates: u64,
    applied: u64,
    still: u64,
    listed: Vec<StillParked>,
}

async fn retry_all(
    own: &Schema,
    conn: &mut PgConnection,
    name: &str,
    projection: &mut dyn Parked,
) -> anyhow::Result<()> {
    let shutdown = signals::shutdown()?;
    let parked = count_parked(own, conn, name).await?;
    if parked == 0 {
        return print("nothing is parked\n");
    }
    let (mut all, mut tried) = (RetryAll::default(), RetriedAggregate::default());
    let bar = bar("tried", parked.unsigned_abs());
    // Between two transactions: what was tried by then stays as it is.
    let outcome = loop {
        if shutdown.is_cancelled() {
            break Ok(false);
        }
        match projection.retry_next(&mut all, own, conn).await {
            Ok(Some(batch)) => {
                bar.inc(batch.events);
                tried.add(batch);
            }
            Ok(None) => break Ok(true),
            Err(error) => break Err(error),
        }
    };
    bar.finish_and_clear();
    tried.print()?;
    match outcome? {
        true if tried.still == 0 => Ok(()),
        true => {
            anyhow::bail!("{} of {} aggregates are still parked", thousands(tried.still), thousands(tried.aggregates))
        }
        false => anyhow::bail!("stopped before all parked aggregates were tried; run it again to try the others"),
    }
}

impl RetriedAggregate {
    fn add(&mut self, batch: RetriedTogether) {
        self.aggregates += batch.aggregates;
        self.applied += batch.applied;
        self.still += batch.still.len() as u64;
        let room = LISTED - self.listed.len();
        self.listed.extend(batch.still.into_iter().take(room));
    }

    fn print(&self) -> anyhow::Result<()> {
        for StillParked { aggregate, version, reason } in &self.listed {
            let aggregate = visible(&aggregate.to_string()).into_owned();
            print(&format!("{aggregate}: still parked at version {version}: {reason}\n"))?;
        }
        if self.still > LISTED as u64 {
            print(&format!("and {} more: see `evenfold parked list`\n", thousands(self.still - LISTED as u64)))?;
        }
        let Self { aggregates, applied, .. } = self;
        print(&format!("tried {} aggregates, applied {} events\n", thousands(*aggregates), thousands(*applied)))
    }
}

async fn drop_one(own: &Schema, conn: &mut PgConnection, one: One, projection: &mut dyn Parked) -> anyhow::Result<()> {
    let aggregate = Aggregate { aggregate_type: one.aggregate_type, aggregate_id: one.aggregate_id };
    match projection.drop_first(own, conn, &aggregate).await? {
        Retried::NotParked => anyhow::bail!("{aggregate} is not parked"),
        // Whose event it was, and that the read model does without it from now on.
        retried => print(&format!(
            "dropped the first parked event of {}\n{}",
            visible(&aggregate.to_string()),
            sentence_of(&aggregate, &retried)
        )),
    }
}

fn sentence_of(aggregate: &Aggregate, retried: &Retried) -> String {
    let aggregate = visible(&aggregate.to_string()).into_owned();
    match retried {
        Retried::Applied { events } => format!("{aggregate}: applied {events} events, nothing is parked any more\n"),
        Retried::Parked { events, version, reason } => {
            format!("{aggregate}: applied {events} events, parked again at version {version}: {reason}\n")
        }
        Retried::NotParked => format!("{aggregate}: was not parked\n"),
    }
}
