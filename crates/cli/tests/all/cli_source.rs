//! Logs that others write, folded by the program: what is configured, and what is refused.

mod by_transactions;
mod check;
mod imported;
mod operated;
mod removed;
mod several;
mod shop;

use crate::support::cli::run_at;
use crate::support::{TestDb, scalar};
use shop::{CUSTOM, Shop};

const LARGEST: &str = "-- create
CREATE TABLE largest (id text PRIMARY KEY, amount bigint NOT NULL);
-- apply
INSERT INTO largest AS t SELECT aggregate_id, max((payload ->> 'amount')::bigint) FROM batch GROUP BY 1 ORDER BY 1
ON CONFLICT (id) DO UPDATE SET amount = greatest(t.amount, excluded.amount);
";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_folds_a_custom_log_of_another_database_by_a_role_that_may_only_select() {
    let shop = Shop::new().await;
    shop.events(20).await;
    let mut model = shop.read_model().await;
    let directory = shop.directory(CUSTOM);
    let worker = ["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up", "--log=info"];
    let done = shop.run(&directory, &worker);
    done.fine();
    assert!(done.err.contains("log: shop.domain_events (custom), shop at 127.0.0.1"), "{done:?}");
    assert!(done.err.contains("of the sequence shop.domain_events_id_seq"), "{done:?}");
    assert_eq!(scalar(&mut model, "SELECT sum(value)::bigint FROM evenfold.counters").await, 210);
    // What others write meanwhile is folded by the next, and nothing twice.
    shop.events(5).await;
    shop.run(&directory, &["pool", "--workers=1", "--until-caught-up"]).fine();
    assert_eq!(scalar(&mut model, "SELECT sum(value)::bigint FROM evenfold.counters").await, 225);
    assert_eq!(scalar(&mut model, "SELECT count(*) FROM evenfold.events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_of_the_log_is_read_from_its_flag_its_variable_and_the_file() {
    let db = TestDb::new().await;
    let unknown = "there is no preset nothing; these are: message-db, emmett";
    run_at(&db, &["pool", "--source=nothing"]).complains(2, unknown);
    let in_directory = |text: &str, variables: &[(&str, &str)], args: &[&str]| {
        let directory = shop::directory(text);
        let mut command = crate::support::Evenfold::command(args);
        command.current_dir(&directory).env("DATABASE_URL", &db.url).envs(variables.iter().copied());
        crate::support::cli::finish(command)
    };
    in_directory("", &[("EVENFOLD_SOURCE", "nothing")], &["pool"]).complains(2, unknown);
    in_directory("[source]\npreset = 'nothing'", &[], &["pool"]).complains(2, unknown);
    in_directory("source = 'nothing'", &[], &["pool"]).complains(2, unknown);
    // Each beats those that come later.
    let none = "there is no such table: name it with its schema";
    in_directory("[source]\npreset = 'nothing'", &[], &["pool", "--source=emmett"]).complains(1, none);
    in_directory("[source]\npreset = 'nothing'", &[("EVENFOLD_SOURCE", "emmett")], &["pool"]).complains(1, none);
    let nowhere = "postgres://u@127.0.0.1:1/x";
    let unreachable = "the log's database: no PostgreSQL answers";
    in_directory("", &[], &["pool", "--source=emmett", "--source-url", nowhere]).complains(1, unreachable);
    let by_variable = [("EVENFOLD_SOURCE_URL", nowhere)];
    in_directory("", &by_variable, &["pool", "--source=emmett"]).complains(1, unreachable);
    let file = format!("[source]\nurl = '{nowhere}'\npreset = 'emmett'\nschema = 'other'");
    in_directory(&file, &[], &["pool"]).complains(1, unreachable);
    let twice = format!("source_url = 'x'\n{file}");
    in_directory(&twice, &[], &["pool"]).complains(2, "source_url is given twice, also as url in [source]");
    in_directory("", &by_variable, &["pool"]).complains(2, "which log is it? give --source, or preset in [source]");
    let rows = [("EVENFOLD_SOURCE_ROWS_FROM", "x")];
    in_directory("", &rows, &["pool"]).complains(2, "which log is it? give --source, or preset in [source]");
    let twice = "source_rows_from = 'x'\n[source]\nrows_from = 'x'";
    in_directory(twice, &[], &["pool"]).complains(2, "source_rows_from is given twice, also as rows_from in [source]");
    in_directory("[source]\nurls = 'x'", &[], &["pool"])
        .complains(2, "[source] has the key urls, which is not a setting");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_read_from_a_standby_by_a_role_that_may_only_select() {
    let shop = Shop::new().await;
    let standby = shop.standby();
    shop.events(20).await;
    // Anything else would be an event that is refused.
    let custom = CUSTOM.replace("'body'", "\"CASE WHEN pg_is_in_recovery() THEN e.body ELSE '3' END\"");
    let rows_from = standby.url_of("reader", "shop");
    let worker = ["pool", "--workers=2", "--until-caught-up", "--log=info"];
    let ways: [(String, &[&str]); 2] = [
        (format!("[source]\nrows_from = '{rows_from}'\n{custom}"), &[]),
        (custom.clone(), &["--source-rows-from", &rows_from]),
    ];
    for (text, flags) in ways {
        shop.events(5).await;
        let done = shop.run(&shop.directory(&text), &[&worker[..], flags].concat());
        done.fine();
        assert!(done.err.contains(&format!("rows from {}", standby.address())), "{done:?}");
    }
    let mut model = shop.read_model().await;
    let sums = "SELECT sum(value)::bigint FROM evenfold.counters";
    assert_eq!(scalar(&mut model, sums).await, 240);
    assert_eq!(scalar(&mut model, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    let primary = ["pool", "--source-rows-from", &shop.url()];
    let refused = "the log's standby (rows_from): the server is a primary, or was promoted to one";
    shop.run(&shop.directory(&custom), &primary).complains(1, refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_would_lose_events_or_says_too_little_is_refused_before_there_is_a_connection() {
    let db = TestDb::new().await;
    let refused = |text: &str, sentence: &str| {
        let directory = shop::directory(text);
        let mut command = crate::support::Evenfold::command(&["worker", "--partition-key=0"]);
        command.current_dir(&directory).env("DATABASE_URL", &db.url);
        crate::support::cli::finish(command).complains(2, sentence);
    };
    refused("[source]\npreset = 'marten'", "Marten's append_mode must be stated in [source]");
    refused("[source]\npreset = 'marten'\nappend_mode = 'fast'", "it must be \"quick\" or \"rich\"");
    refused("[source]\npreset = 'emmett'\nappend_mode = 'quick'", "append_mode in [source] is for the preset marten");
    refused("[source]\npreset = 'prooph'", "the log prooph: a log of others needs `table`");
    refused("[source]\npreset = 'disintegrate'", "the log disintegrate: a log of others needs `aggregate_id`");
    refused("[source]\npreset = 'cqrs-es'", "the table of cqrs-es has no column that grows with each event");
    refused("[source]\npreset = 'akka-r2dbc'", "the journal of the R2DBC plugin is ordered by a time");
    refused("[source.custom]\ntable = 'a.b'", "the log custom: a log of others needs `position`");
    let schema = format!("[source]\nschema = 'shop'\n{CUSTOM}");
    refused(&schema, "schema in [source] is for presets");
}

/// Each would otherwise look at evenfold's own log, which is empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_about_evenfolds_own_log_is_refused_where_another_is_configured() {
    let db = TestDb::new().await;
    for command in [
        &["append"][..],
        &["generate", "--yes"],
        &["scale"],
        &["bench", "catch-up"],
        &["index", "--total=4"],
        &["repair", "--upgraded"],
        &["projection", "check"],
        &["serve"],
    ] {
        let refused = run_at(&db, &[command, &["--source=emmett"]].concat());
        let sentence = format!("{} is about evenfold's own log, and the log emmett is configured", command[0]);
        assert!(refused.code == 2, "{command:?}: {refused:?}");
        assert!(refused.err.contains(&sentence) || command[0] == "projection", "{command:?}: {refused:?}");
    }
    for command in [&["migrate"][..], &["counters"], &["completions", "bash"]] {
        run_at(&db, &[command, &["--source=emmett"]].concat()).fine();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_in_sql_folds_a_log_that_others_write() {
    let shop = Shop::new().await;
    shop.events(9).await;
    let mut model = shop.read_model().await;
    let directory = shop.directory(CUSTOM);
    std::fs::create_dir(directory.path().join("projections")).unwrap();
    std::fs::write(directory.path().join("projections/largest.sql"), LARGEST).unwrap();
    shop.run(&directory, &["pool", "--workers=2", "--until-caught-up"]).fine();
    assert_eq!(scalar(&mut model, "SELECT max(amount) FROM largest").await, 9);
}
