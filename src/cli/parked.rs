use super::Global;
use super::output::{print, print_json, table};
use super::session::Session;
use clap::{Args, Subcommand};
use evenfold::checkpoint::{ParkedAggregate, list_parked};
use evenfold::config::number;
use evenfold::counter::AmountPointer;
use evenfold::event::Aggregate;
use evenfold::projection::counters::{Counters, NAME};
use evenfold::projection::parked::{Retried, drop_first, retry};
use sqlx::PgConnection;

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
    },
    /// Apply the parked events after all, as far as they can be
    Retry(Which),
    /// Give up the first parked event of an aggregate, and apply those behind it
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
    pointer: Pointer,
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
    pointer: Pointer,
}

#[derive(Debug, Args)]
struct Pointer {
    /// The amount pointer that the workers have
    #[arg(long, env = "EVENFOLD_AMOUNT_POINTER", default_value = "/amount", value_name = "POINTER")]
    amount_pointer: AmountPointer,
}

impl Pointer {
    fn projection(self) -> Counters {
        Counters::new(self.amount_pointer, 10_000)
    }
}

pub(super) async fn run(global: &Global, args: ParkedArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    let outcome = match args.command {
        ParkedCommand::List { limit, json } => list(&mut conn, limit, json).await,
        ParkedCommand::Retry(which) => retry_all(&mut conn, which).await,
        ParkedCommand::Drop(one) => drop_one(&mut conn, one).await,
    };
    drop(conn);
    session.close().await?;
    outcome
}

async fn list(conn: &mut PgConnection, limit: i64, json: bool) -> anyhow::Result<()> {
    let parked = list_parked(conn, NAME, None, limit).await?;
    if json {
        return parked.iter().try_for_each(print_json);
    }
    if parked.is_empty() {
        return print("nothing is parked\n");
    }
    let cells = |p: &ParkedAggregate| {
        let numbers = [p.events, p.version, p.position].map(|n| n.to_string());
        [p.aggregate_type.clone(), p.aggregate_id.clone()]
            .into_iter()
            .chain(numbers)
            .chain([p.reason.clone()])
            .collect()
    };
    let rows: Vec<Vec<String>> = parked.iter().map(cells).collect();
    print(&table(&["type", "id", "events", "version", "position", "reason"], &rows, usize::MAX))
}

async fn retry_all(conn: &mut PgConnection, which: Which) -> anyhow::Result<()> {
    let aggregates = match (which.aggregate_type, which.aggregate_id) {
        (Some(aggregate_type), Some(aggregate_id)) => vec![Aggregate { aggregate_type, aggregate_id }],
        _ => list_parked(conn, NAME, None, i64::MAX)
            .await?
            .into_iter()
            .map(|p| Aggregate { aggregate_type: p.aggregate_type, aggregate_id: p.aggregate_id })
            .collect(),
    };
    if aggregates.is_empty() {
        return print("nothing is parked\n");
    }
    let mut projection = which.pointer.projection();
    let mut still = 0;
    for aggregate in &aggregates {
        let retried = retry(conn, &mut projection, aggregate).await?;
        still += u32::from(matches!(retried, Retried::Parked { .. }));
        print(&told(aggregate, &retried))?;
    }
    if still > 0 {
        anyhow::bail!("{still} of {} aggregates are still parked", aggregates.len());
    }
    Ok(())
}

async fn drop_one(conn: &mut PgConnection, one: One) -> anyhow::Result<()> {
    let aggregate = Aggregate { aggregate_type: one.aggregate_type, aggregate_id: one.aggregate_id };
    let mut projection = one.pointer.projection();
    match drop_first(conn, &mut projection, &aggregate).await? {
        Retried::NotParked => anyhow::bail!("{aggregate} is not parked"),
        retried => print(&told(&aggregate, &retried)),
    }
}

fn told(aggregate: &Aggregate, retried: &Retried) -> String {
    match retried {
        Retried::Applied { events } => format!("{aggregate}: applied {events} events, nothing is parked any more\n"),
        Retried::Parked { events, version, reason } => {
            format!("{aggregate}: applied {events} events, parked again at version {version}: {reason}\n")
        }
        Retried::NotParked => format!("{aggregate}: was not parked\n"),
    }
}
