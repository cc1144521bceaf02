//! `projection try`: the rows that events make, in a database that needs no log.

use super::given::Given;
use crate::Global;
use crate::config::UsageError;
use crate::output::{print, print_json};
use crate::session::Session;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use evenfold::event::unreadable;
use evenfold_sql::ProjectionFile;
use evenfold_sql::check::{DryRun, Expected, TableRow, dry_run};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// The file, NAME.sql
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A file with the rows that there must be, as they are printed, in any order: what is missing and what is extra is
    /// printed instead, and is exit code 1
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
}

/// A row, where a file makes several tables.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTable {
    table: String,
    row: Box<RawValue>,
}

/// So many events that can't be applied are named.
const NAMED: usize = 5;

pub(super) async fn run(global: &Global, args: TryArgs) -> anyhow::Result<()> {
    let file = ProjectionFile::read(&args.file).map_err(|error| UsageError(error.to_string()))?;
    let expected = match &args.expect {
        Some(path) => Some(read_expected(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let given = Given::read(std::io::stdin(), "standard input")?;
    let session = Session::open(global).await?;
    let outcome: anyhow::Result<DryRun> = async {
        let mut conn = session.database.by_index().connect_to_server().await?.0;
        Ok(dry_run(&mut conn, &file, given.events.clone(), expected.as_ref()).await?)
    }
    .await;
    session.close().await?;
    report(&outcome?, &given, expected.is_some())
}

fn report(run: &DryRun, given: &Given, is_expected: bool) -> anyhow::Result<()> {
    let several = run.tables.len() > 1;
    if !is_expected {
        run.rows.iter().try_for_each(|row| print_json(&shown(row, several)?))?;
    }
    for (rows, what) in [(&run.missing, "missing"), (&run.extra, "extra")] {
        for row in rows {
            let shown = serde_json::to_string(&shown(row, several)?)?;
            print(&format!("{what}: {shown}\n"))?;
        }
    }
    if !run.parked.is_empty() {
        let named =
            run.parked.iter().take(NAMED).map(|parked| format!("line {}: {parked}", given.line(parked.position)));
        let more = run.parked.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        bail!("{}{more}", named.collect::<Vec<_>>().join("; "));
    }
    if run.events == 0 {
        bail!("none of the {} events is one that the projection wants: nothing was folded", given.events.len());
    }
    match (run.missing.len(), run.extra.len()) {
        (0, 0) if is_expected => {
            print(&format!("the rows are as expected: {} of {} events\n", run.rows.len(), run.events))
        }
        (0, 0) => Ok(()),
        (missing, extra) => bail!("the rows are not as expected: {missing} missing, {extra} extra"),
    }
}

/// As it is printed: by itself where there is one table only.
fn shown(row: &TableRow, several: bool) -> anyhow::Result<Box<RawValue>> {
    let TableRow { table, row } = row.clone();
    let row = RawValue::from_string(row)?;
    if several { Ok(serde_json::value::to_raw_value(&OfTable { table, row })?) } else { Ok(row) }
}

/// One row a line, by itself or with its table.
fn read_expected(path: &Path) -> anyhow::Result<Expected> {
    let text = std::fs::read_to_string(path).context("it can't be read")?;
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let row: Box<RawValue> = serde_json::from_str(line)
            .map_err(|_| anyhow!("line {number} is no row: it must be one object of JSON"))?;
        if !row.get().starts_with('{') {
            bail!("line {number} is no row: it must be one object of JSON");
        }
        if let Some(reason) = unreadable(row.get()) {
            bail!("line {number} {reason}");
        }
        rows.push(match serde_json::from_str::<OfTable>(line) {
            Ok(OfTable { table, row }) if row.get().starts_with('{') => (Some(table), row.get().to_owned()),
            _ => (None, row.get().to_owned()),
        });
    }
    Ok(Expected(rows))
}
