//! What the section `-- create` may have.

use crate::lexer::Kind;
use crate::split::Piece;

/// What can be made: whatever a read model is kept in, or computed with, and is there again when it is folded anew.
const OBJECTS: [&str; 7] = ["table", "index", "type", "domain", "function", "aggregate", "view"];

/// Words between CREATE and what is made.
const MODIFIERS: [&str; 5] = ["or", "replace", "unique", "unlogged", "recursive"];

/// Why a statement does not belong there, and where it begins.
pub(crate) fn refusal(statement: Piece<'_, '_>) -> Option<(usize, String)> {
    let mut words = statement.iter().filter(|token| !token.is_blank());
    let first = words.next()?;
    let object = words.find(|token| !MODIFIERS.iter().any(|modifier| token.is_word(modifier)));
    let is_made = object.is_some_and(|object| OBJECTS.iter().any(|one| object.is_word(one)));
    if first.is_word("comment") || (first.is_word("create") && is_made) {
        return None;
    }
    let made = object.filter(|object| first.is_word("create") && object.kind == Kind::Word);
    let name = made.map_or_else(|| first.text.to_owned(), |object| format!("{} {}", first.text, object.text));
    Some((
        first.at,
        format!("-- create makes tables, indexes, types, domains, functions, aggregates and views: leave {name} out"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::tokens;

    #[test]
    fn only_what_a_read_model_is_made_of_can_be_made() {
        let refused = |sql: &str| refusal(&tokens(sql).unwrap()).map(|(_, sentence)| sentence);
        for sql in [
            "CREATE TABLE a (b int)",
            "create /* x */ unique index on a (b)",
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE UNLOGGED TABLE a (b int)",
            "COMMENT ON TABLE a IS 'b'",
        ] {
            assert_eq!(refused(sql), None, "{sql}");
        }
        for (sql, name) in [
            ("COMMIT", "COMMIT"),
            ("CREATE TEMP TABLE a (b int)", "CREATE TEMP"),
            ("CREATE SCHEMA a", "CREATE SCHEMA"),
            ("CREATE ROLE a", "CREATE ROLE"),
            ("DROP TABLE a", "DROP"),
            ("INSERT INTO a VALUES (1)", "INSERT"),
            ("CREATE", "CREATE"),
        ] {
            assert!(refused(sql).is_some_and(|sentence| sentence.ends_with(&format!("leave {name} out"))), "{sql}");
        }
    }
}
