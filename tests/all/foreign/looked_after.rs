//! What operators and callers do with a projection, where its log is one that others write, in another database.

use super::shop::Shop;
use crate::support::{TestDb, partition, scalar};
use evenfold::checkpoint::status_of;
use evenfold::event::Aggregate;
use evenfold::projection::parked::{Retried, drop_first, retry};
use evenfold::projection::{
    Batch, BoxError, Projection, RunOptions, Sourced, Target, WaitError, Worker, WorkerOptions, run, wait_until_of,
};
use evenfold::schema::Schema;
use evenfold::shadow::{RebuildOptions, Rebuilt, rebuild, verify};
use sqlx::PgConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often each order was paid. Refuses one kind of event until it takes all.
#[derive(Clone, Default)]
pub(super) struct Payments {
    takes_all: Arc<AtomicBool>,
}

impl Projection for Payments {
    fn name(&self) -> &'static str {
        "payments"
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        let table = "CREATE TABLE payments (order_id text PRIMARY KEY, paid bigint NOT NULL, last bigint NOT NULL)";
        sqlx::raw_sql(table).execute(conn).await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        let takes_all = self.takes_all.load(Ordering::Relaxed);
        batch.fold(|event| if takes_all || event.event_type != "odd" { Ok(()) } else { Err("it is odd") });
        for event in batch.events() {
            sqlx::query(
                "INSERT INTO payments VALUES ($1, 1, $2)
                 ON CONFLICT (order_id) DO UPDATE SET paid = payments.paid + 1, last = $2",
            )
            .bind(event.aggregate_id)
            .bind(event.version)
            .execute(&mut *conn)
            .await?;
        }
        Ok(())
    }
}

pub(super) async fn write(log: &Shop, order: u32, version: i64, kind: &str) {
    sqlx::query(
        "INSERT INTO shop.domain_events (order_id, version, kind, body) VALUES (md5($1)::uuid, $2, $3, '{\"cents\": 1}')",
    )
    .bind(order.to_string())
    .bind(i32::try_from(version).unwrap())
    .bind(kind)
    .execute(&mut log.connect().await)
    .await
    .unwrap();
}

async fn order(conn: &mut PgConnection, number: u32) -> Aggregate {
    let id: String =
        sqlx::query_scalar("SELECT md5($1)::uuid::text").bind(number.to_string()).fetch_one(conn).await.unwrap();
    Aggregate { aggregate_type: "order".to_owned(), aggregate_id: id }
}

async fn catch_up(log: &Shop, read_model: &TestDb, payments: &Payments) {
    for key in 0..2 {
        let projection = Sourced::new(payments.clone(), Some(log.source()));
        let worker = Worker::new(partition(key, 2), projection, WorkerOptions::default());
        let options = RunOptions::default().until_caught_up(true);
        run(&read_model.database, worker, &options, CancellationToken::new()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_it_has_not_applied_are_counted_in_the_log_and_waited_for() {
    let (log, read_model, own) = (Shop::new().await, TestDb::new().await, Schema::default());
    let (payments, mut model) = (Payments::default(), read_model.connect().await);
    write(&log, 1, 1, "paid").await;
    write(&log, 2, 1, "paid").await;
    catch_up(&log, &read_model, &payments).await;
    // One more, one that is rolled back, and one in a transaction that ends later.
    write(&log, 1, 2, "paid").await;
    let (mut open, mut there) = (log.connect().await, log.source().open().await.unwrap());
    sqlx::raw_sql(
        "BEGIN; INSERT INTO shop.domain_events (order_id, version, kind, body) VALUES (md5('3')::uuid, 1, 'paid', '{}'); ROLLBACK;
         BEGIN; INSERT INTO shop.domain_events (order_id, version, kind, body) VALUES (md5('4')::uuid, 1, 'paid', '{}')",
    )
    .execute(&mut open)
    .await
    .unwrap();
    write(&log, 2, 2, "paid").await;
    let status = status_of(&own, &mut model, Some(&mut there), "payments").await.unwrap();
    assert_eq!((status.events, status.behind(), status.applied()), (Some(4), 2, Some(2)), "{status:?}");
    let timed_out = wait_until_of(&own, &mut model, Some(&mut there), "payments", Target::Everything, Duration::ZERO);
    let timed_out = timed_out.await.unwrap_err();
    assert!(matches!(timed_out, WaitError::TimedOut { .. }) && timed_out.to_string().contains("behind"), "{timed_out}");
    catch_up(&log, &read_model, &payments).await;
    let status = status_of(&own, &mut model, Some(&mut there), "payments").await.unwrap();
    assert_eq!((status.behind(), status.applied()), (0, Some(4)));
    sqlx::raw_sql("COMMIT").execute(&mut open).await.unwrap();
    let status = status_of(&own, &mut model, Some(&mut there), "payments").await.unwrap();
    assert_eq!((status.events, status.behind()), (Some(5), 1), "one that was missing below the floor");
    let late = Target::Aggregate { aggregate: order(&mut model, 4).await, version: None };
    let waiting = wait_until_of(&own, &mut model, Some(&mut there), "payments", late.clone(), Duration::ZERO).await;
    assert!(matches!(waiting, Err(WaitError::TimedOut { .. })), "{waiting:?}");
    catch_up(&log, &read_model, &payments).await;
    for target in [late, Target::Everything] {
        wait_until_of(&own, &mut model, Some(&mut there), "payments", target, Duration::ZERO).await.unwrap();
    }
    let none = Target::Positions(vec![evenfold::Position::new(3)]);
    wait_until_of(&own, &mut model, Some(&mut there), "payments", none, Duration::ZERO).await.unwrap();
    let rolled_back = Target::Positions(vec![evenfold::Position::new(4)]);
    let waiting = wait_until_of(&own, &mut model, Some(&mut there), "payments", rolled_back, Duration::ZERO).await;
    assert!(matches!(waiting, Err(WaitError::NotVisible { .. })), "{waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_read_from_the_log_again() {
    let (log, read_model, own) = (Shop::new().await, TestDb::new().await, Schema::default());
    let (payments, mut model) = (Payments::default(), read_model.connect().await);
    for (version, kind) in [(1, "paid"), (2, "odd"), (3, "paid")] {
        write(&log, 1, version, kind).await;
        write(&log, 2, version, kind).await;
    }
    catch_up(&log, &read_model, &payments).await;
    assert_eq!(scalar(&mut model, "SELECT count(*) FROM evenfold.parked_events").await, 4);
    let (one, two) = (order(&mut model, 1).await, order(&mut model, 2).await);
    let mut projection = Sourced::new(payments.clone(), Some(log.source()));
    let still = retry(&own, &mut model, &mut projection, &one).await.unwrap();
    assert!(matches!(still, Retried::Parked { events: 0, .. }), "{still:?}");
    let dropped = drop_first(&own, &mut model, &mut projection, &two).await.unwrap();
    assert_eq!(dropped, Retried::Applied { events: 1 });
    payments.takes_all.store(true, Ordering::Relaxed);
    assert_eq!(retry(&own, &mut model, &mut projection, &one).await.unwrap(), Retried::Applied { events: 2 });
    assert_eq!(scalar(&mut model, "SELECT sum(paid)::bigint FROM payments").await, 5);
    // Nothing of that is another projection's without the log.
    let mut without = payments.clone();
    let refused = retry(&own, &mut model, &mut without, &one).await.unwrap_err().to_string();
    assert!(refused.contains("log: custom shop.domain_events"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_that_are_too_large_for_one_batch_are_applied_and_removed_ones_are_named() {
    let (log, read_model, own) = (Shop::new().await, TestDb::new().await, Schema::default());
    let (payments, mut model) = (Payments::default(), read_model.connect().await);
    let mut there = log.connect().await;
    let large = "INSERT INTO shop.domain_events (order_id, version, kind, body)
        SELECT md5('1')::uuid, n, 'odd', to_jsonb(repeat(md5(n::text), 28000)) FROM generate_series(1, 40) n";
    sqlx::raw_sql(large).execute(&mut there).await.unwrap();
    write(&log, 2, 1, "odd").await;
    catch_up(&log, &read_model, &payments).await;
    payments.takes_all.store(true, Ordering::Relaxed);
    let (one, two) = (order(&mut model, 1).await, order(&mut model, 2).await);
    let mut projection = Sourced::new(payments.clone(), Some(log.source()));
    assert_eq!(retry(&own, &mut model, &mut projection, &one).await.unwrap(), Retried::Applied { events: 40 });
    assert_eq!(scalar(&mut model, "SELECT last FROM payments").await, 40);
    sqlx::raw_sql("DELETE FROM shop.domain_events WHERE order_id = md5('2')::uuid").execute(&mut there).await.unwrap();
    let removed = retry(&own, &mut model, &mut projection, &two).await.unwrap_err().to_string();
    assert!(removed.contains("the event at position 41") && removed.contains("was removed from the log"), "{removed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_verified_and_rebuilt_from_the_log() {
    let (log, read_model, own) = (Shop::new().await, TestDb::new().await, Schema::default());
    let payments = Payments::default();
    for version in 1..=50 {
        write(&log, 1, version, "paid").await;
        write(&log, 2, version, if version == 20 { "odd" } else { "paid" }).await;
    }
    catch_up(&log, &read_model, &payments).await;
    // Not applied yet, and none of what is verified.
    write(&log, 1, 51, "paid").await;
    let mut model = read_model.connect().await;
    let mut fresh = Sourced::new(payments.clone(), Some(log.source()));
    let verified = verify(&own, &mut model, &mut fresh, 10).await.unwrap();
    assert!(verified.agrees() && verified.events == 69, "{verified:?}");
    sqlx::raw_sql("UPDATE payments SET paid = paid + 1 WHERE last = 50").execute(&mut model).await.unwrap();
    let mut fresh = Sourced::new(payments.clone(), Some(log.source()));
    assert!(!verify(&own, &mut model, &mut fresh, 10).await.unwrap().agrees());
    payments.takes_all.store(true, Ordering::Relaxed);
    let (source, every) = (log.source(), payments.clone());
    let make = move || Sourced::new(every.clone(), Some(source.clone()));
    let rebuilt =
        rebuild(&read_model.database, make, &RebuildOptions::default(), &CancellationToken::new(), &|_| {}).await;
    assert_eq!(rebuilt.unwrap().outcome, Rebuilt::Switched);
    assert_eq!(scalar(&mut model, "SELECT sum(paid)::bigint FROM payments").await, 101);
    assert_eq!(scalar(&mut model, "SELECT count(*) FROM evenfold.parked_events").await, 0);
}
