//! What a file can be, and what it can not.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<ProjectionFile, Flaw> {
    ProjectionFile::parse("orders", "projections/orders.sql", text)
}

const WHOLE: &str = "-- What is open.
-- events: order-placed, order-shipped
-- aggregates: order
-- create
CREATE TABLE open_orders (id text PRIMARY KEY);
CREATE INDEX ON open_orders (id);;
-- apply
INSERT INTO open_orders SELECT aggregate_id FROM batch; -- ; no end
DELETE FROM open_orders USING batch WHERE id = aggregate_id
";

#[test]
fn a_file_is_its_events_what_it_creates_and_what_it_applies() {
    let file = parse(WHOLE).unwrap();
    let sql = |statements: &[Statement]| statements.iter().map(|one| one.sql.clone()).collect::<Vec<_>>();
    assert_eq!(
        file.interest,
        Interest::everything().in_events(["order-placed", "order-shipped"]).in_aggregates(["order"])
    );
    assert_eq!(
        sql(&file.create),
        ["CREATE TABLE open_orders (id text PRIMARY KEY)", "CREATE INDEX ON open_orders (id)"]
    );
    let Apply::Statements(apply) = &file.apply else { panic!("{file:?}") };
    assert_eq!(apply.len(), 2);
    assert_eq!(apply[1].sql, "DELETE FROM open_orders USING batch WHERE id = aggregate_id");
    assert!(WHOLE[apply[1].at..].starts_with(&apply[1].sql));
    let each = parse("-- each event\nIF event.version = 1 THEN\n  RAISE 'a;b'; -- each event\nEND IF;\n").unwrap();
    assert_eq!(each.interest, Interest::everything());
    let Apply::EachEvent(body) = &each.apply else { panic!("{each:?}") };
    assert!(body.sql.starts_with("IF") && body.sql.ends_with("END IF;"), "{body:?}");
}

#[test]
fn a_mistake_is_a_sentence_with_its_line_and_column() {
    let cases = [
        ("-- event: a\n-- apply\nx", 1, 1, "event: is no heading"),
        ("-- Aggregates: a\n-- apply\nx", 1, 1, "Aggregates: is no heading"),
        ("-- events: a,,b\n-- apply\nx", 1, 1, "an empty name"),
        ("-- events:\n-- apply\nx", 1, 1, "an empty name"),
        ("-- events: a\n-- events: b\n-- apply\nx", 2, 1, "is here twice"),
        ("-- apply\nx\n-- events: a", 3, 1, "in front of the first section"),
        ("\n SELECT 1;\n-- apply\nx", 2, 2, "in front of the first section"),
        ("-- apply\nx\n-- apply\ny", 3, 1, "there is a -- apply already"),
        ("-- apply\nx\n  -- each event\ny", 3, 3, "there is a -- apply already"),
        ("-- create\nCREATE TABLE a (b int);\n", 3, 1, "there is no section -- apply"),
        ("", 1, 1, "there is no section -- apply"),
        ("-- apply\n ; -- nothing\n;", 1, 1, "this section is empty"),
        ("-- each event\n /* */", 1, 1, "this section is empty"),
        ("-- apply\nSELECT 'a\n;", 2, 8, "this string has no end"),
        ("-- apply\nDO $a$ $b$", 2, 4, "this dollar-quoted text has no end"),
        ("-- create\nCREATE TABLE a (b int); COMMIT;\n-- apply\nx", 2, 25, "leave COMMIT out"),
        ("-- apply\nSELECT $1", 2, 8, "$1 has no value here"),
        ("-- apply\nx\0", 2, 2, "no character 0"),
    ];
    for (text, line, column, sentence) in cases {
        let flaw = parse(text).unwrap_err();
        assert_eq!((flaw.line, flaw.column), (line, column), "{text:?}: {flaw}");
        assert!(flaw.sentence.contains(sentence), "{text:?}: {flaw}");
        assert!(flaw.to_string().starts_with(&format!("projections/orders.sql:{line}:{column}: ")), "{flaw}");
    }
}

#[test]
fn the_definition_is_what_is_done_without_comments_and_white_space() {
    let of = |text: &str| parse(text).unwrap().definition;
    let same = WHOLE.replace('\n', "\r\n  ").replace("-- What is open.", "/* Open\n -- apply\n */");
    assert_eq!(of(WHOLE), of(&same));
    for (from, to) in
        [("(id)", "(id DESC)"), ("DELETE FROM", "DELETE FROM ONLY"), ("CREATE TABLE", "CREATE UNLOGGED TABLE")]
    {
        assert_ne!(of(WHOLE), of(&WHOLE.replace(from, to)), "{to}");
    }
    assert_ne!(of("-- apply\nx"), of("-- each event\nx"));
    assert_eq!(of("-- apply\nx;y"), of("-- apply\n; x; ;y;;"));
    assert_ne!(of("-- apply\nx;y"), of("-- apply\nx y"));
    assert_eq!(of("-- apply\nx\n-- create\nCREATE TYPE y"), of("-- create\nCREATE TYPE y;\n-- apply\nx"));
}

#[test]
fn a_heading_inside_of_a_text_or_behind_a_statement_is_none() {
    let file = parse(
        "-- apply\nINSERT INTO a VALUES ('\n-- create\n'); -- create\n/*\n-- create\n*/ SELECT $$\n-- create\n$$",
    )
    .unwrap();
    assert!(file.create.is_empty());
    assert!(matches!(&file.apply, Apply::Statements(all) if all.len() == 2), "{file:?}");
}

#[test]
fn a_name_that_no_projection_can_have_is_refused() {
    for name in
        ["a.b.sql", "Orders.sql", "1.sql", ".sql", "orders", "a-b.sql", "ä.sql", &format!("{}.sql", "a".repeat(49))]
    {
        assert!(matches!(ProjectionFile::read(Path::new(name)), Err(FileError::Name(_))), "{name}");
    }
    assert!(matches!(ProjectionFile::read(Path::new("not_there.sql")), Err(FileError::Unread { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![
        any::<String>(),
        prop::collection::vec(prop::sample::select(vec![
            "-- create\n", "-- apply\n", "-- each event\n", "-- events: a\n", "-- aggregates:", "'", "$$", "/*", "*/", ";",
            "\n", "a ", "-- ", ":", "\u{feff}", "ü", "(", "\0",
        ]), 0..20).prop_map(|parts| parts.concat()),
    ]) {
        match parse(&text) {
            Ok(file) => prop_assert!(!file.definition.is_empty()),
            Err(flaw) => prop_assert!(flaw.line >= 1 && flaw.column >= 1 && !flaw.to_string().is_empty()),
        }
    }
}
