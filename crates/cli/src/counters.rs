//! `counters`: what the built-in projection has counted.

use super::Global;
use super::output::{print, print_json, table, thousands};
use super::session::Session;
use crate::config::number;
use clap::Args;
use evenfold::counters::{self, CounterRow};

#[derive(Debug, Args)]
pub(super) struct CountersArgs {
    /// Only the counters with this aggregate id
    #[arg(value_name = "ID", conflicts_with = "top")]
    id: Option<String>,
    /// How many, from the largest value down: 1 to 1000000
    #[arg(long, default_value = "20", value_name = "N", value_parser = |t: &str| number::<u32>(t, &(1..=1_000_000)))]
    top: u32,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: CountersArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let own = session.database.schema();
    let mut conn = session.connect().await?;
    let rows = match &args.id {
        Some(id) => counters::one(own, &mut conn, id).await?,
        None => counters::top(own, &mut conn, None, args.top).await?,
    };
    drop(conn);
    session.close().await?;
    match (&args.id, rows.is_empty()) {
        (Some(id), true) => anyhow::bail!("no counter has the id {id}; `evenfold counters` lists the largest ones"),
        _ if args.json => rows.iter().try_for_each(print_json),
        (None, true) => print("no counters yet: append events, and run a worker for each partition\n"),
        _ => print(&render(&rows)),
    }
}

/// The counters as a table.
pub(super) fn render(rows: &[CounterRow]) -> String {
    let cells = |row: &CounterRow| {
        let numbers = [row.events, row.value, row.version.get(), row.last_position.get()].map(thousands);
        [row.aggregate_type.clone(), row.aggregate_id.clone()].into_iter().chain(numbers).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table(&["type", "id", "events", "value", "version", "position"], &rows, 2)
}
