//! The counters, compared with what one query makes of the log.

use super::super::output::{print, print_json, thousands, visible};
use super::notes::{notes, nothing, report};
use super::removed;
use anyhow::{Context, bail};
use evenfold::checkpoint::{self, Status};
use evenfold::counter::AmountPointer;
use evenfold::counters::{self, Mismatch, NAME, Tally, UnreadableEvent, mismatches, mismatches_of, totals};
use evenfold::log::{OpenSource, Source};
use evenfold::schema::Schema;
use sqlx::PgConnection;

/// Recomputes the counters, and says whether they agree with the log, and with how much of it: an error if any does
/// not.
pub(crate) async fn verify(
    own: &Schema,
    conn: &mut PgConnection,
    pointer: &AmountPointer,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    counters::check_begun(own, conn, pointer).await?;
    let differ = mismatches(own, conn, pointer, limit).await.context("recomputing the counters")?;
    let status = checkpoint::status(own, conn, NAME).await?;
    outcome(own, conn, (&differ, &status, None), pointer, ("Recomputed by one SQL query over", json)).await
}

/// The same of a log that others write.
pub(super) async fn verify_of(
    own: &Schema,
    conn: &mut PgConnection,
    (source, log): (&Source, &mut OpenSource),
    pointer: &AmountPointer,
    (limit, json): (u32, bool),
) -> anyhow::Result<()> {
    let compared = mismatches_of(own, conn, source, pointer, limit).await?;
    let status = checkpoint::status_of(own, conn, Some(&mut *log), NAME).await?;
    removed::list(&compared, log, json)?;
    if compared.differ.is_empty() && compared.removed_in_all > 0 {
        let others = removed::agreement(own, conn, &compared, status.behind()).await?;
        return report(&others, &notes(own, conn, &status, true).await?, json);
    }
    outcome(own, conn, (&compared.differ, &status, Some(log)), pointer, ("Folded again:", json)).await
}

/// Shows what differs, or that nothing does.
async fn outcome(
    own: &Schema,
    conn: &mut PgConnection,
    (differ, status, log): (&[Mismatch], &Status, Option<&mut OpenSource>),
    pointer: &AmountPointer,
    (how, json): (&str, bool),
) -> anyhow::Result<()> {
    for mismatch in differ {
        if json { print_json(mismatch)? } else { print(&described(mismatch))? }
    }
    if !differ.is_empty() {
        bail!("the {NAME} listed above do not agree with the log: {}", way_out(status, pointer));
    }
    let (counters, events) = totals(own, conn).await?;
    let outcome = if events > 0 {
        let of = if status.behind() > 0 { "what is applied of the log" } else { "the whole log" };
        let (counters, events) = (thousands(counters), thousands(events));
        format!("{how} {of}: all {counters} counters agree\n({events} events).\n")
    } else {
        nothing(own, conn, log).await?
    };
    report(&outcome, &notes(own, conn, status, events > 0).await?, json)
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
