//! A reason that several classes may share: sentences that differ in the class, the process and the seconds only.

use crate::output::{thousands, visible};
use std::collections::BTreeSet;

/// Classes that are named where a sentence is about many.
const NAMED: usize = 3;

/// A sentence about a class, taken apart.
pub(super) struct Reason<'a> {
    pub(super) classes: Vec<&'a str>,
    processes: BTreeSet<&'a str>,
    words: Vec<Word>,
}

#[derive(PartialEq)]
enum Word {
    Text(String),
    /// The class, with the punctuation around it.
    Class(String, String),
    Process(String, String),
    /// The least and the most of a number of seconds.
    Seconds(u64, u64),
}

impl Word {
    fn is_same(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Seconds(..), Self::Seconds(..))) || self == other
    }
}

impl<'a> Reason<'a> {
    pub(super) fn new(class: &'a str, process: Option<&'a str>, text: &str) -> Self {
        let shown = visible(text);
        let words: Vec<&str> = shown.split(' ').collect();
        let next_is_unit = |at: usize| words.get(at + 1).is_some_and(|next| next.trim_end_matches([';', ',']) == "s");
        let word = |(at, word): (usize, &&str)| {
            if let Some((before, after)) = process.and_then(|process| word.split_once(process)) {
                return Word::Process(before.to_owned(), after.to_owned());
            }
            match (word.split_once(class), word.parse()) {
                // Not a part of another one: 0/2 is in 10/24.
                (Some((before, after)), _) if !format!("{before}{after}").contains(|c: char| c.is_ascii_digit()) => {
                    Word::Class(before.to_owned(), after.to_owned())
                }
                (_, Ok(seconds)) if next_is_unit(at) => Word::Seconds(seconds, seconds),
                _ => Word::Text((*word).to_owned()),
            }
        };
        let words = words.iter().enumerate().map(word).collect();
        Self { classes: vec![class], processes: process.into_iter().collect(), words }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.words.len() == other.words.len() && self.words.iter().zip(&other.words).all(|(one, two)| one.is_same(two))
    }

    /// Takes in the class of another one that is the same.
    pub(super) fn join(&mut self, other: Self) {
        self.classes.extend(other.classes);
        self.processes.extend(other.processes);
        for pair in self.words.iter_mut().zip(other.words) {
            if let (Word::Seconds(least, most), Word::Seconds(less, more)) = pair {
                (*least, *most) = ((*least).min(less), (*most).max(more));
            }
        }
    }

    /// The sentence for all of the classes.
    pub(super) fn text(&self) -> String {
        let process = match self.processes.iter().collect::<Vec<_>>()[..] {
            [only] => (*only).to_owned(),
            _ => format!("{} processes", self.processes.len()),
        };
        let class = if let [only] = self.classes[..] { only } else { "its class" };
        let word = |word: &Word| match word {
            Word::Text(text) => text.clone(),
            Word::Class(before, after) => format!("{before}{class}{after}"),
            Word::Process(before, after) => format!("{before}{process}{after}"),
            Word::Seconds(least, most) if least == most => least.to_string(),
            Word::Seconds(least, most) => format!("{least} to {most}"),
        };
        self.words.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// The first of these classes, and how many more there are.
pub(super) fn listed(classes: &[&str]) -> String {
    match classes.len().saturating_sub(NAMED) {
        0 | 1 => classes.join(", "),
        more => format!("{} and {} more", classes[..NAMED].join(", "), thousands(more as i128)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_that_differ_in_class_process_and_seconds_are_one() {
        let mut first = Reason::new("0/24", Some("a:1"), "no heartbeat for 40 s from a:1; 0/24 has not moved for 9 s");
        let same = Reason::new("10/24", Some("b:2"), "no heartbeat for 52 s from b:2; 10/24 has not moved for 9 s");
        assert!(first.is_same(&same));
        assert_eq!(first.text(), "no heartbeat for 40 s from a:1; 0/24 has not moved for 9 s");
        first.join(same);
        assert_eq!(first.text(), "no heartbeat for 40 to 52 s from 2 processes; its class has not moved for 9 s");
        assert_eq!(first.classes, ["0/24", "10/24"]);
        for other in ["no heartbeat for 40 s from c:1", "no heartbeat for 40 s from a:1; 5/24 has not moved for 9 s"] {
            assert!(!first.is_same(&Reason::new("0/24", Some("a:1"), other)), "{other}");
        }
    }

    #[test]
    fn text_of_others_is_one_line() {
        assert_eq!(Reason::new("0/2", None, "a\nb\x1b[2J 3 events").text(), "a\\nb\\u{1b}[2J 3 events");
    }

    #[test]
    fn of_many_classes_three_are_named() {
        assert_eq!(listed(&["0/5", "1/5"]), "0/5, 1/5");
        assert_eq!(listed(&["0/5", "1/5", "2/5", "3/5"]), "0/5, 1/5, 2/5, 3/5", "one more is as short");
        assert_eq!(listed(&["0/5", "1/5", "2/5", "3/5", "4/5"]), "0/5, 1/5, 2/5 and 2 more");
    }
}
