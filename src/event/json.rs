//! Which JSON text PostgreSQL can take apart again.
//!
//! The type `json` keeps the text as it was written, and looks no further than its grammar: what an escape stands for
//! is looked at by whoever reads a value, and then the whole text is refused, wherever in it the escape is.

/// Largest `payload` and `metadata`, in bytes each.
pub const MAX_JSON_BYTES: usize = 1024 * 1024;

/// How deep objects and arrays of a `payload` and `metadata` may be nested.
///
/// PostgreSQL's parser is recursive, and how deep it gets is a setting of the session: with the default
/// `max_stack_depth` of 2 MB to about 13,000 levels, with the least that can be set to about 630. What one session can
/// write, every other must be able to read.
pub const MAX_JSON_DEPTH: usize = 500;

/// Why a JSON text is not taken, or its event parked: `{field} {reason}` is a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The escape of the character NUL, which PostgreSQL's text can't hold.
    #[error("holds \\u0000, which PostgreSQL can't work with: leave it out")]
    Nul,
    /// Half of a pair of escapes that stands for one character.
    #[error(
        "holds half of a surrogate pair (\\ud800 to \\udfff), as a text has that was cut inside an emoji, which \
         PostgreSQL can't work with: cut it between characters"
    )]
    Surrogate,
    /// Deeper than [`MAX_JSON_DEPTH`].
    #[error("is nested deeper than {MAX_JSON_DEPTH} levels: flatten it")]
    TooDeep,
    /// Larger than [`MAX_JSON_BYTES`].
    #[error("is larger than {MAX_JSON_BYTES} bytes: keep large contents elsewhere, and their place in the event")]
    TooLarge,
}

/// What keeps PostgreSQL from reading a JSON text; none of what it can. Costs next to nothing where there is no
/// backslash.
///
/// The text need not be JSON: whether it is, is for its parser to say.
#[must_use]
pub fn unreadable(text: &str) -> Option<Unreadable> {
    if text.len() > MAX_JSON_BYTES {
        return Some(Unreadable::TooLarge);
    }
    if let Some(escape) = bad_escape(text) {
        return Some(escape);
    }
    // Each level has a bracket at both ends.
    (text.len() > 2 * MAX_JSON_DEPTH && depth(text) > MAX_JSON_DEPTH).then_some(Unreadable::TooDeep)
}

fn bad_escape(text: &str) -> Option<Unreadable> {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        // A backslash that is itself escaped does not start an escape.
        let length = match code_unit(escape) {
            None => 2,
            Some(0) => return Some(Unreadable::Nul),
            Some(0xD800..=0xDBFF) => match escape.get(6..).and_then(code_unit) {
                Some(0xDC00..=0xDFFF) => 12,
                _ => return Some(Unreadable::Surrogate),
            },
            Some(0xDC00..=0xDFFF) => return Some(Unreadable::Surrogate),
            Some(_) => 6,
        };
        rest = escape.get(length..).unwrap_or_default();
    }
    None
}

/// The number in `\uXXXX` at the beginning of a text.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// How deep a JSON text is nested.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_and_the_escape_of_nul_are_found_wherever_they_are() {
        let cases = [
            (r#"{"a":"x"}"#, None),
            (r#"{"a":"\u00e9 \ud83d\ude00 \n \\ \" \/"}"#, None),
            (r#"{"a":"\\u0000 \\ud83d"}"#, None),
            (r#"{"a":"\u0000"}"#, Some(Unreadable::Nul)),
            (r#"{"a":"\\\u0000"}"#, Some(Unreadable::Nul)),
            (r#"{"\u0000":1}"#, Some(Unreadable::Nul)),
            (r#"{"a":"\ud83d"}"#, Some(Unreadable::Surrogate)),
            (r#"{"\uD83D":1}"#, Some(Unreadable::Surrogate)),
            (r#"{"a":"\ude00\ud83d"}"#, Some(Unreadable::Surrogate)),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, Some(Unreadable::Surrogate)),
            (r#"{"a":"\ud83d\\ude00"}"#, Some(Unreadable::Surrogate)),
            (r#"{"a":"\ud83dx\ude00"}"#, Some(Unreadable::Surrogate)),
            (r#"{"a":"\ud83d\u0041"}"#, Some(Unreadable::Surrogate)),
        ];
        for (text, expected) in cases {
            assert_eq!(unreadable(text), expected, "{text}");
        }
    }

    #[test]
    fn brackets_within_strings_are_no_levels() {
        let levels = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(unreadable(&levels(MAX_JSON_DEPTH)), None);
        assert_eq!(unreadable(&levels(MAX_JSON_DEPTH + 1)), Some(Unreadable::TooDeep));
        assert_eq!(unreadable(&format!(r#"["\"{}", "\\"]"#, "[".repeat(2 * MAX_JSON_DEPTH))), None);
        assert_eq!(unreadable(&format!("[{}1]", "[1],".repeat(MAX_JSON_DEPTH))), None, "next to each other");
    }

    #[test]
    fn a_text_that_is_no_json_ends_nothing() {
        for text in ["\\", "\\u", "\\u12", "\\ué000", "\\é", "\"\\", "]]]", "\\ud83d\\", "\\ud83d\\u", "\\u+123"] {
            let _ = unreadable(text);
        }
        assert_eq!(unreadable(&"]".repeat(3 * MAX_JSON_DEPTH)), None);
    }
}
