//! Two projections in one program: what each customer has paid, and how many orders each has placed. `worker` and
//! `pool` run both, unless `--projection` names one.

use clap::Args;
use evenfold::{Batch, BoxError, Interest, Projection};
use evenfold_cli::App;
use serde::Deserialize;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::process::ExitCode;

#[derive(Deserialize)]
struct Order {
    customer: String,
    cents: i64,
}

/// Adds up what comes of each order of a batch, by customer. In the order of the customers: two partitions may write
/// the same ones, and must not wait in a circle.
fn by_customer(batch: &mut Batch<'_>, of: impl Fn(&Order) -> i64) -> (Vec<String>, Vec<i64>) {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    batch.fold(|event| {
        // An order that can't be read is parked, with those behind it of the same aggregate; all others go on.
        let order: Order = serde_json::from_str(event.payload)?;
        *sums.entry(order.customer.clone()).or_default() += of(&order);
        Ok::<(), serde_json::Error>(())
    });
    sums.into_iter().unzip()
}

fn placed() -> Interest {
    Interest::everything().in_aggregates(["order"]).in_events(["order-placed"])
}

#[derive(Debug, Clone, Args)]
struct Revenue {
    /// Orders of fewer cents than this do not count
    #[arg(long, default_value = "0", value_name = "CENTS")]
    at_least: i64,
}

impl Projection for Revenue {
    fn name(&self) -> &'static str {
        "revenue"
    }

    fn interest(&self) -> Interest {
        placed()
    }

    fn settings(&self) -> String {
        format!("at least: {}", self.at_least)
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        sqlx::raw_sql("CREATE TABLE revenue (customer text PRIMARY KEY, cents bigint NOT NULL)").execute(conn).await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        let counts = |order: &Order| if order.cents >= self.at_least { order.cents } else { 0 };
        let (customers, cents) = by_customer(batch, counts);
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

#[derive(Clone)]
struct Loyalty;

impl Projection for Loyalty {
    fn name(&self) -> &'static str {
        "loyalty"
    }

    fn interest(&self) -> Interest {
        placed()
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        sqlx::raw_sql("CREATE TABLE loyalty (customer text PRIMARY KEY, orders bigint NOT NULL)").execute(conn).await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        let (customers, orders) = by_customer(batch, |_| 1);
        sqlx::query(
            "INSERT INTO loyalty SELECT * FROM unnest($1::text[], $2::bigint[])
             ON CONFLICT (customer) DO UPDATE SET orders = loyalty.orders + excluded.orders",
        )
        .bind(customers)
        .bind(orders)
        .execute(conn)
        .await?;
        Ok(())
    }
}

fn main() -> ExitCode {
    App::new().projection_with("revenue", Revenue::clone).projection(Loyalty).main()
}
