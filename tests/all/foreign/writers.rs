//! Writers that draw positions in every way in which a writer may: each in the transaction that uses it.

use super::shop::Shop;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Orders that all of them write, so that versions conflict.
const ORDERS: u32 = 40;

/// Numbers that a writer has drawn by an earlier transaction, where its numbers are.
struct Drawn(Option<Vec<i64>>);

impl Drawn {
    /// What is inserted as the next position. Its numbers are used in any order, as those of an application are that
    /// has several connections.
    async fn next(&mut self, conn: &mut PgConnection) -> String {
        let Some(numbers) = &mut self.0 else { return "nextval('shop.domain_events_id_seq')".to_owned() };
        if numbers.is_empty() {
            let draw = "SELECT nextval('shop.domain_events_id_seq') FROM generate_series(1, 20)";
            *numbers = sqlx::query_scalar(draw).fetch_all(conn).await.unwrap();
        }
        numbers.swap_remove(fastrand::usize(..numbers.len())).to_string()
    }
}

/// So many writers, for so long.
pub(super) fn start(shop: &Shop, writers: u32, time: Duration) -> JoinHandle<()> {
    let (database, draws_before) = (shop.database().clone(), shop.has_transactions());
    tokio::spawn(async move {
        let mut all = tokio::task::JoinSet::new();
        for writer in 0..writers {
            let database = database.clone();
            all.spawn(async move {
                let mut conn = database.connect_to_server().await.unwrap().0;
                let mut drawn = Drawn(draws_before.then(Vec::new));
                let (started, mut transactions) = (Instant::now(), 0);
                while started.elapsed() < time {
                    write(&mut conn, &mut drawn, &format!("w{writer}t{transactions}")).await;
                    transactions += 1;
                }
            });
        }
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
    })
}

/// One transaction.
async fn write(conn: &mut PgConnection, drawn: &mut Drawn, name: &str) {
    let prepares = fastrand::u8(..) < 10;
    let mut tx = conn.begin().await.unwrap();
    let mut failed = false;
    for _ in 0..fastrand::u8(1..4) {
        failed |= match fastrand::u8(..5) {
            0 => drawn_before(&mut tx).await.is_err(),
            1 => in_savepoint(&mut tx).await.is_err(),
            _ => at_once(&mut tx, drawn).await.is_err(),
        };
        if failed {
            break;
        }
        pause().await;
    }
    if failed || fastrand::u8(..) < 20 {
        return tx.rollback().await.unwrap();
    }
    if !prepares {
        return tx.commit().await.unwrap();
    }
    sqlx::raw_sql(AssertSqlSafe(format!("PREPARE TRANSACTION '{name}'"))).execute(&mut *tx).await.unwrap();
    drop(tx);
    pause().await;
    let end = if fastrand::bool() { "COMMIT" } else { "ROLLBACK" };
    // The driver rolls back first what it takes for an open transaction: there is none.
    sqlx::raw_sql(AssertSqlSafe(format!("{end} PREPARED '{name}'"))).execute(conn).await.unwrap();
}

/// Mostly short, and now and then long enough that many others commit meanwhile.
async fn pause() {
    let millis = if fastrand::u8(..) < 8 { 400 } else { fastrand::u64(..12) };
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// The next version of an order, read before its position is drawn: with that, of two events of an order the later one
/// has the higher position.
async fn next(conn: &mut PgConnection) -> Result<(u32, i64), sqlx::Error> {
    let order = fastrand::u32(..ORDERS);
    let sql = "SELECT coalesce(max(version), 0)::bigint + 1 FROM shop.domain_events WHERE order_id = md5($1)::uuid";
    Ok((order, sqlx::query_scalar(sql).bind(order.to_string()).fetch_one(conn).await?))
}

async fn insert(conn: &mut PgConnection, (order, version): (u32, i64), position: &str) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO shop.domain_events (id, order_id, version, kind, body)
         VALUES ({position}, md5('{order}')::uuid, {version}, 'paid', '{{\"cents\": 1}}')"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

async fn at_once(conn: &mut PgConnection, drawn: &mut Drawn) -> Result<(), sqlx::Error> {
    let position = drawn.next(conn).await;
    let event = next(conn).await?;
    insert(conn, event, &position).await
}

/// A number that is drawn some time before it is used.
async fn drawn_before(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let event = next(conn).await?;
    let position: i64 = sqlx::query_scalar("SELECT nextval('shop.domain_events_id_seq')").fetch_one(&mut *conn).await?;
    pause().await;
    insert(conn, event, &position.to_string()).await
}

/// One that is drawn in a savepoint, which is rolled back, and used or not.
async fn in_savepoint(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let event = next(conn).await?;
    sqlx::raw_sql("SAVEPOINT s").execute(&mut *conn).await?;
    insert(conn, event, "nextval('shop.domain_events_id_seq')").await?;
    let last: i64 = sqlx::query_scalar("SELECT currval('shop.domain_events_id_seq')").fetch_one(&mut *conn).await?;
    sqlx::raw_sql("ROLLBACK TO s").execute(&mut *conn).await?;
    pause().await;
    if fastrand::bool() { insert(conn, event, &last.to_string()).await } else { Ok(()) }
}
