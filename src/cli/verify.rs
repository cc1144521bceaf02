use super::Global;
use super::output::{print, print_json, thousands};
use super::session::Session;
use anyhow::Context;
use clap::Args;
use evenfold::config::number;
use evenfold::counter::AmountPointer;
use evenfold::projection::counters::{Mismatch, NAME, mismatches, totals};
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
    let outcome = verify(&mut conn, &args.amount_pointer, args.limit, args.json).await;
    drop(conn);
    session.close().await?;
    outcome
}

/// Recomputes the counters, and says whether they agree with the log: an error if any does not.
pub(super) async fn verify(
    conn: &mut PgConnection,
    pointer: &AmountPointer,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    let differ = mismatches(conn, pointer, limit).await.context("recomputing the counters")?;
    for mismatch in &differ {
        if json { print_json(mismatch)? } else { print(&told(mismatch))? }
    }
    if !differ.is_empty() {
        anyhow::bail!(
            "the {NAME} listed above do not agree with the log: `evenfold rebuild` makes them anew, while workers run"
        );
    }
    if json {
        return Ok(());
    }
    let (counters, events) = totals(conn).await?;
    print(&format!(
        "Recomputed by one SQL query over the whole log: all {} counters agree\n({} events).\n",
        thousands(counters),
        thousands(events)
    ))
}

fn told(mismatch: &Mismatch) -> String {
    let side = |side: &Option<(i64, String)>| match side {
        Some((events, value)) => format!("{} events with the value {value}", thousands(*events)),
        None => "nothing".to_owned(),
    };
    let Mismatch { aggregate_type, aggregate_id, log, read_model } = mismatch;
    format!("{aggregate_type}/{aggregate_id}: the log says {}, the read model {}\n", side(log), side(read_model))
}
