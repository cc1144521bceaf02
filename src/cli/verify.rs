use super::Global;
use super::output::{print, print_json, thousands};
use super::session::Session;
use anyhow::Context;
use clap::Args;
use evenfold::config::number;
use evenfold::counter::AmountPointer;
use evenfold::projection::counters::{Mismatch, mismatches, totals};
use sqlx::PgConnection;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The amount pointer that the workers have
    #[arg(long, env = "EVENFOLD_AMOUNT_POINTER", default_value = "/amount", value_name = "POINTER")]
    amount_pointer: AmountPointer,
    /// How many counters that differ to list: 1 to 1000000
    #[arg(long, default_value = "100", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=1_000_000)))]
    limit: u32,
    /// One JSON object per counter that differs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: VerifyArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    let differ = mismatches(&mut conn, &args.amount_pointer, args.limit).await.context("recomputing the counters");
    let agreed = totals(&mut conn).await?;
    drop(conn);
    session.close().await?;
    let differ = differ?;
    if args.json {
        differ.iter().try_for_each(print_json)?;
    } else {
        print(&told(&differ, agreed))?;
    }
    if differ.is_empty() { Ok(()) } else { Err(disagree(&differ)) }
}

/// Verifies, and says so.
pub(super) async fn verify(conn: &mut PgConnection, pointer: &AmountPointer) -> anyhow::Result<()> {
    let differ = mismatches(conn, pointer, 10).await.context("recomputing the counters")?;
    print(&told(&differ, totals(conn).await?))?;
    if differ.is_empty() { Ok(()) } else { Err(disagree(&differ)) }
}

fn disagree(differ: &[Mismatch]) -> anyhow::Error {
    anyhow::anyhow!("{} counters do not agree with the log (or more: see --limit)", differ.len())
}

fn told(differ: &[Mismatch], (counters, events): (i64, i64)) -> String {
    if differ.is_empty() {
        return format!(
            "Recomputed by one SQL query over the whole log: all {} counters agree ({} events).\n",
            thousands(counters),
            thousands(events)
        );
    }
    let side = |side: &Option<(i64, String)>| match side {
        Some((events, value)) => format!("{events} events, value {value}"),
        None => "nothing".to_owned(),
    };
    let line = |m: &Mismatch| {
        format!(
            "{}/{}: by the log {}; by the counters {}\n",
            m.aggregate_type,
            m.aggregate_id,
            side(&m.log),
            side(&m.read_model)
        )
    };
    differ.iter().map(line).collect()
}
