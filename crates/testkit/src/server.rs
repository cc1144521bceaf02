//! The PostgreSQL server of the run, and a fresh database of it for each test.

use evenfold::database::Database;
use evenfold::schema::{self, Schema};
use evenfold_embedded::{self as embedded, Options};
use sqlx::{AssertSqlSafe, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A database that only one test uses, made from a migrated template and dropped afterwards.
pub struct TestDb {
    pub url: String,
    pub database: Database,
    pub name: String,
}

impl TestDb {
    pub async fn new() -> Self {
        let template = template().await;
        Self::create(&format!("TEMPLATE {template}")).await
    }

    /// Without evenfold's tables.
    pub async fn empty() -> Self {
        Self::create("TEMPLATE template0").await
    }

    async fn create(how: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("evenfold_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = admin().await;
        run(&mut admin, format!("CREATE DATABASE {name} {how}")).await;
        let url = url_of(&name);
        let database = Database::at(&url).unwrap();
        Self { url, database, name }
    }

    pub async fn connect(&self) -> PgConnection {
        self.database.connect_to_server().await.unwrap().0
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // A runtime of its own: the test's may be the one that is being dropped.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { run(&mut admin().await, statement).await });
        });
        if dropped.join().is_err() {
            eprintln!("the database {} was not dropped", self.name);
        }
    }
}

async fn run(conn: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

async fn admin() -> PgConnection {
    Database::at(server_url()).unwrap().connect_to_server().await.unwrap().0
}

fn url_of(name: &str) -> String {
    let server = server_url();
    let (base, query) = server.split_once('?').unwrap_or((server, ""));
    let base = base.rsplit_once('/').unwrap().0;
    format!("{base}/{name}?{query}")
}

/// The name of a database with evenfold's tables, made once per schema.
async fn template() -> String {
    let mut checksum = 0_u64;
    for migration in schema::migrator(&Schema::default()).iter() {
        for byte in migration.checksum.iter() {
            checksum = checksum.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
    }
    let name = format!("evenfold_template_{checksum:x}");
    let mut conn = admin().await;
    // Test processes that run side by side must not make it twice.
    sqlx::query("SELECT pg_advisory_lock(713)").execute(&mut conn).await.unwrap();
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut conn)
        .await
        .unwrap();
    if !exists {
        let half_made = format!("{name}_new");
        run(&mut conn, format!("DROP DATABASE IF EXISTS {half_made}")).await;
        run(&mut conn, format!("CREATE DATABASE {half_made}")).await;
        let mut new = Database::at(&url_of(&half_made)).unwrap().connect_to_server().await.unwrap().0;
        schema::migrate(&Schema::default(), &mut new).await.unwrap();
        sqlx::Connection::close(new).await.unwrap();
        run(&mut conn, format!("ALTER DATABASE {half_made} RENAME TO {name}")).await;
    }
    name
}

static SERVER: Mutex<Option<embedded::Server>> = Mutex::new(None);

/// `TEST_DATABASE_URL`, or a server of our own, or one in a container.
pub fn server_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| own_server()))
}

fn own_server() -> String {
    let options = Options::new(crate::scratch().join("pg")).durable(false);
    match embedded::start(&options) {
        Ok(server) => {
            let url = server.url();
            *SERVER.lock().unwrap() = Some(server);
            stop_at_exit();
            url
        }
        #[cfg(feature = "containers")]
        Err(embedded::EmbeddedError::NoBinaries) => {
            stop_at_exit();
            super::container::url()
        }
        Err(error) => panic!("the tests need a PostgreSQL: {error}; or set TEST_DATABASE_URL"),
    }
}

/// Statics are not dropped, and a test binary has no end of its own to stop the server in.
fn stop_at_exit() {
    extern "C" fn stop() {
        drop(SERVER.lock().unwrap_or_else(PoisonError::into_inner).take());
        #[cfg(feature = "containers")]
        super::container::remove();
    }
    #[expect(unsafe_code, reason = "atexit has no safe form; the function it is given touches only a static")]
    // SAFETY: `stop` is a plain function that lives as long as the process and does not unwind.
    let registered = unsafe { libc::atexit(stop) };
    assert_eq!(registered, 0);
}
