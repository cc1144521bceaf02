//! The names, comments and texts of a Rust file, with their lines.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    /// Line comments that follow each other are one.
    Comment,
    /// What is between the quotes.
    Text,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// The one that it begins at, from 1.
    pub(super) line: usize,
    pub(super) text: &'a str,
}

pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { source, at: 0, line: 1 };
    let mut tokens = Vec::new();
    while lexer.at < source.len() {
        let line = lexer.line;
        if let Some((kind, text)) = lexer.next() {
            tokens.push(Token { kind, line, text });
        }
    }
    tokens
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let taken = &self.rest()[..bytes];
        self.line += taken.matches('\n').count();
        self.at += bytes;
        taken
    }

    /// The token that is here; none where it is none of these kinds.
    fn next(&mut self) -> Option<(Kind, &'a str)> {
        let rest = self.rest();
        if rest.starts_with("//") {
            return Some((Kind::Comment, self.take(line_comments(rest))));
        }
        if rest.starts_with("/*") {
            return Some((Kind::Comment, self.take(block_comment(rest))));
        }
        if let Some(hashes) = raw_string(rest) {
            let opening = rest.find('"').unwrap() + 1;
            let closing = format!("\"{}", "#".repeat(hashes));
            let length = rest[opening..].find(&closing).unwrap();
            let text = &self.take(opening + length + closing.len())[opening..opening + length];
            return Some((Kind::Text, text));
        }
        if let Some(text) = rest.strip_prefix('"') {
            let length = quoted(text, '"');
            return Some((Kind::Text, &self.take(length + 2)[1..=length]));
        }
        if let Some(after) = rest.strip_prefix('\'') {
            self.take(character(after));
            return None;
        }
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if name > 0 {
            return Some((Kind::Name, self.take(name)));
        }
        self.take(rest.chars().next().map_or(1, char::len_utf8));
        None
    }
}

/// How long the line comments are that follow each other from here on, without a line between them.
fn line_comments(rest: &str) -> usize {
    let mut length = rest.find('\n').unwrap_or(rest.len());
    loop {
        let next = &rest[length..];
        let blank = next.len() - next.trim_start().len();
        if !next[blank..].starts_with("//") || next[..blank].matches('\n').count() != 1 {
            return length;
        }
        length += blank + next[blank..].find('\n').unwrap_or(next.len() - blank);
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// How many hashes a raw string that begins here has.
fn raw_string(rest: &str) -> Option<usize> {
    let after = ["br", "cr", "r"].iter().find_map(|start| rest.strip_prefix(start))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// How long a text is up to its closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// How long the character is of which this is what follows its quote; or the quote alone, of a lifetime.
fn character(after: &str) -> usize {
    let mut letters = after.chars();
    match (letters.next(), letters.next()) {
        (Some('\\'), _) => quoted(after, '\'') + 2,
        (Some(letter), Some('\'')) => 2 + letter.len_utf8(),
        _ => 1,
    }
}
