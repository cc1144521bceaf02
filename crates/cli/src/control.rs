//! Text of others, in which nothing is left that a terminal would obey.

use std::borrow::Cow;

/// Text of others, such as ids, with its control characters made visible: a terminal would obey them. Those that change
/// the direction of writing are among them; `\n` is not a line of ours.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.contains(is_control) { Cow::Owned(escaped(text, |_| false)) } else { Cow::Borrowed(text) }
}

/// The same with those left as they are that are to be kept.
pub(crate) fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let escape = |c: char| match c {
        c if is_control(c) && !keep(c) => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// What a terminal could obey.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON that a terminal obeys in nothing: beyond what every JSON escapes, all control characters, in its own way.
pub(crate) fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value).map(|text| json_text(&text))
}

/// The same of JSON that is written already.
pub(crate) fn json_text(text: &str) -> String {
    let escape = |c: char| if is_control(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_visible_and_the_rest_is_as_it_was() {
        let cases = [
            ("größe 1,5 \u{1f980}\\n", "größe 1,5 \u{1f980}\\n"),
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("a\r\nb\t\0\x7f", "a\\r\\nb\\t\\u{0}\\u{7f}"),
            ("\u{9b}31m \u{202e}txt\u{2069}", "\\u{9b}31m \\u{202e}txt\\u{2069}"),
        ];
        for (text, expected) in cases {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn json_with_control_characters_is_the_same_value_without_any() -> serde_json::Result<()> {
        let id = "\u{1b}[2J \n \u{7f}\u{9b}31m \u{202e}ü";
        let text = json(&id)?;
        assert!(!text.contains(is_control), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text)?, id);
        Ok(())
    }
}
