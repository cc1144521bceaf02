//! `append`: events from standard input, a line each.

use super::Global;
use super::lines::Lines;
use super::output::{print, thousands};
use super::session::Session;
use crate::config::number;
use anyhow::anyhow;
use clap::Args;
use evenfold::event::NewEvent;
use evenfold::log::{AppendError, Log, MAX_APPEND_EVENTS};
use sqlx::PgConnection;
use std::io::Read;

#[derive(Debug, Args)]
pub(super) struct AppendArgs {
    /// Events of one transaction, all of which are appended or none: 1 to 10000
    #[arg(long, default_value = "1000", value_name = "EVENTS",
        value_parser = |t: &str| number::<usize>(t, &(1..=MAX_APPEND_EVENTS)))]
    batch_size: usize,
}

pub(super) async fn run(global: &Global, args: &AppendArgs) -> anyhow::Result<()> {
    let session = Session::open(global).await?;
    let mut conn = session.connect().await?;
    let mut lines = Lines::of(std::io::stdin(), "standard input");
    let outcome =
        append_all(&Log::in_schema(session.database.schema().clone()), &mut conn, &mut lines, args.batch_size).await;
    drop(conn);
    session.close().await?;
    print(&format!("appended {} events\n", thousands(outcome?)))
}

/// Appends batch by batch; an error says what was appended before it.
async fn append_all<R: Read>(
    log: &Log,
    conn: &mut PgConnection,
    lines: &mut Lines<R>,
    batch_size: usize,
) -> anyhow::Result<u64> {
    let mut appended = 0;
    loop {
        let first = lines.number() + 1;
        let stopped = |error: anyhow::Error| {
            anyhow!(
                "{error:#}; nothing from line {first} on was appended, and {} events before it were",
                thousands(appended)
            )
        };
        let batch = lines.batch(batch_size).map_err(stopped)?;
        if batch.is_empty() {
            return Ok(appended);
        }
        let (numbers, events): (Vec<u64>, Vec<NewEvent>) = batch.into_iter().unzip();
        match log.append(conn, &events).await {
            Ok(places) => appended += places.len() as u64,
            Err(error) => return Err(stopped(located(error, &numbers))),
        }
    }
}

/// Names the line that an error is about.
fn located(error: AppendError, numbers: &[u64]) -> anyhow::Error {
    match &error {
        AppendError::Conflict { index, .. } | AppendError::DuplicateEventId { index, .. } => {
            match numbers.get(*index) {
                Some(number) => anyhow!("line {number}: {error}"),
                None => error.into(),
            }
        }
        AppendError::AlreadyAppended { .. } => match numbers {
            [first, .., last] => anyhow!("lines {first} to {last}: {error}; leave them out"),
            [only] => anyhow!("line {only}: {error}; leave it out"),
            [] => error.into(),
        },
        _ => error.into(),
    }
}
