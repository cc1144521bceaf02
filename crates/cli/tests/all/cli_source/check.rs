//! `evenfold source check`: what it finds, and what is against folding it.

use super::shop::{CUSTOM, Shop, directory};
use crate::support::{SOON, wait_until};
use sqlx::Connection;

const MESSAGE_DB: &str = include_str!("../../../../../tests/all/foreign/tables/message-db.sql");
const EMMETT: &str = include_str!("../../../../../tests/all/foreign/tables/emmett.sql");
const PYEVENTSOURCING: &str = include_str!("../../../../../tests/all/foreign/tables/pyeventsourcing.sql");
const AXON: &str = include_str!("../../../../../tests/all/foreign/tables/axon-jdbc.sql");
const PEKKO: &str = include_str!("../../../../../tests/all/foreign/tables/pekko-jdbc.sql");
const PROOPH: &str = include_str!("../../../../../tests/all/foreign/tables/prooph.sql");
const MARTEN: &str = include_str!("../../../../../tests/all/foreign/tables/marten.sql");

fn fits(text: &str) {
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_events_is_found_with_its_preset_and_what_keeps_it_from_being_folded() {
    let shop = Shop::new().await;
    shop.execute(&format!("{MESSAGE_DB}{EMMETT}{MARTEN} ALTER SEQUENCE mt_events_sequence CACHE 10")).await;
    shop.execute("GRANT USAGE ON SCHEMA message_store TO reader; GRANT SELECT ON message_store.messages TO reader")
        .await;
    let mut writer = shop.log().await;
    let mut open = writer.begin().await.unwrap();
    let draw = "SELECT nextval('message_store.messages_global_position_seq')";
    sqlx::raw_sql(draw).execute(&mut *open).await.unwrap();
    let checked = shop.run(&directory(""), &["source", "check", "--source-url", &shop.url()]);
    let found = checked.fine();
    fits(found);
    let sections: Vec<&str> = found.split("\n\n").collect();
    let section = |name: &str| *sections.iter().find(|section| section.starts_with(name)).unwrap();
    assert_eq!(
        section("message_store.messages"),
        "message_store.messages (message-db)
  positions   sequence message_store.messages_global_position_seq, cache 1,
              increment 1
  events      6
  writers     1 transactions have drawn a position and not ended
  right       GRANT SELECT ON message_store.messages TO reader: granted
  fold it     `evenfold pool --source message-db`"
    );
    let emmett = section("public.emt_messages");
    assert!(emmett.contains("GRANT SELECT ON public.emt_messages TO reader: missing"), "{emmett}");
    assert!(emmett.contains("refused     the user may not read it: GRANT SELECT ON"), "{emmett}");
    assert!(!emmett.contains("fold it"), "{emmett}");
    let marten = section("public.mt_events");
    assert!(marten.contains("cache 10, increment 1"), "{marten}");
    // What can be seen of a table that may not be read yet is shown with that.
    shop.execute("GRANT SELECT ON emt_messages, mt_events TO reader").await;
    let checked = shop.run(&directory(""), &["source", "check", "--source-url", &shop.url()]);
    let found = checked.fine();
    fits(found);
    assert!(found.contains("`evenfold pool --source emmett`") && found.contains("has CACHE 10"), "{found}");
    // Only the one that is meant.
    let one = shop.run(&directory(""), &["source", "check", "--source=emmett", "--source-url", &shop.url()]);
    assert!(one.fine().starts_with("public.emt_messages (emmett)") && !one.out.contains("message-db"), "{one:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_log_is_checked_with_its_deletes_and_its_triggers() {
    let shop = Shop::new().await;
    shop.events(4).await;
    shop.execute(
        "CREATE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER stamp BEFORE INSERT ON shop.domain_events FOR EACH ROW EXECUTE FUNCTION shop.stamp();
         DELETE FROM shop.domain_events WHERE id = 1",
    )
    .await;
    let directory = shop.directory(CUSTOM);
    let check = || shop.run(&directory, &["source", "check"]);
    wait_until("the statistics", SOON, async || check().fine().contains("1 rows were deleted")).await;
    let checked = check();
    fits(&checked.out);
    assert!(checked.out.starts_with("shop.domain_events (custom)\n"), "{checked:?}");
    assert!(checked.out.contains("events      3\n"), "{checked:?}");
    assert!(checked.out.contains("triggers BEFORE INSERT may change positions: stamp"), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_folded_the_exit_code_is_1() {
    let shop = Shop::new().await;
    let check = ["source", "check", "--source-url", &shop.url()];
    shop.run(&directory(""), &check).complains(1, "no table of events of a known library is in shop at 127.0.0.1");
    shop.execute(MESSAGE_DB).await;
    let refused = shop.run(&directory(""), &check);
    assert_eq!(refused.code, 1, "{refused:?}");
    fits(&refused.out);
    assert!(!refused.out.contains("writers"), "nobody knows: {refused:?}");
    let grants = "GRANT USAGE ON SCHEMA message_store TO reader; GRANT SELECT ON";
    assert!(refused.out.contains(grants), "{refused:?}");
    assert!(refused.err.contains("none of the 1 logs found in shop at 127.0.0.1"), "{refused:?}");
    let none = shop.run(&directory(""), &[&check[..], &["--source=eventuous"]].concat());
    assert!(none.code == 1 && none.out.contains("refused     there is no such table"), "{none:?}");
    let incomplete = directory("[source]\npreset = 'prooph'");
    shop.run(&incomplete, &check).complains(2, "the log prooph: a log of others needs `table`");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_million_events_are_estimated_and_that_is_shown() {
    let shop = Shop::new().await;
    shop.execute(
        "CREATE TABLE shop.many (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text);
         INSERT INTO shop.many (body) SELECT '{}' FROM generate_series(1, 1000000);
         GRANT SELECT ON shop.many TO reader; ANALYZE shop.many",
    )
    .await;
    let many = "[source.custom]
table = 'shop.many'
position = 'id'
aggregate_type = \"'t'\"
aggregate_id = 'id'
event_type = \"'e'\"
payload = 'body'
";
    let directory = shop.directory(many);
    let checked = shop.run(&directory, &["source", "check"]);
    assert!(checked.fine().contains("  events      1,000,000\n"), "{checked:?}");
    shop.execute("INSERT INTO shop.many (body) SELECT '{}' FROM generate_series(1, 500000); ANALYZE shop.many").await;
    let checked = shop.run(&directory, &["source", "check"]);
    assert!(checked.fine().contains("  events      about 1,500,000, by PostgreSQL's statistics\n"), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_an_applications_own_name_is_found_by_its_columns_with_the_line_that_the_settings_need() {
    let shop = Shop::new().await;
    shop.execute(&format!(
        "{PYEVENTSOURCING}{AXON}{PROOPH} ALTER TABLE stored_events RENAME TO bank_events;
         CREATE SCHEMA \"Shop\"; ALTER TABLE domainevententry SET SCHEMA \"Shop\";
         ALTER TABLE \"Shop\".domainevententry RENAME TO \"Today's\"; GRANT USAGE ON SCHEMA \"Shop\" TO reader;
         CREATE TABLE bank_snapshots (originator_id uuid, originator_version bigint, topic text, state bytea);
         CREATE VIEW all_events AS SELECT * FROM bank_events;
         GRANT SELECT ON ALL TABLES IN SCHEMA public, \"Shop\" TO reader"
    ))
    .await;
    let checked = shop.run(&directory(""), &["source", "check", "--source-url", &shop.url()]);
    let found = checked.fine();
    fits(found);
    let heads: Vec<&str> = found.split("\n\n").map(|section| section.lines().next().unwrap()).collect();
    let expected =
        ["\"Shop\".\"Today's\" (axon-jdbc)", "public.bank_events (pyeventsourcing)", "public._1a2b (prooph)"];
    assert_eq!(heads, expected, "neither snapshots nor a view: {found}");
    let known = "  known by    its columns; the library's own table is stored_events\n";
    assert!(found.contains(known) && !found.contains("also fits"), "{found}");
    for (preset, line, events) in [
        ("axon-jdbc", r#"table = "\"Shop\".\"Today's\"""#, 2),
        ("pyeventsourcing", "table = 'public.bank_events'", 2),
        ("prooph", "table = 'public._1a2b'", 2),
    ] {
        let command = format!("`evenfold pool --source {preset}`, with {line} in [source.custom]");
        let shown = found.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains(&command), "{command}: {found}");
        let settings = shop.directory(&format!("[source]\npreset = '{preset}'\n[source.custom]\n{line}"));
        let one = shop.run(&settings, &["source", "check"]);
        assert!(one.fine().contains(&format!("  events      {events}\n")), "{one:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_several_presets_fit_is_shown_with_all_of_them() {
    let shop = Shop::new().await;
    shop.execute(&format!(
        "{PEKKO}{PYEVENTSOURCING} ALTER TABLE stored_events ADD no bigserial UNIQUE, ADD event_id uuid, ADD event_name text,
             ADD payload json, ADD metadata jsonb, ADD created_at timestamp;
         ALTER TABLE stored_events RENAME TO both_events; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
    ))
    .await;
    let checked = shop.run(&directory(""), &["source", "check", "--source-url", &shop.url()]);
    let found = checked.fine();
    fits(found);
    let sections: Vec<Vec<&str>> = found.split("\n\n").map(|section| section.lines().collect()).collect();
    let heads: Vec<(&str, &str)> = sections
        .iter()
        .map(|lines| (lines[0], *lines.iter().find(|line| line.starts_with("  also fits")).unwrap()))
        .collect();
    let only = "only who writes it knows which it is";
    assert_eq!(
        heads,
        [
            ("public.event_journal (pekko-jdbc)", format!("  also fits   akka-jdbc: {only}").as_str()),
            ("public.both_events (pyeventsourcing)", format!("  also fits   prooph: {only}").as_str()),
            ("public.both_events (prooph)", format!("  also fits   pyeventsourcing: {only}").as_str()),
        ],
        "{found}"
    );
}
