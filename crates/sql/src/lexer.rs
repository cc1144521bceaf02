//! The lexical rules of PostgreSQL's SQL, as far as one must know them to find where a statement ends.
//!
//! Strings are those of sessions with `standard_conforming_strings`, which evenfold's all have.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Space,
    /// `-- …` up to the end of its line, which is not part of it.
    Line,
    /// `/* … */`, nested.
    Block,
    /// A name or a keyword without quotes.
    Word,
    /// A text in quotes of any kind, or a name in quotes, with what comes before the quotes and belongs to them.
    Quoted,
    Number,
    Operator,
    /// One character that is none of these.
    Other,
}

/// A part of the text. All of them together are the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    /// Where it begins, in bytes.
    pub(crate) at: usize,
    pub(crate) text: &'a str,
}

impl Token<'_> {
    /// Whether it is nothing but room between others.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.kind, Kind::Space | Kind::Line | Kind::Block)
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// A quote or a comment that has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unterminated {
    /// Where it begins, in bytes.
    pub(crate) at: usize,
    /// What it is.
    pub(crate) name: &'static str,
}

/// Takes the text apart.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Unterminated> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let (kind, length) = next(rest).map_err(|name| Unterminated { at, name })?;
        tokens.push(Token { kind, at, text: &rest[..length] });
        at += length;
    }
    Ok(tokens)
}

/// The kind and the length of the first token of a text that is not empty; or the name of what has no end.
fn next(text: &str) -> Result<(Kind, usize), &'static str> {
    let first = text.chars().next().unwrap_or(' ');
    let while_all = |is: fn(char) -> bool| text.find(|c| !is(c)).unwrap_or(text.len());
    Ok(match first {
        c if is_space(c) => (Kind::Space, while_all(is_space)),
        '-' if text.starts_with("--") => (Kind::Line, text.find(['\n', '\r']).unwrap_or(text.len())),
        '/' if text.starts_with("/*") => (Kind::Block, block(text).ok_or("comment")?),
        '\'' => (Kind::Quoted, quoted(text, 1, '\'', false).ok_or("string")?),
        '"' => (Kind::Quoted, quoted(text, 1, '"', false).ok_or("quoted name")?),
        '$' => dollar(text)?,
        c if is_name_start(c) => word(text)?,
        c if c.is_ascii_digit() => (Kind::Number, number(text)),
        c if is_operator(c) => (Kind::Operator, operator(text)),
        c => (Kind::Other, c.len_utf8()),
    })
}

/// PostgreSQL's white space, of which a byte that it does not know is none.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_name(c: char) -> bool {
    is_name_start(c) || c.is_ascii_digit() || c == '$'
}

fn is_operator(c: char) -> bool {
    "+-*/<>=~!@#%^&|`?".contains(c)
}

/// The length of a comment, of those inside too.
fn block(text: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if rest.starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next()?.len_utf8();
        }
    }
}

/// The length of what ends with a quote that is not doubled, from `at` on, which is behind the first quote.
fn quoted(text: &str, at: usize, quote: char, escapes: bool) -> Option<usize> {
    let mut characters = text.get(at..)?.char_indices().peekable();
    while let Some((offset, c)) = characters.next() {
        if escapes && c == '\\' {
            characters.next()?;
        } else if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + offset + 1);
        }
    }
    None
}

/// `$tag$ … $tag$`, or a parameter such as `$1`, or a dollar that means nothing.
fn dollar(text: &str) -> Result<(Kind, usize), &'static str> {
    let tag = text[1..].find(|c| c == '$' || !is_name(c)).map_or(text.len(), |end| end + 1);
    let is_tag = text[tag..].starts_with('$') && text[1..].starts_with(|c| c == '$' || is_name_start(c));
    if is_tag {
        let tag = &text[..=tag];
        let end = text[tag.len()..].find(tag).ok_or("dollar-quoted text")?;
        return Ok((Kind::Quoted, end + 2 * tag.len()));
    }
    let digits = text[1..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |end| end + 1);
    Ok((Kind::Other, digits))
}

/// A word, or a text in quotes that a letter before them gives another meaning: `E'…'`, `U&"…"`.
fn word(text: &str) -> Result<(Kind, usize), &'static str> {
    let length = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let is = |names: &[&str]| names.iter().any(|one| name.eq_ignore_ascii_case(one));
    if is(&["e", "b", "x", "n"]) && rest.starts_with('\'') {
        return Ok((Kind::Quoted, quoted(text, length + 1, '\'', is(&["e"])).ok_or("string")?));
    }
    for quote in ['\'', '"'] {
        if is(&["u"]) && rest.starts_with('&') && rest[1..].starts_with(quote) {
            return Ok((Kind::Quoted, quoted(text, length + 2, quote, false).ok_or("string")?));
        }
    }
    Ok((Kind::Word, length))
}

/// A number, with what is glued to it. Two dots are no part of it: `1..10`.
fn number(text: &str) -> usize {
    let mut end = 0;
    while let Some(c) = text[end..].chars().next() {
        let one_dot = c == '.' && !text[end + 1..].starts_with('.');
        let sign = (c == '-' || c == '+')
            && text[..end].ends_with(['e', 'E'])
            && text[end + 1..].starts_with(|c: char| c.is_ascii_digit());
        if !(one_dot || sign || c == '_' || c.is_ascii_alphanumeric()) {
            break;
        }
        end += 1;
    }
    end
}

/// Characters of operators in a row, up to a comment.
fn operator(text: &str) -> usize {
    let end = text.find(|c| !is_operator(c)).unwrap_or(text.len());
    let comment = ["--", "/*"].into_iter().filter_map(|begin| text[..end].find(begin)).min();
    comment.unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).unwrap().into_iter().filter(|token| !token.is_blank()).map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn whatever_is_quoted_is_one_token() {
        for text in [
            "'it''s; -- not'",
            r"'\'",
            r"E'a\'; b'",
            r"e'\\'",
            r#""a;""b""#,
            "$$ ; $a$ ; '$$",
            "$ä_1$ $$ ; $ä_1$",
            r#"U&"d\0061;t""#,
            "u&'a;'",
            "N'a;'",
            "X'1F'",
            "''",
        ] {
            assert_eq!(kinds(text), [(Kind::Quoted, text)]);
        }
        for text in ["/* a /* b; */ ; */", "-- a; 'b", "/**/", "/*/**/*/"] {
            assert_eq!(kinds(text), []);
        }
    }

    #[test]
    fn what_only_looks_like_a_quote_or_a_comment_is_none() {
        let all: Vec<&str> = kinds("a$b$c;$1;a$$;E;x ->> 'y';1..10;1.5e-3;a<--;").into_iter().map(|(_, t)| t).collect();
        let expected = ["a$b$c", ";", "$1", ";", "a$$", ";", "E", ";", "x", "->>", "'y'", ";", "1", ".", ".", "10"];
        assert_eq!(all[..16], expected);
        assert_eq!(all[16..], [";", "1.5e-3", ";", "a", "<"], "a comment ends an operator");
        assert_eq!(kinds("e 'a'")[0], (Kind::Word, "e"));
        assert_eq!(kinds("$1a$").first(), Some(&(Kind::Other, "$1")));
        assert_eq!(kinds("$").first(), Some(&(Kind::Other, "$")));
    }

    #[test]
    fn what_has_no_end_is_found_where_it_begins() {
        let cases = [
            ("a 'b''", 2, "string"),
            (r"E'\'", 0, "string"),
            ("  \"b", 2, "quoted name"),
            ("/* /* */", 0, "comment"),
            ("x $a$ $b$", 2, "dollar-quoted text"),
            ("U&'", 0, "string"),
        ];
        for (text, at, name) in cases {
            assert_eq!(tokens(text), Err(Unterminated { at, name }), "{text}");
        }
    }
}
