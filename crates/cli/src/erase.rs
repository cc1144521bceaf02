//! `erase`: what the events of an aggregate contain, erased for good.

use super::confirm::{answerable, confirm_by_name};
use super::output::{print, print_json, sentence, table, thousands, visible};
use super::progress::bar;
use super::session::Session;
use super::{Global, signals};
use clap::Args;
use evenfold::checkpoint::{Erasable, Erase, EraseError, Erasure, erasable, erasures};
use evenfold::event::Aggregate;
use evenfold::number::Version;
use evenfold::schema::Schema;
use sqlx::PgConnection;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// The aggregate's type; without an aggregate, what was erased is listed
    #[arg(value_name = "TYPE", requires = "aggregate_id")]
    aggregate_type: Option<String>,
    /// The aggregate's id
    #[arg(value_name = "ID")]
    aggregate_id: Option<String>,
    /// Erase it without being asked
    #[arg(long)]
    yes: bool,
    /// List what was erased as JSON, one object per line
    #[arg(long, conflicts_with = "aggregate_type")]
    json: bool,
}

pub(super) async fn run(global: &Global, args: EraseArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let own = session.database.schema();
    let (mut conn, server) = session.database.connect_to_server().await?;
    evenfold::schema::check(own, &mut conn).await?;
    let outcome = match (args.aggregate_type, args.aggregate_id) {
        (Some(aggregate_type), Some(aggregate_id)) => {
            let aggregate = Aggregate { aggregate_type, aggregate_id };
            erase(own, &mut conn, &server.database, &aggregate, args.yes).await
        }
        _ => list(&erasures(own, &mut conn).await?, args.json),
    };
    drop(conn);
    session.close().await?;
    outcome
}

async fn erase(
    own: &Schema,
    conn: &mut PgConnection,
    database: &str,
    aggregate: &Aggregate,
    yes: bool,
) -> anyhow::Result<()> {
    let name = visible(&aggregate.to_string()).into_owned();
    let there = erasable(own, conn, aggregate).await?;
    if there.events == 0 {
        anyhow::ensure!(there.erased > 0, "there is no event of {name}");
        print(&format!("all {} events of {name} are erased already\n", thousands(there.erased)))?;
        return print(&read_models(&still_in(own, conn, aggregate).await?));
    }
    if !yes {
        let what = described(&name, database, &there);
        answerable(&what)?;
        confirm_by_name(&what, &visible(&aggregate.aggregate_id))?;
    }
    let ErasedSoFar { events, up_to, outcome } = erase_all(own, conn, aggregate, there.events).await?;
    let finished = matches!(outcome, Some(Ok(true)));
    let up_to = up_to.filter(|_| finished).map(|version| format!(", up to version {version}"));
    if events > 0 || finished {
        print(&format!("erased what {} of {name} contained{}\n", counted(events), up_to.unwrap_or_default()))?;
        let appended = if finished { erasable(own, conn, aggregate).await?.events } else { 0 };
        let still = still_in(own, conn, aggregate).await?;
        print(&[appended_meanwhile(&name, appended), read_models(&still), kept(own)].concat())?;
    }
    anyhow::ensure!(
        outcome.transpose()?.is_some_and(|all| all),
        "stopped before all events of {name} were erased; run it again to erase the others"
    );
    Ok(())
}

/// What was erased, and whether that was all or it was stopped.
#[derive(Default)]
struct ErasedSoFar {
    events: u64,
    up_to: Option<Version>,
    outcome: Option<Result<bool, EraseError>>,
}

/// One transaction after the other; what was erased by the time it is stopped stays so.
async fn erase_all(
    own: &Schema,
    conn: &mut PgConnection,
    aggregate: &Aggregate,
    events: u64,
) -> anyhow::Result<ErasedSoFar> {
    let shutdown = signals::shutdown()?;
    let bar = bar("erased", events);
    let (mut erasing, mut done) = (Erase::default(), ErasedSoFar::default());
    while done.outcome.is_none() {
        if shutdown.is_cancelled() {
            done.outcome = Some(Ok(false));
            break;
        }
        match erasing.next(own, conn, aggregate).await {
            Ok(batch) => {
                done.events += batch.events;
                done.up_to = batch.version.or(done.up_to);
                bar.inc(batch.events);
                done.outcome = batch.finished.then_some(Ok(true));
            }
            Err(error) => done.outcome = Some(Err(error)),
        }
    }
    bar.finish_and_clear();
    Ok(done)
}

/// What will be done, in one sentence.
fn described(name: &str, database: &str, there: &Erasable) -> String {
    let Erasable { events, last, read_models, .. } = there;
    let readers = match read_models.as_slice() {
        [] => "no projection has applied any of them".to_owned(),
        some => format!("some are applied by {}, whose read models stay as they are", visible(&some.join(", "))),
    };
    format!(
        "erase the payload and the metadata of {} of {name}, up to version {last}, in the database {}, for good; \
         types, ids, versions, positions and times stay; {readers}",
        counted(*events),
        visible(database)
    )
}

fn counted(events: u64) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{} events", thousands(events)) }
}

fn appended_meanwhile(name: &str, events: u64) -> String {
    if events == 0 {
        return String::new();
    }
    sentence(&format!(
        "Not erased: {} of {name} that came after this had begun. Run it again once nobody appends to it.",
        counted(events)
    ))
}

/// The projections that had applied what was erased, and were not rebuilt since.
async fn still_in(own: &Schema, conn: &mut PgConnection, aggregate: &Aggregate) -> anyhow::Result<Vec<String>> {
    let erasures = erasures(own, conn).await?;
    let of_it = erasures
        .into_iter()
        .filter(|one| one.aggregate_type == aggregate.aggregate_type && one.aggregate_id == aggregate.aggregate_id);
    Ok(of_it.flat_map(|one| one.read_models).collect::<BTreeSet<_>>().into_iter().collect())
}

/// Where else what was erased may be, in evenfold's hands.
fn read_models(projections: &[String]) -> String {
    if projections.is_empty() {
        return "No read model has anything of it, as far as evenfold knows.\n".to_owned();
    }
    sentence(&format!(
        "Applied before by {}: their read models still have what they took from the payloads. \
         `evenfold rebuild --projection NAME` folds them anew without it; or delete it there yourself.",
        visible(&projections.join(", "))
    ))
}

/// Where else it may be, in PostgreSQL's.
fn kept(own: &Schema) -> String {
    sentence(&format!(
        "PostgreSQL keeps what was erased for a while: in the files of the table until `VACUUM {own}.events`, \
         which waits for transactions that are older; in the write-ahead log and on replicas until that is recycled \
         and replayed; in backups and dumps for as long as you keep them. The ids of the aggregate and of its events are \
         not erased, nor is what processes have logged."
    ))
}

fn list(erasures: &[Erasure], json: bool) -> anyhow::Result<()> {
    if json {
        return erasures.iter().try_for_each(print_json);
    }
    if erasures.is_empty() {
        return print("nothing was erased\n");
    }
    let cells = |one: &Erasure| {
        let left = match (one.finished, one.read_models.is_empty()) {
            (false, _) => "unfinished: erase it again".to_owned(),
            (true, true) => "-".to_owned(),
            (true, false) => one.read_models.join(", "),
        };
        let events = [one.events, one.version.get()].map(|number| number.to_string());
        let texts = [one.begun_at.clone(), one.begun_by.clone(), left];
        [one.aggregate_type.clone(), one.aggregate_id.clone()].into_iter().chain(events).chain(texts).collect()
    };
    let rows: Vec<Vec<String>> = erasures.iter().map(cells).collect();
    print(&table(&["type", "id", "events", "up to", "at", "by", "still in read models of"], &rows, usize::MAX))
}
