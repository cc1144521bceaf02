//! Another server answers at the address: a standby, one that lags, one that has diverged. Nothing is lost that its log
//! has, and nothing is in the read model that it has not.

use crate::support::{
    Postgres, Proxy, SOON, Server, append_one, assert_counters_agree, counter, drain, event, only_worker, partition,
    scalar, wait_until, worker_of,
};
use evenfold::database::{ConnectError, Database, describe};
use evenfold::log::{self, EventBuffer, Fence, Interest, Slice};
use evenfold::number::Position;
use evenfold::projection::{self, Phase, Progress, RunOptions};
use evenfold::schema::{self, Schema, SchemaError};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use tokio::task::{JoinHandle, block_in_place};
use tokio_util::sync::CancellationToken;

async fn connect(server: &Postgres) -> PgConnection {
    Database::at(&server.url()).unwrap().connect_to_server().await.unwrap().0
}

async fn migrated() -> (Postgres, PgConnection) {
    let server = block_in_place(|| Postgres::start("UTF8", ""));
    let mut conn = connect(&server).await;
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    (server, conn)
}

/// An address that leads to this server for now.
async fn address_of(server: &Postgres) -> (Proxy, Database) {
    let proxy = Proxy::start(Server::Tcp(server.address())).await;
    let database = Database::at(&format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port)).unwrap();
    (proxy, database)
}

/// A worker that runs until the test ends.
struct Running {
    progress: Arc<Progress>,
    stop: CancellationToken,
    task: JoinHandle<Result<projection::Report, projection::RunError>>,
}

impl Running {
    fn start(database: &Database) -> Self {
        let (stop, worker) = (CancellationToken::new(), worker_of(partition(0, 1), 10));
        let (progress, token, database) = (worker.progress(), stop.clone(), database.clone());
        let task = tokio::spawn(async move { projection::run(&database, worker, &RunOptions::default(), token).await });
        Self { progress, stop, task }
    }

    /// Waits until it is kept from its work for a reason that has this phrase in it.
    async fn kept_from_work(&self, phrase: &str) {
        let why = || match self.progress.phase() {
            Phase::Retrying(why) => why,
            other => other.to_string(),
        };
        wait_until(&format!("the worker to say {phrase:?}"), SOON, async || why().contains(phrase)).await;
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

async fn applied(conn: &mut PgConnection, id: &str, version: i64) {
    wait_until(&format!("{id} to be applied"), SOON, async || {
        counter(conn, id).await.is_some_and(|(_, applied)| applied == version)
    })
    .await;
}

/// What a standby has not replayed yet is in nobody's list of transactions in progress there.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_commits_through_replay_while_the_address_leads_to_the_standby_is_applied() {
    let (primary, _) = migrated().await;
    let standby = block_in_place(|| primary.standby());
    let mut writer = connect(&primary).await;
    let (proxy, database) = address_of(&primary).await;
    let worker = Running::start(&database);
    append_one(&mut writer, "before", 1).await;
    applied(&mut writer, "before", 1).await;

    let mut open = connect(&primary).await;
    let mut tx = open.begin().await.unwrap();
    log::append(&mut tx, &[event("open", 1)]).await.unwrap();
    append_one(&mut writer, "after", 1).await;
    let refused = Database::at(&standby.url()).unwrap().connect().await.map(drop);
    assert!(matches!(refused, Err(ConnectError::Unfit { source: SchemaError::Standby, .. })), "{refused:?}");
    // Below the checks, to be able to look at the standby.
    let mut replaying = PgConnection::connect(&standby.url()).await.unwrap();
    // With all that the worker has written: it would look again if its checkpoint moved.
    wait_until("the standby to replay", SOON, async || counter(&mut replaying, "after").await.is_some()).await;
    // Whatever was checked before.
    let fence = Fence::take(&Schema::default(), &mut replaying).await.map(drop).unwrap_err();
    let (slice, all, mut buffer) = (Slice::of(&[partition(0, 1)]), Interest::everything(), EventBuffer::default());
    let before = Fence::before_all();
    let look =
        log::poll(&Schema::default(), &mut replaying, (&before, Position::new(0)), &slice, &all, 10, &mut buffer)
            .await
            .map(drop)
            .unwrap_err();
    for error in [fence, look] {
        assert!(describe(&error).contains("the server is a standby"), "{error}");
    }
    sqlx::raw_sql("SELECT pg_wal_replay_pause()").execute(&mut replaying).await.unwrap();
    proxy.lead_to(Server::Tcp(standby.address()));
    worker.kept_from_work("the server is a standby").await;
    tx.commit().await.unwrap();
    let flushed: String =
        sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text").fetch_one(&mut writer).await.unwrap();
    wait_until("the standby to receive the commit", SOON, async || {
        sqlx::query_scalar("SELECT pg_last_wal_receive_lsn() >= $1::text::pg_lsn")
            .bind(&flushed)
            .fetch_one(&mut replaying)
            .await
            .unwrap()
    })
    .await;

    primary.kill();
    sqlx::raw_sql("SELECT pg_wal_replay_resume()").execute(&mut replaying).await.unwrap();
    block_in_place(|| standby.promote());
    let mut promoted = connect(&standby).await;
    for id in ["open", "after"] {
        applied(&mut promoted, id, 1).await;
    }
    append_one(&mut promoted, "open", 1).await;
    applied(&mut promoted, "open", 2).await;
    assert_counters_agree(&mut promoted).await;
    worker.stop().await;
}

/// As after a failover with asynchronous replication, or a recovery to a point in time: the log goes back, and the read
/// model and the checkpoint with it. What the worker has in memory does not count any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_from_what_a_server_has_that_went_back_to_an_earlier_state() {
    let (primary, mut writer) = migrated().await;
    append_one(&mut writer, "a", 1).await;
    let standby = block_in_place(|| {
        let standby = primary.standby();
        standby.stop();
        standby
    });
    writer = connect(&primary).await;
    let (proxy, database) = address_of(&primary).await;
    let worker = Running::start(&database);
    for _ in 2..=5 {
        append_one(&mut writer, "a", 1).await;
    }
    applied(&mut writer, "a", 5).await;
    primary.kill();
    proxy.lead_to(Server::Tcp(standby.address()));
    block_in_place(|| {
        standby.start_again();
        standby.promote();
    });
    let mut promoted = connect(&standby).await;
    // The second event of another history: the worker knows five.
    append_one(&mut promoted, "a", 100).await;
    applied(&mut promoted, "a", 2).await;
    assert_eq!(counter(&mut promoted, "a").await, Some((101, 2)));
    assert_counters_agree(&mut promoted).await;
    worker.stop().await;
}

/// Recovery to a point in time, from a copy and the archived log.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_recovered_to_a_point_in_time_is_gone_on_with_as_it_was_then() {
    let archive = tempfile::tempdir().unwrap();
    // The server writes there, who is another user.
    std::fs::set_permissions(archive.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let settings = format!("archive_mode = on\narchive_command = 'cp %p {}/%f'", archive.path().display());
    let primary = block_in_place(|| Postgres::start("UTF8", &settings));
    schema::migrate(&Schema::default(), &mut connect(&primary).await).await.unwrap();
    let copy = block_in_place(|| {
        let copy = primary.standby();
        copy.stop();
        copy
    });
    let mut writer = connect(&primary).await;
    let (proxy, database) = address_of(&primary).await;
    let worker = Running::start(&database);
    append_one(&mut writer, "kept", 1).await;
    applied(&mut writer, "kept", 1).await;
    let then: String = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text").fetch_one(&mut writer).await.unwrap();
    append_one(&mut writer, "gone", 1).await;
    applied(&mut writer, "gone", 1).await;
    let segment: String =
        sqlx::query_scalar("SELECT pg_walfile_name(pg_switch_wal())").fetch_one(&mut writer).await.unwrap();
    wait_until("the log to be archived", SOON, async || archive.path().join(&segment).exists()).await;
    primary.kill();
    block_in_place(|| copy.recover_to(archive.path(), &then));
    proxy.lead_to(Server::Tcp(copy.address()));
    let recovered = Database::at(&copy.url()).unwrap();
    wait_until("the end of the recovery", SOON, async || recovered.connect().await.is_ok()).await;
    let mut recovered = connect(&copy).await;
    append_one(&mut recovered, "kept", 100).await;
    append_one(&mut recovered, "new", 1).await;
    for (id, version) in [("kept", 2), ("new", 1)] {
        applied(&mut recovered, id, version).await;
    }
    assert_eq!(counter(&mut recovered, "gone").await, None, "it is in no log any more");
    assert_counters_agree(&mut recovered).await;
    worker.stop().await;
}

/// Two servers of one history that have diverged, as a primary that was cut off and its successor: the worker is
/// connected to one of them, and what it reads ahead on a second connection would come from the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_read_ahead_from_the_server_that_it_was_opened_on() {
    let (primary, _) = migrated().await;
    let twin = block_in_place(|| {
        let twin = primary.standby();
        twin.promote();
        twin
    });
    let mut writer = connect(&primary).await;
    let mut other = connect(&twin).await;
    for n in 0..40 {
        append_one(&mut writer, &format!("here-{}", n % 7), 1).await;
        append_one(&mut other, &format!("there-{}", n % 7), 1).await;
    }
    let elsewhere = Database::at(&twin.url()).unwrap().by_index();
    let mut worker = only_worker(&mut writer, 5).await.reading_ahead(&elsewhere);
    assert_eq!(drain(&mut worker, &mut writer).await, 40);
    assert_eq!(scalar(&mut writer, "SELECT count(*) FROM evenfold.counters WHERE aggregate_id LIKE 'there%'").await, 0);
    assert_counters_agree(&mut writer).await;
}

/// The hosts of a URL are tried in their order, and a standby is not what is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_primary_is_found_and_found_again_after_a_failover() {
    let (primary, _) = migrated().await;
    let standby = block_in_place(|| primary.standby());
    let url = format!(
        "postgres://postgres@{},{}/postgres?target_session_attrs=primary",
        standby.address(),
        primary.address()
    );
    let database = Database::at(&url).unwrap();
    let (_, server) = database.connect_with_server().await.unwrap();
    assert_eq!(server.place, primary.address().to_string());
    primary.kill();
    let none = database.connect().await.map(drop).unwrap_err().to_string();
    assert!(none.contains("none of the hosts") && none.contains("standby") && none.contains("answers at"), "{none}");
    block_in_place(|| standby.promote());
    let (_, server) = database.connect_with_server().await.unwrap();
    assert_eq!(server.place, standby.address().to_string());
}
