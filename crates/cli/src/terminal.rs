//! How large a terminal is, and what fits into one of its lines.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use terminal_size::{Height, Width, terminal_size_of};

/// Lines and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TerminalSize {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl TerminalSize {
    /// As it is now: it changes while a program runs. 80 columns and 24 lines where it is not known.
    pub(crate) fn of(terminal: impl AsFd) -> Self {
        let (Width(width), Height(height)) = terminal_size_of(terminal).unwrap_or((Width(80), Height(24)));
        Self { width: usize::from(width), height: usize::from(height) }
    }
}

/// Whether what is written there is shown by a terminal that obeys codes, such as to move to another line.
pub(crate) fn obeys(output: &impl IsTerminal) -> bool {
    output.is_terminal() && std::env::var_os("TERM").is_some_and(|name| name != "dumb")
}

/// As much of a line as has room in this number of columns; where that is not all of it, it ends with "…".
pub(crate) fn cut(line: &str, width: usize) -> String {
    if line.chars().map(columns).sum::<usize>() <= width {
        return line.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += columns(*c);
        used <= width
    };
    let mut text: String = line.chars().take_while(fits).collect();
    if width > 0 {
        text.push('…');
    }
    text
}

/// How many columns a character takes, at most: those of East Asia and emoji have two.
fn columns(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{1fff}' | '\u{2e80}'.. => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_the_columns_end_and_shows_that_it_was() {
        for (line, width, shown) in [
            ("class 0/4", 9, "class 0/4"),
            ("class 0/4", 8, "class 0…"),
            ("größer", 3, "gr…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("class", 1, "…"),
            ("class", 0, ""),
        ] {
            assert_eq!(cut(line, width), shown, "{line} in {width}");
        }
    }
}
