//! Finding the events that a failed batch has failed for.

use crate::fault::OF_EVENTS;
use evenfold::database::literal;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::HashMap;

/// One aggregate after the other, and one that fails by itself event by event: what comes before the event to blame is
/// applied, and the event is recorded. `{run}` is what is done with a batch, `{of_events}` whose fault an error may be.
const ISOLATE: &str = include_str!("isolate.sql");

/// `batch` becomes a view of a slice of the events, which settings choose. They are looked up by number for each
/// aggregate, so there is an index.
const DIVIDE: &str = "
    CREATE TEMPORARY TABLE evenfold_numbered ON COMMIT DROP AS
        SELECT row_number() OVER (ORDER BY aggregate_type, aggregate_id, position) AS number, * FROM pg_temp.batch;
    CREATE UNIQUE INDEX ON pg_temp.evenfold_numbered (number);
    CREATE TEMPORARY TABLE evenfold_refused (position bigint, why text) ON COMMIT DROP;
    CREATE OR REPLACE TEMPORARY VIEW batch AS
        SELECT position, aggregate_type, aggregate_id, version, event_type, payload, metadata, event_id, recorded_at,
            erased
        FROM pg_temp.evenfold_numbered
        WHERE number BETWEEN current_setting('evenfold.first')::bigint AND current_setting('evenfold.last')::bigint";

/// The next batch makes its view again.
const RESTORE: &str = "DROP VIEW pg_temp.batch; DROP TABLE pg_temp.evenfold_numbered, pg_temp.evenfold_refused;
    SELECT set_config('evenfold_batch.view', '', false)";

/// What came of it.
pub(crate) struct Isolated {
    /// The reason for each event that can't be applied, by its position: the first of its aggregate.
    pub(crate) refused: HashMap<i64, String>,
    /// How many aggregates the batch has.
    pub(crate) aggregates: usize,
}

/// Applies what can be applied of the events in `batch`.
pub(crate) async fn isolate(conn: &mut PgConnection, run: &[String]) -> Result<Isolated, sqlx::Error> {
    sqlx::raw_sql(DIVIDE).execute(&mut *conn).await?;
    sqlx::raw_sql(AssertSqlSafe(block(run))).execute(&mut *conn).await?;
    let refused: Vec<(i64, String)> = sqlx::query_as("SELECT position, why FROM pg_temp.evenfold_refused")
        .persistent(false)
        .fetch_all(&mut *conn)
        .await?;
    let aggregates: i64 =
        sqlx::query_scalar("SELECT count(DISTINCT (aggregate_type, aggregate_id)) FROM pg_temp.evenfold_numbered")
            .persistent(false)
            .fetch_one(&mut *conn)
            .await?;
    sqlx::raw_sql(RESTORE).execute(conn).await?;
    Ok(Isolated {
        refused: refused.into_iter().collect(),
        aggregates: usize::try_from(aggregates).unwrap_or(usize::MAX),
    })
}

fn block(run: &[String]) -> String {
    let run: Vec<String> = run.iter().map(|statement| format!("EXECUTE {};", literal(statement))).collect();
    let classes: Vec<String> = OF_EVENTS.iter().map(|class| format!("{class}%")).collect();
    // What is put in may have the name of another place in it: its turn comes last.
    let block = ISOLATE.replace("{of_events}", &literal(&classes.join("|"))).replace("{run}", &run.join("\n"));
    anonymous(&block)
}

/// A block of PL/pgSQL that is run at once, in quotes that it does not have.
pub(crate) fn anonymous(block: &str) -> String {
    let mut tag = "$evenfold$".to_owned();
    while block.contains(&tag) {
        tag.insert(1, '_');
    }
    format!("DO {tag}\n{block}\n{tag}")
}
