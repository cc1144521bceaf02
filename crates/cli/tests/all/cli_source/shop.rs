//! A server with the log of a shop, which evenfold knows nothing of, in one database, and a read model in another.

use crate::support::cli::{CliOutput, finish};
use crate::support::{Evenfold, Postgres, SHOP_TABLE};
use evenfold::database::Database;
use evenfold::schema::{self, Schema};
use sqlx::{AssertSqlSafe, PgConnection};
use tempfile::TempDir;
use tokio::task::block_in_place;

/// What the log's reader may do.
const RIGHTS: &str = "CREATE ROLE reader LOGIN;
GRANT USAGE ON SCHEMA shop TO reader;
GRANT SELECT ON shop.domain_events TO reader";

/// How it is mapped.
pub(super) const CUSTOM: &str = "[source.custom]
table = 'shop.domain_events'
position = 'id'
aggregate_type = \"'order'\"
aggregate_id = 'order_id'
version = 'version'
event_type = 'kind'
payload = 'body'
";

pub(super) struct Shop(Postgres);

/// A working directory with this `evenfold.toml`.
pub(super) fn directory(toml: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("evenfold.toml"), toml).unwrap();
    directory
}

impl Shop {
    pub(super) async fn new() -> Self {
        let shop = Self::empty().await;
        shop.execute(SHOP_TABLE).await;
        shop.execute(RIGHTS).await;
        shop
    }

    /// Without the shop's table.
    pub(super) async fn empty() -> Self {
        let shop = Self(block_in_place(|| Postgres::start("UTF8", "")));
        let mut conn = shop.read_model().await;
        schema::migrate(&Schema::default(), &mut conn).await.unwrap();
        sqlx::raw_sql("CREATE DATABASE shop").execute(&mut conn).await.unwrap();
        shop
    }

    pub(super) async fn read_model(&self) -> PgConnection {
        Database::at(&self.0.url()).unwrap().connect_to_server().await.unwrap().0
    }

    pub(super) async fn log(&self) -> PgConnection {
        Database::at(&self.owners_url()).unwrap().connect_to_server().await.unwrap().0
    }

    /// The log as the role that owns its table.
    pub(super) fn owners_url(&self) -> String {
        let superuser = self.0.url().split("://").nth(1).unwrap().split('@').next().unwrap().to_owned();
        self.0.url_of(&superuser, "shop")
    }

    pub(super) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.log().await).await.unwrap();
    }

    /// So many events of three orders, of which the n-th has the amount n.
    pub(super) async fn events(&self, events: u32) {
        self.execute(&format!(
            "INSERT INTO shop.domain_events (order_id, version, kind, body)
             SELECT md5((n % 3)::text)::uuid,
                    (SELECT count(*) FROM shop.domain_events) + n, 'paid', jsonb_build_object('amount', n)
             FROM generate_series(1, {events}) n"
        ))
        .await;
    }

    /// The log as a role that may read its table and nothing else.
    pub(super) fn url(&self) -> String {
        self.0.url_of("reader", "shop")
    }

    /// A standby of its server.
    pub(super) fn standby(&self) -> Postgres {
        block_in_place(|| self.0.standby())
    }

    /// A working directory whose settings have the log's database, and this about it.
    pub(super) fn directory(&self, toml: &str) -> TempDir {
        directory(&format!("source_url = '{}'\n{toml}", self.url()))
    }

    /// Runs in a directory, with the read model in a database of its own.
    pub(super) fn run(&self, directory: &TempDir, args: &[&str]) -> CliOutput {
        let mut command = Evenfold::command(args);
        command.env("DATABASE_URL", self.0.url()).current_dir(directory);
        block_in_place(|| finish(command))
    }
}
