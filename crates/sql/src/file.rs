//! A file, taken apart into what it says about a projection.

use crate::definition::normalised;
use crate::heading::{Heading, Key, Section, heading};
use crate::kinds::refusal;
use crate::lexer::{Kind, Token, tokens};
use crate::place::Flaw;
use crate::split::{is_empty, pieces};
use evenfold::Interest;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a file is not a projection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It can't be read.
    #[error("{file} can't be read: {error}", file = file.display())]
    Unread {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It has a name that a projection can't have.
    #[error(
        "{0} can't be a projection: its name must be 1 to 48 of the characters a to z, 0 to 9 and _, not beginning with \
         a digit, and end in .sql"
    )]
    Name(String),
    /// Something in it is wrong.
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

/// The most characters of a name: it is part of the names of sessions, of which PostgreSQL has 63.
const MAX_NAME: usize = 48;

/// A projection as its file has it. Nothing of it has been shown to a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionFile {
    pub(crate) name: String,
    /// As it is called in messages.
    pub(crate) called: String,
    pub(crate) text: Arc<str>,
    pub(crate) interest: Interest,
    pub(crate) create: Vec<Statement>,
    pub(crate) apply: Apply,
    pub(crate) definition: String,
}

/// What is done with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Apply {
    /// These statements, in their order.
    Statements(Vec<Statement>),
    /// This body for each event.
    EachEvent(Statement),
}

/// A part of the file that is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Without the blanks around it, and the semicolon.
    pub(crate) sql: String,
    /// Where it begins in the file, in bytes.
    pub(crate) at: usize,
}

impl ProjectionFile {
    /// Reads a file: `NAME.sql`.
    ///
    /// # Errors
    ///
    /// See [`FileError`].
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let called = path.display().to_string();
        let name = Self::check_name(path)?;
        let bytes = std::fs::read(path).map_err(|error| FileError::Unread { file: path.to_owned(), error })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::parse(name, &called, &text)?),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Err(Flaw::at(&called, &text, at, "this is no UTF-8: save the file in that encoding").into())
            }
        }
    }

    /// The name of the projection that this file is, which may be there or not.
    ///
    /// # Errors
    ///
    /// [`FileError::Name`].
    pub fn check_name(path: &Path) -> Result<&str, FileError> {
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".sql"));
        stem.filter(|name| is_name(name)).ok_or_else(|| FileError::Name(path.display().to_string()))
    }

    /// Takes the text of a file apart. `called` is what the file is called in messages.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn parse(name: &str, called: &str, text: &str) -> Result<Self, Flaw> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let flaw = |at: usize, sentence: String| Flaw::at(called, text, at, sentence);
        if let Some(at) = text.find('\0') {
            return Err(flaw(at, "PostgreSQL has no character 0: remove it".to_owned()));
        }
        let tokens = tokens(text).map_err(|open| flaw(open.at, format!("this {} has no end", open.name)))?;
        let is_parameter =
            |token: &&Token<'_>| token.text.len() > 1 && token.kind == Kind::Other && token.text.starts_with('$');
        if let Some(parameter) = tokens.iter().find(is_parameter) {
            return Err(flaw(parameter.at, format!("{} has no value here: write what is meant", parameter.text)));
        }
        let parts = Parts::of(&tokens).map_err(|(at, sentence)| flaw(at, sentence))?;
        let create = parts.section(Section::Create).map_or(&[][..], |(_, tokens)| tokens);
        if let Some((at, sentence)) = pieces(create).into_iter().filter(|piece| !is_empty(piece)).find_map(refusal) {
            return Err(flaw(at, sentence));
        }
        let create = statements(create);
        let (apply, at) = match (parts.section(Section::Apply), parts.section(Section::EachEvent)) {
            (Some((at, tokens)), None) => (Apply::Statements(statements(tokens)), at),
            (None, Some((at, tokens))) => (Apply::EachEvent(trimmed(tokens)), at),
            (Some(_), Some((at, _))) => {
                return Err(flaw(at, "there is a -- apply already: a projection has that or -- each event".to_owned()));
            }
            (None, None) => {
                let sentence = "there is no section -- apply (statements over batch) and no -- each event (a PL/pgSQL \
                                body over event): add one of them, in a line of its own";
                return Err(flaw(text.len(), sentence.to_owned()));
            }
        };
        let nothing = match &apply {
            Apply::Statements(statements) => statements.is_empty(),
            Apply::EachEvent(body) => body.sql.is_empty(),
        };
        if nothing {
            return Err(flaw(at, "this section is empty: write what is done with events".to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            called: called.to_owned(),
            text: text.into(),
            interest: parts.interest(),
            create,
            apply,
            definition: parts.definition(),
        })
    }

    /// The projection's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which events it wants.
    #[must_use]
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// What is wrong at this byte of a statement.
    pub(crate) fn flaw(&self, at: usize, sentence: impl Into<String>) -> Flaw {
        Flaw::at(&self.called, &self.text, at, sentence)
    }
}

fn is_name(name: &str) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    letters && name.len() <= MAX_NAME && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

/// Where a heading is, and what comes after it.
type Part<'t, 'a> = (usize, &'t [Token<'a>]);

#[derive(Default)]
struct Parts<'t, 'a> {
    sections: Vec<(Section, Part<'t, 'a>)>,
    events: Option<Vec<String>>,
    aggregates: Option<Vec<String>>,
}

impl<'t, 'a> Parts<'t, 'a> {
    fn of(all: &'t [Token<'a>]) -> Result<Self, (usize, String)> {
        let mut parts = Self::default();
        let mut begun: Option<(Section, usize, usize)> = None;
        for (index, token) in all.iter().enumerate() {
            let own_line = index == 0
                || (all[index - 1].kind == Kind::Space && all[index - 1].text.contains(['\n', '\r']))
                || (index == 1 && all[0].kind == Kind::Space);
            match heading(token, own_line, begun.is_some()) {
                Some(Heading::Section(section)) => {
                    if let Some((section, at, from)) = begun {
                        parts.sections.push((section, (at, &all[from..index])));
                    }
                    if parts.section(section).is_some() {
                        return Err((token.at, format!("there is a {} already: put both together", section.heading())));
                    }
                    begun = Some((section, token.at, index + 1));
                }
                Some(Heading::List(key, values)) => {
                    if begun.is_some() {
                        return Err((token.at, "this belongs in front of the first section: move it there".to_owned()));
                    }
                    parts.list(key, values).map_err(|sentence| (token.at, sentence))?;
                }
                Some(Heading::Unknown(name)) => {
                    let sentence = format!(
                        "{name}: is no heading; before the first section these are: events:, aggregates: (a comment \
                         with more than two words in front of its colon is a comment)"
                    );
                    return Err((token.at, sentence));
                }
                None if begun.is_none() && !token.is_blank() => {
                    let sentence = "this is in front of the first section: begin one by -- create, -- apply or -- each \
                                    event, in a line of its own";
                    return Err((token.at, sentence.to_owned()));
                }
                None => {}
            }
        }
        if let Some((section, at, from)) = begun {
            parts.sections.push((section, (at, &all[from..])));
        }
        Ok(parts)
    }

    fn list(&mut self, key: Key, values: &str) -> Result<(), String> {
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if values.iter().any(String::is_empty) {
            return Err("this list has an empty name: give one or more, with commas between them".to_owned());
        }
        let list = match key {
            Key::Events => &mut self.events,
            Key::Aggregates => &mut self.aggregates,
        };
        match list.replace(values) {
            None => Ok(()),
            Some(_) => Err("this list is here twice: put both together".to_owned()),
        }
    }

    fn section(&self, section: Section) -> Option<Part<'t, 'a>> {
        self.sections.iter().find(|(one, _)| *one == section).map(|(_, part)| *part)
    }

    fn interest(&self) -> Interest {
        let mut interest = Interest::everything();
        if let Some(events) = &self.events {
            interest = interest.in_events(events.clone());
        }
        if let Some(aggregates) = &self.aggregates {
            interest = interest.in_aggregates(aggregates.clone());
        }
        interest
    }

    /// The order of the sections makes no difference either, nor does a semicolon behind the last statement.
    fn definition(&self) -> String {
        let of = |section: Section| {
            let (_, all) = self.section(section)?;
            let parts = if section == Section::EachEvent { vec![all] } else { pieces(all) };
            let parts = parts.into_iter().filter(|part| !is_empty(part)).map(|part| match section {
                Section::EachEvent => normalised(part),
                _ => normalised(without_end(part)),
            });
            Some(format!("{} {}", section.heading().trim_start_matches("-- "), parts.collect::<Vec<_>>().join(" ; ")))
        };
        let all = [Section::Create, Section::Apply, Section::EachEvent].into_iter().filter_map(of);
        all.collect::<Vec<_>>().join("; ")
    }
}

fn statements(tokens: &[Token<'_>]) -> Vec<Statement> {
    pieces(tokens).into_iter().filter(|piece| !is_empty(piece)).map(|piece| trimmed(without_end(piece))).collect()
}

fn without_end<'t, 'a>(piece: &'t [Token<'a>]) -> &'t [Token<'a>] {
    match piece.split_last() {
        Some((last, rest)) if last.text == ";" => rest,
        _ => piece,
    }
}

/// Without the blanks at both ends.
fn trimmed(tokens: &[Token<'_>]) -> Statement {
    let is_body = |token: &Token<'_>| !token.is_blank();
    let first = tokens.iter().position(is_body).unwrap_or(tokens.len());
    let last = tokens.iter().rposition(is_body).map_or(first, |last| last + 1);
    let body = &tokens[first..last];
    let at = body.first().map_or(0, |token| token.at);
    Statement { sql: body.iter().map(|token| token.text).collect(), at }
}

#[cfg(test)]
mod tests;
