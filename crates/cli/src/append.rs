//! `append`: events from standard input, a line each.

use super::Global;
use super::output::{print, thousands};
use super::session::Session;
use crate::config::number;
use anyhow::{Context, anyhow};
use clap::Args;
use evenfold::event::{InvalidEvent, MAX_JSON_BYTES, NewEvent};
use evenfold::log::{AppendError, Log, MAX_APPEND_EVENTS};
use sqlx::PgConnection;
use std::io::{BufRead, BufReader, Read};

/// Room for a payload, metadata and names that are all as large as they may be, with every byte escaped once.
const MAX_LINE_BYTES: u64 = 2 * (2 * MAX_JSON_BYTES as u64 + 4096);

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
    let mut lines = Lines { input: BufReader::new(std::io::stdin()), number: 0 };
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
        let first = lines.number + 1;
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

/// What is wrong with a line. The parser calls every line the first, and does not know that it is all an event.
fn problem(error: &InvalidEvent) -> String {
    match error {
        InvalidEvent::Json(json) => {
            let text = json.to_string();
            let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
            format!("not an event as JSON: {what} at column {}", json.column())
        }
        other => other.to_string(),
    }
}

struct Lines<R> {
    input: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The next events with their line numbers; empty lines are passed over.
    fn batch(&mut self, size: usize) -> anyhow::Result<Vec<(u64, NewEvent)>> {
        let mut batch = Vec::new();
        while batch.len() < size
            && let Some(line) = self.next()?
        {
            let line = String::from_utf8(line).with_context(|| format!("line {} is not UTF-8", self.number))?;
            if !line.trim().is_empty() {
                let event =
                    NewEvent::from_json(&line).map_err(|error| anyhow!("line {}: {}", self.number, problem(&error)))?;
                batch.push((self.number, event));
            }
        }
        Ok(batch)
    }

    fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        // One more than allowed, to distinguish a line that is too long from one that just fits.
        let read = (&mut self.input).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line);
        let read = read.context("can't read standard input")?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.len() as u64 > MAX_LINE_BYTES {
            let (number, most) = (self.number, thousands(i128::from(MAX_LINE_BYTES)));
            anyhow::bail!("line {number} is longer than {most} bytes: give each event a line of its own");
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines<&[u8]> {
        Lines { input: BufReader::new(text.as_bytes()), number: 0 }
    }

    #[test]
    fn lines_are_counted_with_the_empty_ones() -> anyhow::Result<()> {
        let event = r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{}}"#;
        let text = format!("{event}\n\n  \n{event}\n{event}");
        let mut input = lines(&text);
        let numbers = |batch: Vec<(u64, NewEvent)>| batch.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(numbers(input.batch(2)?), [1, 4]);
        assert_eq!(numbers(input.batch(2)?), [5]);
        assert!(input.batch(2)?.is_empty());
        Ok(())
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let endless = std::io::repeat(b'x').take(100 * MAX_LINE_BYTES);
        let mut input = Lines { input: BufReader::new(endless), number: 0 };
        let error = input.batch(1).map(|_| ()).map_err(|e| e.to_string());
        assert!(error.as_ref().is_err_and(|e| e.contains("line 1 is longer than")), "{error:?}");
    }
}
