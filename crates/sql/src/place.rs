//! Where in a file something is wrong.

use std::fmt;

/// Something that is wrong with a file, and where: the line and the column, with the line itself at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub sentence: String,
    shown: String,
}

/// The most characters of a line that are shown.
const SHOWN: usize = 76;

impl Flaw {
    /// At this byte of the text.
    pub(crate) fn at(file: &str, text: &str, at: usize, sentence: impl Into<String>) -> Self {
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let before = &text[..at];
        let begins = before.rfind('\n').map_or(0, |end| end + 1);
        let whole = text[begins..].lines().next().unwrap_or_default();
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[begins..].chars().count() + 1,
            sentence: sentence.into(),
            shown: excerpt(whole, before[begins..].chars().count()),
        }
    }
}

/// The line, without what is too far from the column.
fn excerpt(line: &str, column: usize) -> String {
    let from = column.saturating_sub(SHOWN / 2);
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line.chars().skip(from).take(SHOWN).map(visible).collect();
    shown.trim().to_owned()
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, sentence, shown } = self;
        write!(f, "{file}:{line}:{column}: {sentence}")?;
        if shown.is_empty() { Ok(()) } else { write!(f, ", in the line `{shown}`") }
    }
}

impl std::error::Error for Flaw {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_a_column_of_characters_with_the_line_shown() {
        let text = "a\r\n  ünd b\nc";
        let flaw = Flaw::at("p.sql", text, text.find('b').unwrap(), "no b");
        assert_eq!(flaw.to_string(), "p.sql:2:7: no b, in the line `ünd b`");
        assert_eq!(Flaw::at("p", text, 99, "").to_string(), "p:3:2: , in the line `c`");
        assert_eq!(Flaw::at("p", "", 0, "x").to_string(), "p:1:1: x");
        // Inside of a character.
        assert_eq!(Flaw::at("p", "ü", 1, "").column, 1);
    }

    #[test]
    fn of_a_long_line_what_is_near_is_shown() {
        let line = format!("{}!{}", "a".repeat(200), "b".repeat(200));
        let shown = Flaw::at("p", &line, 200, "x").to_string();
        assert!(shown.chars().count() < 110 && shown.contains("aa!bb"), "{shown}");
    }
}
