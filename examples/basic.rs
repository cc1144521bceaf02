//! The smallest whole: a PostgreSQL of its own, a log, and a read model that is folded from it, exactly once. `cargo
//! run --example basic`

use evenfold::{
    Batch, BoxError, Class, Database, Interest, NewEvent, Projection, RunOptions, Worker, WorkerOptions, append,
    migrate, run,
};
use evenfold_embedded as embedded;
use sqlx::PgConnection;
use std::collections::BTreeMap;

#[derive(serde::Serialize, serde::Deserialize)]
struct Placed {
    customer: String,
    cents: i64,
}

struct Revenue;

impl Projection for Revenue {
    fn name(&self) -> &'static str {
        "revenue"
    }

    fn interest(&self) -> Interest {
        Interest::everything().in_events(["order-placed"])
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        // In the order of the customers: two partitions may write the same ones, and must not wait in a circle.
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        batch.fold(|event| {
            // An error here would park the order, and let everything else go on.
            let Placed { customer, cents } = serde_json::from_str(event.payload)?;
            *sums.entry(customer).or_default() += cents;
            Ok::<(), serde_json::Error>(())
        });
        let (customers, cents): (Vec<_>, Vec<_>) = sums.into_iter().unzip();
        sqlx::query(
            "INSERT INTO revenue SELECT * FROM unnest($1::text[], $2::bigint[])
             ON CONFLICT (customer) DO UPDATE SET cents = revenue.cents + excluded.cents",
        )
        .bind(customers)
        .bind(cents)
        .execute(conn)
        .await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let directory = tempfile::tempdir()?;
    let server = embedded::start(&embedded::Options::new(directory.path().join("pg")))?;
    let database = Database::at(&server.url())?;
    let (mut conn, _) = database.connect_to_server().await?;
    migrate(database.schema(), &mut conn).await?;
    sqlx::raw_sql("CREATE TABLE revenue (customer text PRIMARY KEY, cents bigint)").execute(&mut conn).await?;

    for order in 1..=1000 {
        let placed = Placed { customer: format!("customer-{}", order % 3), cents: order };
        append(&mut conn, &[NewEvent::new("order", format!("order-{order}"), "order-placed", &placed)?]).await?;
    }
    let options = RunOptions::default().until_caught_up(true);
    for partition in 0..2 {
        let worker = Worker::new(Class::partition(partition, 2)?, Revenue, WorkerOptions::default());
        let report = run(&database, worker, &options, tokio_util::sync::CancellationToken::new()).await?;
        println!("partition {partition} of 2 applied {} orders", report.applied);
    }
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT * FROM revenue ORDER BY 1").fetch_all(&mut conn).await?;
    for (customer, cents) in &rows {
        println!("{customer}: {cents} cents");
    }
    assert_eq!(rows.iter().map(|(_, cents)| cents).sum::<i64>(), 1000 * 1001 / 2);
    Ok(())
}
