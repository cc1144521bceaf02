//! Rows that were removed from a log that others write: what was applied of them is in the read model still, which is
//! no damage of that.

use super::super::output::{complain, print, print_json, thousands, visible};
use evenfold::counters::{Compared, Mismatch, totals};
use evenfold::log::OpenSource;
use evenfold::log::foreign::Foreign;
use evenfold::schema::Schema;
use serde::Serialize;
use sqlx::PgConnection;

/// Aggregates that are listed.
const LISTED: usize = 5;

/// For programs: as one that differs, with what makes it another case.
#[derive(Serialize)]
struct JsonRemoved<'a> {
    #[serde(flatten)]
    counter: &'a Mismatch,
    rows_removed: bool,
}

/// Lists the aggregates of which the log has fewer events than were applied.
pub(super) fn list(compared: &Compared, log: &OpenSource, json: bool) -> anyhow::Result<()> {
    if json {
        return compared
            .removed
            .iter()
            .try_for_each(|counter| print_json(&JsonRemoved { counter, rows_removed: true }));
    }
    let has_versions = log.layout().foreign().is_some_and(Foreign::has_versions);
    if !has_versions && compared.differ.iter().any(|counter| of_log(counter) < applied(counter)) {
        print(
            "Of some aggregates the log has fewer events than were applied. Rows were removed\nfrom it, or events were \
             applied twice: the log has no versions that show which.\n",
        )?;
    }
    if compared.removed_in_all == 0 {
        return Ok(());
    }
    let in_all = thousands(compared.removed_in_all);
    print(&format!("The log has fewer events than were applied, of {in_all} aggregates:\n"))?;
    for counter in compared.removed.iter().take(LISTED) {
        let name = format!("{}/{}", visible(&counter.aggregate_type), visible(&counter.aggregate_id));
        let (there, applied) = (thousands(of_log(counter)), thousands(applied(counter)));
        print(&format!("  {name}: {there} in the log, {applied} applied\n"))?;
    }
    let shown = i64::try_from(compared.removed.len().min(LISTED))?;
    if shown < compared.removed_in_all {
        print(&format!("  and {} more\n", thousands(compared.removed_in_all - shown)))?;
    }
    print(
        "Rows were removed from the log since, which is no difference of the read model:\nit keeps what they have counted, \
         until `evenfold rebuild` makes it from what is\nleft.\n",
    )
}

fn of_log(counter: &Mismatch) -> i64 {
    counter.log.as_ref().map_or(0, |log| log.events)
}

fn applied(counter: &Mismatch) -> i64 {
    counter.read_model.as_ref().map_or(0, |read_model| read_model.events)
}

/// That all others agree.
pub(super) async fn agreement(
    own: &Schema,
    conn: &mut PgConnection,
    compared: &Compared,
    behind: u64,
) -> anyhow::Result<String> {
    let (counters, _) = totals(own, conn).await?;
    let of = if behind > 0 { "what is applied of the log" } else { "the whole log" };
    Ok(match counters - compared.removed_in_all {
        0 => format!("Folded again: {of}. There are no other counters.\n"),
        others => format!("Folded again: {of}: all {} other counters agree.\n", thousands(others)),
    })
}

/// What is known where tables differ, of which nobody knows by which events each row was made.
pub(super) async fn note(log: Option<&mut OpenSource>, json: bool) -> anyhow::Result<()> {
    let Some(log) = log else { return Ok(()) };
    let deleted = log.deleted_rows().await?;
    if deleted == 0 {
        return Ok(());
    }
    let note = format!(
        "{} rows were deleted from the log's table since PostgreSQL's statistics began.\nAs far as they were applied before, \
         what they have made is among these\ndifferences.\n",
        thousands(deleted)
    );
    if json {
        complain(note.trim_end());
        return Ok(());
    }
    print(&note)
}
