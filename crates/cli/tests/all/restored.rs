//! The log comes from another cluster: by dump and restore at the same address, or by logical replication. Nothing is
//! taken for applied that is not, and nothing gets in that would be.

use crate::support::{
    Evenfold, Postgres, Proxy, SOON, Server, append_one, assert_counters_agree, counter, event, partition, scalar,
    wait_until, worker_of,
};
use evenfold::database::Database;
use evenfold::log;
use evenfold::projection::{self, Phase, RunOptions};
use evenfold::schema::{self, Schema, SchemaError};
use sqlx::PgConnection;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

/// So many transactions that the snapshots of the first cluster are far in the future of the second one.
const HISTORY: &str = "DO $$ BEGIN FOR i IN 1 .. 3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";

async fn connect(url: &str) -> PgConnection {
    Database::at(url).unwrap().connect_to_server().await.unwrap().0
}

async fn migrated() -> (Postgres, PgConnection) {
    let server = block_in_place(|| Postgres::start("UTF8", ""));
    let mut conn = connect(&server.url()).await;
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    (server, conn)
}

/// The database of one server, dumped and restored into another one.
fn restored_from(server: &Postgres) -> Postgres {
    let dump = String::from_utf8(server.tool("pg_dump", &["postgres"]).stdout).unwrap();
    let other = Postgres::start("UTF8", "");
    // By a pipe it would be a file less, and a failure that nobody sees.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), dump).unwrap();
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    other.tool("psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.path().to_str().unwrap(), "postgres"]);
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_restored_at_the_same_address_takes_no_event_and_is_not_folded_before_it_is_repaired() {
    let (first, mut writer) = migrated().await;
    sqlx::raw_sql(HISTORY).execute(&mut writer).await.unwrap();
    let proxy = Proxy::start(Server::Tcp(first.address())).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port);
    let database = Database::at(&url).unwrap();
    let (stop, worker) = (CancellationToken::new(), worker_of(partition(0, 1), 10));
    let (progress, token, running) = (worker.progress(), stop.clone(), database.clone());
    let task = tokio::spawn(async move { projection::run(&running, worker, &RunOptions::default(), token).await });
    append_one(&mut writer, "a", 1).await;
    wait_until("the first event", SOON, async || counter(&mut writer, "a").await == Some((1, 1))).await;

    // A checkpoint that is in the dump says that everything was applied.
    wait_until("the checkpoint to be written", SOON, async || {
        scalar(&mut writer, "SELECT max(floor) FROM evenfold.checkpoints").await == 1
    })
    .await;
    let second = block_in_place(|| restored_from(&first));
    first.kill();
    proxy.lead_to(Server::Tcp(second.address()));
    // The application, which is not evenfold, is back before the worker is: its event would be older than the
    // checkpoint.
    let mut application = <PgConnection as sqlx::Connection>::connect(&second.url()).await.unwrap();
    let refused = log::append(&mut application, &[event("lost", 1)]).await.unwrap_err().to_string();
    assert!(refused.contains("restored from another PostgreSQL cluster: run `evenfold repair`"), "{refused}");
    let why = || if let Phase::Retrying(why) = progress.phase() { why } else { String::new() };
    wait_until("the worker to refuse", SOON, async || why().contains("run `evenfold repair`")).await;

    let repaired = block_in_place(|| Evenfold::run(&["repair", "--database-url", &second.url()], ""));
    assert!(repaired.status.success(), "{}", String::from_utf8_lossy(&repaired.stderr));
    append_one(&mut application, "lost", 1).await;
    append_one(&mut application, "a", 1).await;
    for (id, version) in [("lost", 1), ("a", 2)] {
        wait_until(id, SOON, async || counter(&mut application, id).await.is_some_and(|(_, v)| v == version)).await;
    }
    assert_counters_agree(&mut application).await;
    stop.cancel();
    task.await.unwrap().unwrap();
}

/// Literally what is printed where the row is gone that says which cluster the log is of.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_lost_its_origin_is_repaired_and_says_what_was_done() {
    let (server, mut conn) = migrated().await;
    append_one(&mut conn, "a", 1).await;
    let worker = ["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up", "--database-url"];
    let url = server.url();
    let run = |args: &[&str]| {
        let output = block_in_place(|| Evenfold::run(args, ""));
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code().unwrap(), text)
    };
    assert_eq!(run(&[&worker[..], &[&url]].concat()).0, 0);
    sqlx::raw_sql("DELETE FROM evenfold.log_origin").execute(&mut conn).await.unwrap();
    let (code, text) = run(&[&worker[..], &[&url]].concat());
    assert!(code == 1 && text.contains("run `evenfold repair`"), "{text}");
    let (code, text) = run(&["repair", "--database-url", &url]);
    assert!(code == 0 && text.contains("1 events renumbered"), "{text}");
    append_one(&mut conn, "a", 1).await;
    assert_eq!(run(&[&worker[..], &[&url]].concat()).0, 0);
    let (code, text) = run(&["verify", "--database-url", &url]);
    assert!(code == 0 && text.contains("agree"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_logical_replication_writes_to_takes_no_row_of_it_and_is_not_folded() {
    let (old, mut writer) = migrated().await;
    let (new, mut conn) = migrated().await;
    append_one(&mut writer, "a", 1).await;
    sqlx::raw_sql("CREATE PUBLICATION p FOR TABLE evenfold.events").execute(&mut writer).await.unwrap();
    let subscribe = format!(
        "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port={} user=postgres dbname=postgres' PUBLICATION p",
        old.address().port()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(subscribe)).execute(&mut conn).await.unwrap();
    let refused = Database::at(&new.url()).unwrap().connect().await.map(drop).unwrap_err();
    assert!(matches!(refused.unfit(), Some(SchemaError::Subscriber(_))), "{refused}");
    // Whoever copies the table, and whoever applies what comes later, tries again and again.
    wait_until("the subscription to have failed", SOON, async || {
        let failures =
            "SELECT coalesce(sum(apply_error_count + sync_error_count), 0)::bigint FROM pg_stat_subscription_stats";
        match sqlx::query_scalar::<_, i64>(failures).fetch_one(&mut conn).await {
            Ok(failures) => failures > 0,
            // Counted from PostgreSQL 15 on.
            Err(_) => {
                scalar(&mut conn, "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate IN ('d', 'f')").await > 0
            }
        }
    })
    .await;
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 0);
    sqlx::raw_sql("ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE)")
        .execute(&mut conn)
        .await
        .unwrap();
    sqlx::raw_sql("DROP SUBSCRIPTION s").execute(&mut conn).await.unwrap();
    append_one(&mut conn, "b", 1).await;
    Database::at(&new.url()).unwrap().connect().await.unwrap();
}
