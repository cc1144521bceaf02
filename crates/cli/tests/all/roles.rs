//! What a role, a database or a server is set to does not reach evenfold, or is refused in a sentence; and each role
//! needs the rights in the table of docs/guarantees.md, and no others.

use crate::support::{Evenfold, Postgres, Serving, append_one, assert_counters_agree, scalar};
use evenfold::database::Database;
use evenfold::schema::{self, Schema};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::Path;
use tokio::task::block_in_place;

async fn migrated() -> (Postgres, PgConnection) {
    let server = block_in_place(|| Postgres::start("UTF8", ""));
    let (mut conn, _) = Database::at(&server.url()).unwrap().connect_to_server().await.unwrap();
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    (server, conn)
}

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap();
}

const EVENT: &str = r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{"amount":1}}"#;

/// A command as a user: its code, and all it prints.
fn evenfold(url: &str, command: &str, input: &str) -> (i32, String) {
    let args = [&command.split_whitespace().collect::<Vec<_>>()[..], &["--database-url", url]].concat();
    let output = block_in_place(|| Evenfold::run(&args, input));
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

fn fine(url: &str, command: &str, input: &str) -> String {
    let (code, text) = evenfold(url, command, input);
    assert_eq!(code, 0, "{command}: {text}");
    text
}

const WORKER: &str = "worker --partition-key=0 --total-partitions=1 --takeover --until-caught-up --log=warn";

/// Everything that a user may do with a log of a few events, each with the input that it needs.
const COMMANDS: [(&str, &str); 9] = [
    ("append", EVENT),
    (WORKER, ""),
    ("generate --events=200 --aggregates=20 --writers=4 --batch-size=5 --yes", ""),
    ("pool --workers=2 --takeover --until-caught-up --log=warn", ""),
    ("status", ""),
    ("verify", ""),
    ("rebuild", ""),
    ("parked retry --all", ""),
    ("counters", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_of_a_role_changes_what_evenfold_does() {
    let (server, mut conn) = migrated().await;
    run(&mut conn, "CREATE ROLE app LOGIN SUPERUSER").await;
    let url = server.url_of("app", "postgres");
    for setting in [
        "default_transaction_isolation = 'repeatable read'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        // What planning takes is longer on a busy machine.
        "statement_timeout = '400ms'",
        "lock_timeout = '1ms'",
        // As long as it may take to connect on a busy machine.
        "idle_session_timeout = '500ms'",
        "idle_in_transaction_session_timeout = '10ms'",
        "session_replication_role = replica",
    ] {
        let name = setting.split(' ').next().unwrap();
        let known: bool = sqlx::query_scalar("SELECT current_setting($1, true) IS NOT NULL")
            .bind(name)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        // Servers before 14 can't be set to end idle sessions.
        if !known {
            continue;
        }
        run(&mut conn, &format!("ALTER ROLE app RESET ALL; ALTER ROLE app SET {setting}")).await;
        for (command, input) in COMMANDS {
            let (code, text) = evenfold(&url, command, input);
            assert_eq!(code, 0, "{setting}: {command}: {text}");
        }
        assert_counters_agree(&mut conn).await;
        let all = scalar(
            &mut conn,
            "SELECT (SELECT count(*) FROM evenfold.events) - (SELECT sum(events) FROM evenfold.counters)::bigint",
        );
        assert_eq!(all.await, 0, "{setting}");
    }
}

/// Foreign keys do nothing in a session that passes triggers over.
#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_started_over_is_started_over_by_a_role_that_passes_triggers_over_too() {
    let (server, mut conn) = migrated().await;
    run(&mut conn, "CREATE ROLE app LOGIN SUPERUSER; ALTER ROLE app SET session_replication_role = replica").await;
    let url = server.url_of("app", "postgres");
    append_one(&mut conn, "a", 1).await;
    fine(&url, WORKER, "");
    // As an older version has left it.
    run(
        &mut conn,
        "SET session_replication_role = replica; DELETE FROM evenfold.projections; RESET session_replication_role",
    )
    .await;
    for url in [&server.url(), &url] {
        fine(url, "repair --start-over counters", "");
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.checkpoints").await, 0);
        fine(url, WORKER, "");
        assert!(fine(url, "rebuild", "").contains("are in use"));
        assert!(fine(url, "verify", "").contains("all 1 counters agree"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_connection_has_the_settings_that_evenfold_relies_on() {
    let (server, mut conn) = migrated().await;
    run(
        &mut conn,
        "ALTER DATABASE postgres SET statement_timeout = '1s'; ALTER DATABASE postgres SET lock_timeout = '1s'",
    )
    .await;
    let mut conn = Database::at(&server.url()).unwrap().connect().await.unwrap();
    for (setting, value) in [
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_read_only", "off"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("row_security", "off"),
    ] {
        let set: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&mut conn).await.unwrap();
        assert_eq!(set, value, "{setting}");
    }
    let known: Option<String> = sqlx::query_scalar("SELECT current_setting('client_connection_check_interval', true)")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(known.is_none_or(|interval| interval == "500ms"));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_that_hides_rows_is_refused_and_no_checkpoint_moves_over_them() {
    let (server, mut conn) = migrated().await;
    run(&mut conn, "CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA evenfold TO app; GRANT ALL ON ALL TABLES IN SCHEMA evenfold TO app; GRANT ALL ON ALL SEQUENCES IN SCHEMA evenfold TO app").await;
    let url = server.url_of("app", "postgres");
    append_one(&mut conn, "a", 1).await;
    fine(&url, WORKER, "");
    append_one(&mut conn, "a", 1).await;
    for table in ["events", "checkpoints", "parked_events", "counters"] {
        run(&mut conn, &format!("ALTER TABLE evenfold.{table} ENABLE ROW LEVEL SECURITY")).await;
        for command in [WORKER, "status", "verify", "pool --workers=1 --until-caught-up"] {
            let (code, text) = evenfold(&url, command, "");
            let phrase = format!("row level security hides rows of evenfold.{table} from the user app");
            assert!(code == 1 && text.contains(&phrase), "{command}: {text}");
        }
        run(&mut conn, &format!("ALTER TABLE evenfold.{table} DISABLE ROW LEVEL SECURITY")).await;
    }
    fine(&url, WORKER, "");
    assert_eq!(scalar(&mut conn, "SELECT sum(events)::bigint FROM evenfold.counters").await, 2);
    // Whoever sees every row may go on.
    run(&mut conn, "ALTER TABLE evenfold.events ENABLE ROW LEVEL SECURITY; ALTER ROLE app BYPASSRLS").await;
    fine(&url, WORKER, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_keep_utf8_is_refused_before_anything_is_made() {
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let server = block_in_place(|| Postgres::start(encoding, ""));
        for command in ["migrate", WORKER, "append"] {
            let (code, text) = evenfold(&server.url(), command, EVENT);
            let phrase = format!("the database has the encoding {encoding}, and evenfold needs UTF8");
            assert!(code == 1 && text.contains(&phrase), "{command}: {text}");
        }
        let mut conn = PgConnection::connect(&server.url()).await.unwrap();
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM pg_class WHERE relname = 'events'").await, 0);
    }
}

/// What is wrong with the table of events is found by every connection, not only by the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_tampered_with_is_refused_on_each_connection_with_the_way_out() {
    let (server, mut conn) = migrated().await;
    let database = Database::at(&server.url()).unwrap();
    append_one(&mut conn, "a", 1).await;
    for (damage, mend, phrase) in [
        (
            "ALTER TABLE evenfold.events DISABLE TRIGGER events_place",
            "ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_place",
            "run `ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_place`",
        ),
        (
            // As `ENABLE TRIGGER ALL` leaves it: logical replication passes it over.
            "ALTER TABLE evenfold.events ENABLE TRIGGER events_append_only",
            "ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only",
            "run `ALTER TABLE evenfold.events ENABLE ALWAYS TRIGGER events_append_only`",
        ),
        (
            "ALTER TABLE evenfold.events DROP CONSTRAINT events_version_key",
            "ALTER TABLE evenfold.events ADD CONSTRAINT events_version_key UNIQUE (aggregate_type, aggregate_id, version)",
            "left without events_version_key",
        ),
        (
            "ALTER TABLE evenfold.events ALTER payload TYPE jsonb",
            "ALTER TABLE evenfold.events ALTER payload TYPE json",
            "the column payload is jsonb instead of json",
        ),
        (
            "ALTER TABLE evenfold.events ALTER hash DROP NOT NULL",
            "ALTER TABLE evenfold.events ALTER hash SET NOT NULL",
            "the column hash",
        ),
        (
            "ALTER SEQUENCE evenfold.events_position_seq CYCLE",
            "ALTER SEQUENCE evenfold.events_position_seq INCREMENT 1 NO CYCLE",
            "run `ALTER SEQUENCE evenfold.events_position_seq INCREMENT 1 NO CYCLE`",
        ),
        (
            "ALTER SEQUENCE evenfold.events_position_seq INCREMENT 2",
            "ALTER SEQUENCE evenfold.events_position_seq INCREMENT 1 NO CYCLE",
            "run `ALTER SEQUENCE evenfold.events_position_seq INCREMENT 1 NO CYCLE`",
        ),
        (
            "ALTER SEQUENCE evenfold.events_position_seq CACHE 9",
            "ALTER SEQUENCE evenfold.events_position_seq CACHE 1",
            "run `ALTER SEQUENCE evenfold.events_position_seq CACHE 1`",
        ),
    ] {
        database.connect().await.unwrap();
        run(&mut conn, damage).await;
        let refused = database.connect().await.map(drop).unwrap_err().to_string();
        assert!(refused.contains(phrase), "{damage}: {refused}");
        run(&mut conn, mend).await;
    }
    database.connect().await.unwrap();
}

/// An application that is locked out of the log for long (an `ALTER TABLE`, a repair) is reported to be.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_somebody_has_locked_are_not_waited_for_without_a_word() {
    let (server, mut conn) = migrated().await;
    let mut tx = conn.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE evenfold.events IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.unwrap();
    let refused = Database::at(&server.url()).unwrap().connect().await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("are locked by another session for more than 5 seconds"), "{refused}");
    drop(tx);
}

/// The rows of the table in docs/guarantees.md: what a role does, and the statements that grant it what it needs.
fn grants() -> Vec<(String, Vec<String>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guarantees.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let code = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        (code(cells[0]).remove(0), code(cells[2]))
    })
    .collect()
}

async fn as_role(server: &Postgres, conn: &mut PgConnection, role: &str, grants: &[String]) -> String {
    run(conn, &format!("CREATE ROLE {role} LOGIN")).await;
    for grant in grants {
        run(conn, &format!("GRANT {grant} TO {role}")).await;
    }
    server.url_of(role, "postgres")
}

/// What each role does, as the table says who it is.
async fn does(url: &str, role: &str) -> Result<(), String> {
    let all = |commands: &[(&str, &str)]| {
        commands.iter().try_for_each(|(command, input)| match evenfold(url, command, input) {
            (0, _) => Ok(()),
            (_, text) => Err(format!("{command}: {text}")),
        })
    };
    match role {
        "writer" => {
            let mut own = PgConnection::connect(url).await.map_err(|error| error.to_string())?;
            let insert = "INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
                VALUES (1, 'u', gen_random_uuid()::text, 'e', '{}')";
            sqlx::raw_sql(insert).execute(&mut own).await.map(drop).map_err(|error| error.to_string())
        }
        "appender" => all(&[("append", EVENT)]),
        "worker" => all(&[
            ("pool --workers=2 --until-caught-up --takeover", ""),
            ("worker --partition-key=auto --total-partitions=1 --takeover --until-caught-up", ""),
        ]),
        "operator" => all(&[("status", ""), ("verify", ""), ("counters", ""), ("parked list", "")]),
        "maintainer" => all(&[("parked retry --all", ""), ("rebuild", "")]),
        "eraser" => all(&[("erase", ""), ("erase t a --yes", "")]),
        other => Err(format!("{other} is no role that this test knows")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_its_work_with_the_rights_in_the_table_and_not_with_less() {
    let (server, mut conn) = migrated().await;
    append_one(&mut conn, "a", 1).await;
    let roles = grants();
    let names: Vec<&str> = roles.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(names, ["writer", "appender", "worker", "operator", "maintainer", "eraser"]);
    for (role, grants) in &roles {
        let url = as_role(&server, &mut conn, role, grants).await;
        if role != "writer" {
            fine(&server.url(), "pool --workers=1 --until-caught-up --takeover", "");
        }
        does(&url, role).await.unwrap_or_else(|error| panic!("{role}: {error}"));
    }
    let of = |role: &str| roles.iter().find(|(name, _)| name == role).unwrap().1.clone();
    let url = as_role(&server, &mut conn, "service", &[of("worker"), of("appender")].concat()).await;
    let serving = Serving::start(&["--takeover"], &[("DATABASE_URL", &url)]);
    let counted = serving.client().await.post("/counter/c/increment", "").await;
    assert_eq!(counted.status, 200, "{counted:?}");
    drop(serving);
    // Each grant is there for a reason. A worker without one of its own would wait for it, for ever.
    for (role, grants) in roles.iter().filter(|(role, _)| role != "worker") {
        for (n, grant) in grants.iter().enumerate() {
            let rest: Vec<String> = grants.iter().filter(|other| *other != grant).cloned().collect();
            let url = as_role(&server, &mut conn, &format!("{role}_{n}"), &rest).await;
            // There must be something to erase.
            append_one(&mut conn, "a", 1).await;
            assert!(does(&url, role).await.is_err(), "{role} needs no {grant}");
        }
    }
}
