//! A program with a projection of its own: `evenfold`'s whole command line works for it.

use crate::example::{example, run_at};
use evenfold_testkit::cli::CliOutput;
use evenfold_testkit::{Evenfold, TestDb, scalar};

const ORDERS: &str = r#"
{"aggregate_type": "order", "aggregate_id": "1", "event_type": "order-placed", "payload": {"customer": "ada", "cents": 5, "currency": "EUR"}}
{"aggregate_type": "order", "aggregate_id": "2", "event_type": "order-placed", "payload": {"customer": "bob", "cents": 7, "currency": "EUR"}}
{"aggregate_type": "order", "aggregate_id": "3", "event_type": "order-placed", "payload": {"customer": "ada", "cents": 9, "currency": "USD"}}
{"aggregate_type": "order", "aggregate_id": "4", "event_type": "order-noted", "payload": "nothing that counts"}
"#;

fn revenue(db: &TestDb, args: &[&str]) -> CliOutput {
    run_at(db, "custom_projection", args, "")
}

fn append(db: &TestDb, lines: &str) {
    run_at(db, "custom_projection", &["append"], lines.trim_start()).fine();
}

const ALL: [&str; 4] = ["pool", "--workers=4", "--until-caught-up", "--log=error"];

#[tokio::test(flavor = "multi_thread")]
async fn its_tables_are_created_its_events_are_folded_once_by_any_number_of_partitions_and_its_status_is_shown() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append(&db, ORDERS);
    let before = revenue(&db, &["status"]);
    assert!(before.fine().contains("the projection revenue has not been begun"), "{before:?}");
    revenue(&db, &ALL).fine();
    append(&db, ORDERS);
    for key in ["0", "1"] {
        revenue(&db, &["worker", "--total-partitions=2", "--partition-key", key, "--until-caught-up", "--takeover"])
            .fine();
    }
    let ada = "SELECT cents FROM revenue WHERE customer = 'ada'";
    assert_eq!(scalar(&mut conn, ada).await, 10);
    assert_eq!(scalar(&mut conn, "SELECT sum(cents)::bigint FROM revenue").await, 24, "orders in dollars do not count");
    let status = revenue(&db, &["status"]);
    assert!(status.fine().contains("revenue: 2 partitions, cover complete"), "{status:?}");
    assert!(status.out.contains("0/2") && status.out.contains("1/2"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_read_is_parked_and_applied_by_retry_once_the_program_can() {
    let db = TestDb::new().await;
    append(&db, ORDERS);
    append(
        &db,
        r#"{"aggregate_type": "order", "aggregate_id": "5", "event_type": "order-placed", "payload": {"customer": "eve"}}"#,
    );
    revenue(&db, &ALL).fine();
    let list = revenue(&db, &["parked", "list"]);
    assert!(list.fine().contains("missing field `cents`"), "{list:?}");
    let retry = revenue(&db, &["parked", "retry", "order", "5"]);
    assert_eq!(retry.code, 1);
    assert!(retry.err.contains("order/5 is still parked"), "{retry:?}");
    let dropped = revenue(&db, &["parked", "drop", "order", "5"]);
    assert!(dropped.fine().contains("nothing is parked any more"), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_has_applied_is_verified_with_its_settings() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    append(&db, ORDERS);
    revenue(&db, &[&ALL[..], &["--currency=USD"]].concat()).fine();
    let verify = || revenue(&db, &["verify", "--currency=USD"]);
    assert!(verify().fine().contains("revenue: all 1 rows agree."), "{:?}", verify());
    sqlx::raw_sql("UPDATE revenue SET cents = 8").execute(&mut conn).await.unwrap();
    assert_eq!(verify().code, 1);
    assert!(verify().out.contains("the log has {\"customer\":\"ada\",\"cents\":9}"), "{:?}", verify());
    let other = revenue(&db, &["verify"]);
    assert!(other.code == 1 && other.err.contains("is defined by"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_settings_are_flags_and_variables_and_workers_with_others_are_refused() {
    let db = TestDb::new().await;
    append(&db, ORDERS);
    revenue(&db, &[&ALL[..], &["--currency=USD"]].concat()).fine();
    assert_eq!(scalar(&mut db.connect().await, "SELECT sum(cents)::bigint FROM revenue").await, 9);
    let other = revenue(&db, &ALL);
    assert_eq!(other.code, 1);
    assert!(other.err.contains("currency: USD") && other.err.contains("currency: EUR"), "{other:?}");
    assert!(other.err.contains("`custom_projection rebuild --projection revenue`"), "{other:?}");
    // Flags are easily forgotten: another definition must be meant.
    let rebuild = revenue(&db, &["rebuild"]);
    assert!(rebuild.code == 1 && rebuild.err.contains("--new-definition"), "{rebuild:?}");
    let rebuild = revenue(&db, &["rebuild", "--new-definition", "--workers=2"]);
    assert!(rebuild.fine().contains("2 rows that were others were written"), "{rebuild:?}");
    assert_eq!(scalar(&mut db.connect().await, "SELECT sum(cents)::bigint FROM revenue").await, 12);
    revenue(&db, &["verify"]).fine();
    revenue(&db, &["rebuild", "--new-definition", "--currency=USD"]).fine();
    let mut command = example("custom_projection", &["worker", "--partition-key=0", "--until-caught-up", "--takeover"]);
    command.env("DATABASE_URL", &db.url).env("REVENUE_CURRENCY", "USD");
    CliOutput::from(Evenfold::finish(command, b"")).fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_has_is_in_its_help_and_what_it_does_not_have_is_refused_in_a_sentence() {
    let db = TestDb::new().await;
    let help = revenue(&db, &["--help"]);
    assert!(help.fine().contains("Usage: custom_projection"), "{help:?}");
    assert!(help.out.contains("exactly once, into: revenue"), "{help:?}");
    for command in [
        "worker",
        "pool",
        "status",
        "wait",
        "verify",
        "rebuild",
        "parked",
        "append",
        "migrate",
        "uninstall",
        "index",
        "repair",
        "db",
        "scale",
        "bench",
    ] {
        assert!(
            help.out.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))),
            "{command}: {help:?}"
        );
    }
    // What a command is about is not what the settings of a projection are.
    for about in
        ["  worker       Apply the events of one partition\n", "  pool         Apply the events of several partitions"]
    {
        assert!(help.out.contains(about), "{about}: {help:?}");
    }
    assert!(revenue(&db, &["pool", "--help"]).fine().starts_with("Apply the events of several partitions"));
    for command in ["counters", "demo", "serve", "cache", "generate"] {
        assert!(
            !help.out.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))),
            "{command}: {help:?}"
        );
        revenue(&db, &[command]).complains(2, "unrecognized subcommand");
    }
    assert!(revenue(&db, &["worker", "--help"]).fine().contains("--currency <CODE>"));
    revenue(&db, &["pool", "--projection=counters"])
        .complains(2, "does not have the projection counters; it has: revenue");
    revenue(&db, &[]).complains(2, "`custom_projection --help` shows every command");
}
