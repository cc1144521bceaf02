//! A log that others write, on a server of another release.

use evenfold::database::Database;
use evenfold_testkit::cli::{CliOutput, finish};
use evenfold_testkit::{Evenfold, LOG_OF_OTHERS, Postgres, Release};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::block_in_place;

const APPEND: &str =
    "INSERT INTO public.events (bounded_context, aggregate_type, aggregate_id, aggregate_version, event_id,
                                          event_type, payload)
    SELECT 'shop', 'account', $1, coalesce(max(aggregate_version), 0) + 1, gen_random_uuid(), 'added', '{\"amount\": 1}'
    FROM public.events WHERE aggregate_id = $1
    RETURNING global_position";

pub struct Log {
    server: Postgres,
    /// Its URL, for a role that may read what it is granted.
    pub reader: String,
}

impl Log {
    pub async fn start(release: &Release) -> Self {
        let server = block_in_place(|| Postgres::start_of(&release.directory, "max_prepared_transactions = 5"));
        let log = Self { reader: server.url_of("reader", "postgres"), server };
        let version = log.version().await;
        assert_eq!(version.split('.').next(), Some(release.number.as_str()), "{version}");
        log.alter(LOG_OF_OTHERS).await;
        log.alter("CREATE ROLE reader LOGIN").await;
        log
    }

    pub async fn connect(&self) -> PgConnection {
        Database::at(&self.server.url()).unwrap().connect_to_server().await.unwrap().0
    }

    pub async fn version(&self) -> String {
        sqlx::query_scalar("SHOW server_version").fetch_one(&mut self.connect().await).await.unwrap()
    }

    pub fn check(&self) -> CliOutput {
        let args = ["source", "check", "--source=pupsourcing", "--source-url", &self.reader];
        block_in_place(|| finish(Evenfold::command(&args)))
    }

    pub async fn alter(&self, sql: &str) {
        Self::run(&mut self.connect().await, sql).await;
    }

    pub async fn run(conn: &mut PgConnection, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap();
    }

    pub async fn append(&self, aggregate: &str) {
        Self::append_on(&mut self.connect().await, aggregate).await;
    }

    async fn append_on(conn: &mut PgConnection, aggregate: &str) -> i64 {
        sqlx::query_scalar(APPEND).bind(aggregate).fetch_one(conn).await.unwrap()
    }

    /// An event of each of some aggregates, of which every worker has one. Gives the last position.
    pub async fn append_steadily(conn: &mut PgConnection) -> i64 {
        let mut last = 0;
        for aggregate in 0..8 {
            last = Self::append_on(conn, &format!("steady-{aggregate}")).await;
        }
        last
    }

    /// Begins a transaction that appends, and leaves it open.
    pub async fn begin(conn: &mut PgConnection, aggregate: &str) -> i64 {
        Self::run(conn, "BEGIN").await;
        Self::append_on(conn, aggregate).await
    }

    /// A transaction whose savepoint is rolled back, and one that is: their positions that are nobody's.
    pub async fn roll_back(&self) -> [i64; 2] {
        let mut conn = self.connect().await;
        Self::run(&mut conn, "BEGIN; SAVEPOINT before").await;
        let in_savepoint = Self::append_on(&mut conn, "rolled-back").await;
        Self::run(&mut conn, "ROLLBACK TO before").await;
        Self::append_on(&mut conn, "kept").await;
        Self::run(&mut conn, "COMMIT").await;
        let rolled_back = Self::begin(&mut conn, "rolled-back").await;
        Self::run(&mut conn, "ROLLBACK").await;
        [in_savepoint, rolled_back]
    }

    /// One that is prepared.
    pub async fn prepare(&self, aggregate: &str) -> i64 {
        let mut conn = self.connect().await;
        let position = Self::begin(&mut conn, aggregate).await;
        Self::run(&mut conn, "PREPARE TRANSACTION 'prepared'").await;
        position
    }

    pub async fn commit_prepared(&self) {
        self.alter("COMMIT PREPARED 'prepared'").await;
    }

    /// What the prepared transaction is called as a holder of the sequence's lock.
    pub async fn holder_of_prepared(&self) -> String {
        let holder = "SELECT virtualtransaction FROM pg_locks
            WHERE relation = 'events_global_position_seq'::regclass AND pid IS NULL";
        sqlx::query_scalar(holder).fetch_one(&mut self.connect().await).await.unwrap()
    }

    /// A standby of its server.
    pub fn standby(&self) -> Postgres {
        block_in_place(|| self.server.standby())
    }

    /// Kills the server, and starts it again.
    pub fn crash(&self) {
        block_in_place(|| {
            self.server.kill();
            self.server.start_after_kill();
        });
    }
}

/// What a line of the terminal is too short for, in one.
pub fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
