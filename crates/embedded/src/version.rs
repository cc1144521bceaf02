//! Versions of PostgreSQL, as its programs and its directories have them.

/// The number that `text` begins with: `15` of `15.5`, `16` of `16beta1`.
pub(super) fn parse_major(text: &str) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..digits)?.parse().ok()
}
