//! Events as lines of JSON.

use super::output::thousands;
use anyhow::{Context, anyhow};
use evenfold::event::{InvalidEvent, MAX_JSON_BYTES, NewEvent};
use std::io::{BufRead, BufReader, Read};

/// Room for a payload, metadata and names that are all as large as they may be, with every byte escaped once.
const MAX_LINE_BYTES: u64 = 2 * (2 * MAX_JSON_BYTES as u64 + 4096);

/// The most events that are tried at once.
const MAX_SAMPLE: usize = 100_000;

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

/// Lines that are read one after the other.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    /// What it is called in messages.
    called: String,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn of(input: R, called: &str) -> Self {
        Self { input: BufReader::new(input), called: called.to_owned(), number: 0 }
    }

    /// The number of the last line that was read.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// All of the events, with their line numbers; they must be few enough to be kept in memory.
    pub(super) fn all(&mut self) -> anyhow::Result<Vec<(u64, NewEvent)>> {
        let all = self.batch(MAX_SAMPLE)?;
        match self.batch(1)?.first() {
            None => Ok(all),
            Some((number, _)) => {
                let (number, most) = (*number, thousands(MAX_SAMPLE as i128));
                anyhow::bail!("line {number} is one too many: give at most {most} events")
            }
        }
    }

    /// The next events with their line numbers; empty lines are passed over.
    pub(super) fn batch(&mut self, size: usize) -> anyhow::Result<Vec<(u64, NewEvent)>> {
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
        let read = read.with_context(|| format!("can't read {}", self.called))?;
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
        Lines::of(text.as_bytes(), "a text")
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
        let mut input = Lines::of(endless, "it");
        let error = input.batch(1).map(|_| ()).map_err(|e| e.to_string());
        assert!(error.as_ref().is_err_and(|e| e.contains("line 1 is longer than")), "{error:?}");
    }
}
