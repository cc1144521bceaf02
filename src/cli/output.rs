//! Results on standard output, complaints on standard error, tables for both.

use anyhow::Context;
use std::io::{ErrorKind, Write};

/// How wide a help text may be.
const HELP_COLUMNS: usize = 80;

/// Writes to standard output. A reader that has seen enough, such as `head`, is not an error.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("can't write to standard output"),
        _ => Ok(()),
    }
}

/// Writes one line to standard error.
pub(super) fn complain(sentence: &str) {
    // What others said, such as the database, may have lines.
    let line = sentence.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    // Nothing is left to be told to if that fails.
    let _ = writeln!(std::io::stderr().lock(), "evenfold: {line}");
}

/// One line of JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// A help text, broken to fit the narrowest usual terminal: what clap has for that is a crate more.
pub(super) fn help(text: &str) -> String {
    text.lines().map(folded).collect()
}

/// A line of a help text as lines of up to 80 columns; those after the first begin where its description does.
fn folded(line: &str) -> String {
    let words_at = line.len() - line.trim_start().len();
    let rest = &line[words_at..];
    let beside = rest.find("  ").map_or(0, |gap| line.len() - words_at - rest[gap..].trim_start().len());
    let (mut out, mut column) = (String::new(), 0);
    for word in line.trim_end().split(' ') {
        let width = word.chars().count();
        if column + width > HELP_COLUMNS {
            out = format!("{}\n{}", out.trim_end(), " ".repeat(words_at + beside));
            column = words_at + beside;
        }
        out.push_str(word);
        out.push(' ');
        column += width + 1;
    }
    format!("{}\n", out.trim_end())
}

/// Columns, the first ones to the left and the rest, from `numbers_from`, to the right.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], numbers_from: usize) -> String {
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
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// A number with its thousands apart: 1,234,567.
pub(super) fn thousands(number: impl Into<i128>) -> String {
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
        assert_eq!(help(&text), format!("Short.\n\n{name}{flag}"));
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1000".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows, 1), "name     n\na        1\nlong  1000\n");
    }
}
