//! A projection, folded again from the log into a shadow of its tables, which are compared row by row.

use super::super::output::{print, print_json, sentence, thousands, visible};
use super::super::registry::Configured;
use super::notes::{notes, nothing, report};
use super::removed;
use anyhow::bail;
use evenfold::checkpoint;
use evenfold::event::Aggregate;
use evenfold::log::{OpenSource, Source};
use evenfold::schema::Schema;
use evenfold::shadow::{DifferingRow, RefusedEvent, Side, TableOutcome, Verified, VerifiedTable};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use std::collections::HashSet;

/// Events that are listed where a projection refuses what is applied.
const LISTED: usize = 5;

/// A row that is on one side only, for programs.
#[derive(Serialize)]
struct JsonRow<'a> {
    projection: &'a str,
    table: &'a str,
    side: Side,
    times: i64,
    row: &'a RawValue,
}

/// Folds a projection again, and reports whether its tables agree, and with how much of the log: an error if any does
/// not.
pub(super) async fn verify(
    own: &Schema,
    conn: &mut PgConnection,
    (source, mut log): (Option<&Source>, Option<&mut OpenSource>),
    (name, projection): (&str, &dyn Configured),
    (limit, json): (u32, bool),
) -> anyhow::Result<()> {
    let verified = projection.verify(own, conn, source, limit).await?;
    if !verified.refused.is_empty() {
        return refused(name, &verified.refused, json);
    }
    for table in &verified.tables {
        list(name, table, json)?;
    }
    // A table that is gone, or has other columns, is so for another reason.
    let in_rows = |table: &VerifiedTable| table.agrees() || matches!(table.outcome, TableOutcome::Compared { .. });
    if !verified.agrees() && verified.erased > 0 && verified.tables.iter().all(in_rows) {
        return report("", &undecided(name, verified.erased), json);
    }
    if !verified.agrees() {
        removed::note(log, json).await?;
        bail!(
            "the tables of {name} listed above do not agree with the log, which was folded again in {:.1} s and one \
             snapshot: `evenfold rebuild --projection {name}` makes them anew, while workers run",
            verified.took.as_secs_f64()
        );
    }
    let status = checkpoint::status_of(own, conn, log.as_deref_mut(), name).await?;
    let agrees = || agreement(&verified, status.behind());
    let outcome = if verified.events > 0 { agrees() } else { nothing(own, conn, log).await? };
    report(&outcome, &notes(own, conn, &status, verified.events > 0).await?, json)
}

/// That the rows differ, and that this says nothing: they were made of payloads that are in the log no more.
fn undecided(name: &str, erased: u64) -> String {
    sentence(&format!(
        "Not verified: the rows of {name} are not what the log makes now, and need not be, since {} aggregates were erased \
         after {name} had applied events of them. `evenfold rebuild --projection {name}` makes them anew, of what is left; \
         from then on they can be compared.",
        thousands(erased)
    ))
}

fn agreement(verified: &Verified, behind: u64) -> String {
    let of = if behind > 0 { "What is applied of the log" } else { "The whole log" };
    let head = format!(
        "{of} was folded again, in {:.1} s and one snapshot: {} events.\n",
        verified.took.as_secs_f64(),
        thousands(verified.events)
    );
    let agreed = verified.tables.iter().filter_map(|VerifiedTable { name, outcome }| match outcome {
        TableOutcome::Compared { rows, .. } => {
            Some(format!("{}: all {} rows agree.\n", visible(name), thousands(*rows)))
        }
        _ => None,
    });
    std::iter::once(head).chain(agreed).collect()
}

fn refused(name: &str, refused: &[RefusedEvent], json: bool) -> anyhow::Result<()> {
    for RefusedEvent { position, aggregate, version, reason, .. } in refused.iter().take(LISTED) {
        let aggregate = visible(&aggregate.to_string()).into_owned();
        print(&format!("{aggregate}, version {version}, at position {position}: {}\n", visible(reason)))?;
    }
    // The later events of an aggregate are refused for the first one.
    let erased: HashSet<&Aggregate> =
        refused.iter().filter(|event| event.erased).map(|event| &event.aggregate).collect();
    if refused.iter().all(|event| erased.contains(&event.aggregate)) {
        let outcome = sentence(&format!(
            "Not verified: {name} refuses erased events, which it applied before they were erased. A rebuild would park \
             the aggregates: let the projection leave erased events out (WHERE NOT erased)."
        ));
        return report("", &outcome, json);
    }
    bail!(
        "{name} refuses {} events that it has applied before: it can't be compared until it applies them again",
        thousands(refused.len() as u64)
    )
}

/// What differs in a table; nothing where it agrees.
fn list(projection: &str, table: &VerifiedTable, json: bool) -> anyhow::Result<()> {
    let name = visible(&table.name);
    let (missing, extra, differing) = match &table.outcome {
        _ if table.agrees() => return Ok(()),
        TableOutcome::Compared { missing, extra, differing, .. } => (missing, extra, differing),
        TableOutcome::OtherColumns { missing, extra } => {
            let with = |what: &str, columns: &[String]| {
                if columns.is_empty() { String::new() } else { format!(" {what}: {}.", columns.join(", ")) }
            };
            let (missing, extra) = (with("It lacks", missing), with("It has in addition", extra));
            return print(&format!("{name} has other columns than create() makes.{missing}{extra}\n"));
        }
        TableOutcome::NotThere => return print(&format!("{name} is not there.\n")),
        _ => bail!("{name}: an outcome that this program does not know"),
    };
    if json {
        for DifferingRow { side, times, row } in differing {
            let row = serde_json::from_str(row)?;
            print_json(&JsonRow { projection, table: &table.name, side: *side, times: *times, row })?;
        }
        return Ok(());
    }
    print(&format!(
        "{name}: {} rows that the log makes are missing, {} are there that it does not make\n",
        thousands(*missing),
        thousands(*extra)
    ))?;
    for DifferingRow { side, times, row } in differing {
        let side = match side {
            Side::Log => "the log",
            Side::ReadModel => "the read model",
        };
        let times = if *times > 1 { format!(" {times} times") } else { String::new() };
        print(&format!("  {side} has{times} {}\n", visible(row)))?;
    }
    Ok(())
}
