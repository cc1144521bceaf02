//! Results on standard output, complaints on standard error, tables for both.

use super::advice::{self, advice, advice_in_json};
use super::control::{escaped, is_control, json, json_text};
use super::{json_lines, screen};
use anyhow::Context;
use indicatif::MultiProgress;
use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};
use std::sync::LazyLock;
use std::time::Duration;
use tracing::Level;

pub use super::control::visible;

/// Where all progress bars are drawn: what is written meanwhile is written above them.
pub static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Standard error for log lines, each of which is one line whatever is in its fields.
pub struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let shown = if json_lines::wanted() { json_line(&text) } else { log_line(&advice(&text)) };
        write_err(&shown)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How wide a text may be.
pub(crate) const COLUMNS: usize = 80;

/// What the logging itself writes: nothing with which a text could hide itself.
const COLOURS: [&str; 10] = [
    "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[3m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[35m", "\x1b[36m",
];

/// A log line with its control characters made visible, except its colours and its end.
fn log_line(line: &str) -> String {
    let (mut rest, mut shown) = (line.strip_suffix('\n').unwrap_or(line), String::with_capacity(line.len()));
    while let Some(at) = rest.find(is_control) {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        let colour = COLOURS.into_iter().find(|colour| rest.starts_with(colour));
        let taken = colour.map_or_else(|| rest.chars().next().map_or(0, char::len_utf8), str::len);
        shown.push_str(colour.unwrap_or(&visible(&rest[..taken])));
        rest = &rest[taken..];
    }
    shown.push_str(rest);
    shown.push('\n');
    shown
}

/// A log line in JSON, in which texts of others are escaped already, except for what JSON does not escape.
fn json_line(line: &str) -> String {
    format!("{}\n", json_text(&advice_in_json(line.strip_suffix('\n').unwrap_or(line))))
}

/// Writes to standard output, with line ends as the only control characters. A reader that has seen enough, such as
/// `head`, is not an error.
pub fn print(text: &str) -> anyhow::Result<()> {
    write_out(&escaped(&advice(text), |c| c == '\n'))
}

fn write_out(text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    match BARS.suspend(write) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("can't write to standard output"),
        _ => Ok(()),
    }
}

/// Writes one line to standard error.
pub fn complain(sentence: &str) {
    // What others report, such as the database, may have lines.
    let line = sentence.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    if json_lines::wanted() {
        write_line(Level::ERROR, &line);
    } else {
        write_line(Level::ERROR, &format!("{}: {line}", advice::program()));
    }
}

/// Writes one line to standard error that is no complaint.
pub fn note(line: &str) {
    write_line(Level::INFO, line);
}

/// Writes one line to standard error that is no log line: as JSON it looks like one.
fn write_line(level: Level, line: &str) {
    let line = advice(line);
    let shown = if json_lines::wanted() { json_lines::of(level, &line) } else { visible(&line).into_owned() };
    // Nobody is left to report to if that fails.
    let _ = write_err(&format!("{shown}\n"));
}

/// Above the bars, or after the alternate screen was left.
fn write_err(lines: &str) -> io::Result<()> {
    if screen::keeps(lines) { Ok(()) } else { BARS.suspend(|| io::stderr().lock().write_all(lines.as_bytes())) }
}

/// One line of JSON.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    write_out(&format!("{}\n", json(value)?))
}

/// A text, broken to fit the narrowest usual terminal: what does not fit into a line goes on where its description
/// begins.
pub(crate) fn wrapped(text: &str) -> String {
    let hanging = |line: &str| {
        let words_at = line.len() - line.trim_start().len();
        let rest = &line[words_at..];
        words_at + rest.find("  ").map_or(0, |gap| line.len() - words_at - rest[gap..].trim_start().len())
    };
    text.lines().map(|line| folded(line, hanging(line), COLUMNS)).collect()
}

/// A sentence as lines of up to 80 columns; those after the first are indented.
pub(crate) fn sentence(text: &str) -> String {
    folded(&advice(text), 2, COLUMNS)
}

/// The same for lines of another length.
pub(crate) fn folded_to(text: &str, columns: usize) -> Vec<String> {
    folded(&advice(text), 2, columns).lines().map(str::to_owned).collect()
}

/// A line as lines of up to so many columns; those after the first begin at column `hanging`.
fn folded(line: &str, hanging: usize, columns: usize) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in line.trim_end().split(' ') {
        let width = word.chars().count();
        if column > hanging && column + width > columns {
            out = format!("{}\n{}", out.trim_end(), " ".repeat(hanging));
            column = hanging;
        }
        out.push_str(word);
        out.push(' ');
        column += width + 1;
    }
    format!("{}\n", out.trim_end())
}

/// Columns, the first ones to the left and the rest, from `numbers_from`, to the right.
pub fn table(header: &[&str], rows: &[Vec<String>], numbers_from: usize) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> = rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|h| h.chars().count())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < numbers_from { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(header.to_vec());
    for row in &rows {
        text.push_str(&line(row.iter().map(AsRef::as_ref).collect()));
    }
    text
}

/// A number with its thousands apart: 1,234,567.
pub fn thousands(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A rate, with its thousands apart: 1,235/s.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a rate to look at")]
#[must_use]
pub fn per_second(count: u64, elapsed: Duration) -> String {
    format!("{}/s", thousands((count as f64 / elapsed.as_secs_f64().max(f64::EPSILON)).round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (12_345, "12,345")]
        {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn long_lines_go_on_below_their_description() {
        let text = format!("Short.\n\n  name  {}\n          {}end\n", "word ".repeat(16), "word ".repeat(14));
        let name = format!("  name  {}\n        word word\n", ["word"; 14].join(" "));
        let flag = format!("          {}\n          end\n", ["word"; 14].join(" "));
        assert_eq!(wrapped(&text), format!("Short.\n\n{name}{flag}"));
    }

    #[test]
    fn a_sentence_that_does_not_fit_goes_on_in_the_next_line() {
        let lines = sentence(&"word ".repeat(40));
        assert!(lines.lines().all(|line| line.chars().count() <= COLUMNS), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 40);
        assert!(lines.lines().skip(1).all(|line| line.starts_with("  word")), "{lines}");
        let long = "x".repeat(COLUMNS + 1);
        assert_eq!(sentence(&format!("{long} {long}")), format!("{long}\n  {long}\n"), "no line is left empty");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1000".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows, 1), "name     n\na        1\nlong  1000\n");
    }

    #[test]
    fn a_log_line_is_one_line_with_no_more_than_its_colours() {
        let line =
            "\x1b[2m12:00\x1b[0m \x1b[32m INFO\x1b[0m it failed \x1b[3merror\x1b[0m=a\nb\x1b[8mc\x1b[2Jd\u{9b}\n";
        let shown = "\x1b[2m12:00\x1b[0m \x1b[32m INFO\x1b[0m it failed \x1b[3merror\x1b[0m=a\\nb\\u{1b}[8mc\\u{1b}[2Jd\\u{9b}\n";
        assert_eq!(log_line(line), shown);
        assert_eq!(log_line("größe\n"), "größe\n");
    }

    #[test]
    fn a_cell_is_one_line_whatever_is_in_it() {
        let rows = [vec!["a\nb\x1b[2K".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows, 1), "name           n\na\\nb\\u{1b}[2K  1\n");
    }
}
