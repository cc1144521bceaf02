//! `verify`: the counters, compared with what the log makes of them.

use super::Global;
use super::output::{complain, print, print_json, thousands, visible};
use super::session::Session;
use crate::config::number;
use anyhow::{Context, bail};
use clap::Args;
use evenfold::checkpoint::{self, Status};
use evenfold::counter::AmountPointer;
use evenfold::counters::{self, Mismatch, NAME, Tally, UnreadableEvent, mismatches, totals};
use evenfold::log;
use evenfold::schema::Schema;
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
    let outcome = verify(session.database.schema(), &mut conn, &args.amount_pointer, args.limit, args.json).await;
    drop(conn);
    session.close().await?;
    outcome
}

/// Recomputes the counters, and says whether they agree with the log, and with how much of it: an error if any does
/// not.
pub(super) async fn verify(
    own: &Schema,
    conn: &mut PgConnection,
    pointer: &AmountPointer,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    counters::check_begun(own, conn, pointer).await?;
    let differ = mismatches(own, conn, pointer, limit).await.context("recomputing the counters")?;
    for mismatch in &differ {
        if json { print_json(mismatch)? } else { print(&described(mismatch))? }
    }
    let status = checkpoint::status(own, conn, NAME).await?;
    if !differ.is_empty() {
        bail!("the {NAME} listed above do not agree with the log: {}", way_out(&status, pointer));
    }
    let (outcome, notes) = agreement(own, conn, &status).await?;
    match (json, notes.is_empty()) {
        (false, _) => print(&format!("{outcome}{notes}")),
        (true, false) => {
            complain(&format!("{outcome}{notes}"));
            Ok(())
        }
        (true, true) => Ok(()),
    }
}

/// What to do about counters that differ.
fn way_out(status: &Status, pointer: &AmountPointer) -> String {
    if !status.cover_complete {
        return format!(
            "`evenfold repair --start-over {NAME}` empties them, and their workers make them anew from the start"
        );
    }
    let flag = if *pointer == AmountPointer::default() {
        String::new()
    } else {
        format!(" --amount-pointer '{}'", pointer.to_string().replace('\'', r"'\''"))
    };
    format!("`evenfold rebuild{flag}` makes them anew, while workers run, and parks what can't be applied")
}

/// That the counters agree, and what the agreement does not cover.
async fn agreement(own: &Schema, conn: &mut PgConnection, status: &Status) -> anyhow::Result<(String, String)> {
    let (counters, events) = totals(own, conn).await?;
    let behind: u64 = status.classes.iter().map(|class| class.behind).sum();
    let parked: i64 = status.classes.iter().map(|class| class.parked).sum();
    let mut notes = Vec::new();
    let outcome = if events > 0 {
        let of = if behind > 0 { "what is applied of the log" } else { "the whole log" };
        let (counters, events) = (thousands(counters), thousands(events));
        format!("Recomputed by one SQL query over {of}: all {counters} counters agree\n({events} events).\n")
    } else {
        match log::count(own, conn).await? {
            0 => "Nothing is verified: the log has no events.\n".to_owned(),
            events => format!("Nothing is verified: none of the {} events in the log is applied.\n", thousands(events)),
        }
    };
    if behind > 0 {
        notes.push(format!("Not complete: {} events of the log are not applied yet.\n", thousands(behind)));
    }
    if behind > 0 || events == 0 {
        notes.push(match checkpoint::last_beat(own, conn, NAME).await? {
            None => "No worker is at work.\n".to_owned(),
            Some(ago) => format!("The last heartbeat of a worker is {:.0} s old.\n", ago.as_secs_f64()),
        });
    }
    if parked > 0 {
        let parked = thousands(parked);
        notes.push(format!("{parked} aggregates are parked, and count on neither side: `evenfold parked list`.\n"));
    }
    Ok((outcome, notes.concat()))
}

/// What a counter is by the log and by the read model, as far as they differ.
fn described(mismatch: &Mismatch) -> String {
    let Mismatch { aggregate_type, aggregate_id, log, read_model, unreadable } = mismatch;
    let name = format!("{}/{}", visible(aggregate_type), visible(aggregate_id));
    if let Some(UnreadableEvent { position, reason }) = unreadable {
        let reason = visible(reason);
        let value = read_model.as_ref().and_then(|counter| counter.value.as_deref()).unwrap_or("nothing");
        return format!(
            "{name}: PostgreSQL can't read the payload at position {position} ({reason}),\nso that the value {value} \
             can't be verified\n"
        );
    }
    let (Some(ours), Some(theirs)) = (log, read_model) else {
        let side = |side: &Option<Tally>| side.as_ref().map_or("nothing".to_owned(), sum);
        return format!("{name}: the log says {}, the read model {}\n", side(log), side(read_model));
    };
    let mut sides = [Vec::new(), Vec::new()];
    let columns: [fn(&Tally) -> String; 3] =
        [sum, |t| format!("version {}", t.version), |t| format!("the last position {}", t.last_position)];
    for [ours, theirs] in columns.map(|column| [column(ours), column(theirs)]) {
        if ours != theirs {
            sides[0].push(ours);
            sides[1].push(theirs);
        }
    }
    let [ours, theirs] = sides.map(|side| side.join(" and "));
    format!("{name}: the log says {ours}, the read model {theirs}\n")
}

fn sum(tally: &Tally) -> String {
    format!("{} events with the value {}", thousands(tally.events), tally.value.as_deref().unwrap_or("?"))
}
