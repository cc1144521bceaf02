//! Where one statement ends and the next one begins.

use crate::lexer::{Kind, Token};

/// One statement, with the blanks around it and the semicolon that ends it.
pub(crate) type Piece<'t, 'a> = &'t [Token<'a>];

/// Divides tokens at each semicolon that ends a statement, which stays with it. The pieces together are the tokens.
///
/// A semicolon in parentheses ends nothing, nor does one between the BEGIN and the END of a function whose body is SQL.
pub(crate) fn pieces<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<Piece<'t, 'a>> {
    let (mut pieces, mut begins) = (Vec::new(), 0);
    let mut nesting = Nesting::default();
    for (index, token) in tokens.iter().enumerate() {
        if nesting.ends_at(token) {
            pieces.push(&tokens[begins..=index]);
            (begins, nesting) = (index + 1, Nesting::default());
        }
    }
    if begins < tokens.len() {
        pieces.push(&tokens[begins..]);
    }
    pieces
}

/// How deep inside a statement a token is.
#[derive(Default)]
struct Nesting {
    parentheses: usize,
    /// BEGIN and CASE without their END, in a statement that creates a function.
    blocks: usize,
    /// The first words, up to the one that says what is created.
    words: usize,
    head: Head,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Head {
    #[default]
    Open,
    Function,
    Otherwise,
}

impl Nesting {
    /// Takes the next token. Whether the statement ends with it.
    fn ends_at(&mut self, token: &Token<'_>) -> bool {
        match token.text {
            "(" => self.parentheses += 1,
            ")" => self.parentheses = self.parentheses.saturating_sub(1),
            ";" => return self.parentheses == 0 && self.blocks == 0,
            _ if token.kind == Kind::Word => self.word(token),
            _ => {}
        }
        false
    }

    fn word(&mut self, word: &Token<'_>) {
        if self.head == Head::Open {
            let expected: &[&str] = if self.words == 0 { &["create"] } else { &["or", "replace"] };
            self.words += 1;
            self.head = match word {
                word if self.words > 1 && (word.is_word("function") || word.is_word("procedure")) => Head::Function,
                word if expected.iter().any(|expected| word.is_word(expected)) => Head::Open,
                _ => Head::Otherwise,
            };
        } else if self.head == Head::Function {
            if word.is_word("begin") || (self.blocks > 0 && word.is_word("case")) {
                self.blocks += 1;
            } else if word.is_word("end") {
                self.blocks = self.blocks.saturating_sub(1);
            }
        }
    }
}

/// Whether a piece has nothing to run.
pub(crate) fn is_empty(piece: Piece<'_, '_>) -> bool {
    piece.iter().all(|token| token.is_blank() || token.text == ";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::tokens;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<String> {
        let tokens = tokens(text).unwrap();
        pieces(&tokens).into_iter().map(|piece| piece.iter().map(|token| token.text).collect()).collect()
    }

    #[test]
    fn a_semicolon_inside_of_something_ends_no_statement() {
        for text in [
            "SELECT 'a;b', \"c;d\", $$e;f$$, E'\\';' /* g;h /* ; */ ; */ -- i;j\n, (k;l);",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END; $f$;",
            "create or replace function f() returns int begin atomic select 1; select case when true then 2 end; end;",
            "CREATE RULE r AS ON INSERT TO a DO ALSO (DELETE FROM b; DELETE FROM c);",
        ] {
            assert_eq!(split(text), [text]);
            assert_eq!(split(&format!("{text}{text} x")), [text, text, " x"]);
        }
        assert_eq!(split("BEGIN; SELECT 1; END;").len(), 3);
        assert_eq!(split("CREATE TABLE begin (a int); SELECT 1").len(), 2);
    }

    /// Texts of what is awkward, in any order.
    fn nasty() -> impl Strategy<Value = String> {
        let parts = [
            "'", "\"", "$$", "$a$", "$", "a", "E'", "\\", "--", "/*", "*/", ";", "\n", "\r", " ", "(", ")", "1", ".",
            "U&'", "ä", "begin", "end", "create", "function", "-", "/", "\u{0}", "\u{a0}", "case ", "->>", "e",
        ];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn splitting_and_joining_loses_nothing(text in prop_oneof![nasty(), any::<String>()]) {
            if let Ok(all) = tokens(&text) {
                prop_assert_eq!(split(&text).concat(), text.clone());
                prop_assert!(all.iter().all(|token| text[token.at..].starts_with(token.text)));
                prop_assert!(all.iter().all(|token| !token.text.is_empty()));
            }
        }

        /// Whatever statements are made of, they are found again where they were put together.
        #[test]
        fn statements_that_are_whole_are_the_same_after_joining_them(parts in prop::collection::vec(nasty(), 1..5)) {
            let is_one = |text: &String| tokens(&format!("{text}x")).is_ok_and(|all| {
                pieces(&all).len() == 2 && pieces(&all)[0].last().is_some_and(|last| last.at + 1 == text.len())
            });
            let statements: Vec<String> =
                parts.into_iter().map(|part| format!("{part}\n;")).filter(is_one).collect();
            prop_assert_eq!(split(&statements.concat()), statements);
        }
    }
}
