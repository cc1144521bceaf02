//! What a projection does, as one line in which comments and white space make no difference.

use crate::lexer::Token;

/// The tokens with one space between any two. What is in quotes stays as it is.
///
/// Two texts with the same result run the same: where PostgreSQL needs white space it is there, and where it is free to
/// be left out (`a=b`) it is there too. A continued string, whose parts are in lines of their own, keeps its parts.
pub(crate) fn normalised<'a>(tokens: impl IntoIterator<Item = &'a Token<'a>>) -> String {
    let mut line = String::new();
    for token in tokens.into_iter().filter(|token| !token.is_blank()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(token.text);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::tokens;
    use proptest::prelude::*;

    fn of(text: &str) -> String {
        normalised(&tokens(text).unwrap())
    }

    #[test]
    fn comments_and_white_space_make_no_difference_and_anything_else_does() {
        let text = "INSERT INTO a(b)SELECT 'x  -- y', c::int FROM d WHERE e<=1.5;";
        for same in [
            "INSERT INTO a ( b ) SELECT 'x  -- y',\n\tc :: int\r\nFROM d WHERE e <= 1.5 ;",
            "/* what */ INSERT INTO a(b) -- it does\n SELECT/**/'x  -- y', c::int FROM d WHERE e<=1.5\n;-- that",
        ] {
            assert_eq!(of(same), of(text));
        }
        for other in [
            "INSERT INTO a(b)SELECT 'x -- y', c::int FROM d WHERE e<=1.5;",
            "INSERT INTO a(b)SELECT 'x  -- y', c::int FROM d WHERE e<1.5;",
            "INSERT INTO a(b)SELECT 'x  -- y', c::int FROM d WHERE e<=1.50;",
            "INSERT INTO a(b)SELECT 'x  -- y', c::int FROM d WHERE e<=15;",
            "INSERT INTO a(b)SELECT 'x  -- y', cc::int FROM d WHERE e<=1.5;",
        ] {
            assert_ne!(of(other), of(text));
        }
        assert_ne!(of("a<-1"), of("a< -1"));
        assert_ne!(of("E'a'"), of("E 'a'"));
    }

    proptest! {
        #[test]
        fn a_normalised_text_is_the_same_when_it_is_normalised_again(text in "[a-z0-9 '\"$;()<>=.:/*\n-]{0,60}") {
            if let Ok(all) = tokens(&text) {
                let once = normalised(&all);
                prop_assert_eq!(of(&once), once);
            }
        }
    }
}
