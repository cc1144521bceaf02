//! What a verification does not cover, in words.

use super::super::output::{complain, print, sentence, thousands};
use evenfold::checkpoint::{self, Status};
use evenfold::counters::NAME;
use evenfold::log::{self, OpenSource};
use evenfold::schema::Schema;
use sqlx::PgConnection;

/// That nothing is compared with anything, for whoever would take it for agreement.
pub(super) async fn nothing(
    own: &Schema,
    conn: &mut PgConnection,
    log: Option<&mut OpenSource>,
) -> anyhow::Result<String> {
    let events = match log {
        None => log::count(own, conn).await?,
        Some(log) => log.count_all().await?,
    };
    Ok(match events {
        0 => "Nothing is verified: the log has no events.\n".to_owned(),
        events => {
            format!("Nothing is verified: none of the {} events in the log is applied.\n", thousands(events))
        }
    })
}

/// What an agreement does not cover. `applied`: whether anything is.
pub(super) async fn notes(
    own: &Schema,
    conn: &mut PgConnection,
    status: &Status,
    applied: bool,
) -> anyhow::Result<String> {
    let behind = status.behind();
    let parked: i64 = status.classes.iter().map(|class| class.parked).sum();
    let mut notes = Vec::new();
    if behind > 0 {
        notes.push(format!("Not complete: {} events of the log are not applied yet.\n", thousands(behind)));
    }
    if behind > 0 || !applied {
        notes.push(match checkpoint::last_beat(own, conn, &status.projection).await? {
            None => "No worker is at work.\n".to_owned(),
            Some(ago) => format!("The last heartbeat of a worker is {:.0} s old.\n", ago.as_secs_f64()),
        });
    }
    if parked > 0 {
        let list = if status.projection == NAME {
            " `evenfold parked list`".to_owned()
        } else {
            format!("\n`evenfold parked list --projection {}`", status.projection)
        };
        notes.push(format!("{} aggregates are parked, and count on neither side:{list}.\n", thousands(parked)));
    }
    let erased = checkpoint::erased_since_applied(own, conn, &status.projection).await?;
    if erased > 0 {
        notes.push(erased_note(&status.projection, erased));
    }
    Ok(notes.concat())
}

/// What of aggregates that were erased after they were applied is compared, and what is not.
fn erased_note(projection: &str, erased: u64) -> String {
    let aggregates = thousands(erased);
    sentence(&if projection == NAME {
        format!(
            "Of {aggregates} aggregates that were erased after they were applied the values are not compared, since what \
             they were made of is gone: `evenfold rebuild` makes them anew, of what is left."
        )
    } else {
        format!(
            "{aggregates} aggregates were erased after they were applied: all rows agree with what is left of them."
        )
    })
}

/// The result, and what it does not cover: as JSON only what is no row.
pub(super) fn report(outcome: &str, notes: &str, json: bool) -> anyhow::Result<()> {
    match (json, notes.is_empty()) {
        (false, _) => print(&format!("{outcome}{notes}")),
        (true, false) => {
            complain(&format!("{outcome}{notes}"));
            Ok(())
        }
        (true, true) => Ok(()),
    }
}
