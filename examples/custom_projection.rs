//! A read model of your own, with the whole command line: what each customer has paid, from orders, exactly once.
//!
//! `cargo run --example custom_projection -- --help`, and for instance `-- migrate`, `-- append <orders.ndjson`,
//! `-- worker --partition-key 0 --total-partitions 4`, `-- pool`, `-- status`, `-- parked list`. The database is that
//! of `DATABASE_URL`, or one of its own. An order is `{"customer": "ada", "cents": 1999, "currency": "EUR"}`.

use clap::Args;
use evenfold::{Batch, BoxError, Interest, Projection};
use evenfold_cli::App;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The projection, and its settings: these are flags of the commands that fold.
#[derive(Debug, Clone, Args)]
struct Revenue {
    /// The currency of the orders that count
    #[arg(long, env = "REVENUE_CURRENCY", default_value = "EUR", value_name = "CODE")]
    currency: String,
}

#[derive(serde::Deserialize)]
struct Order {
    customer: String,
    cents: i64,
    currency: String,
}

impl Projection for Revenue {
    fn name(&self) -> &'static str {
        "revenue"
    }

    fn interest(&self) -> Interest {
        Interest::everything().in_events(["order-placed"])
    }

    /// Workers with another currency are refused: half of the sums would be of one, half of the other.
    fn settings(&self) -> String {
        format!("currency: {}", self.currency)
    }

    async fn create(&mut self, conn: &mut PgConnection) -> Result<(), BoxError> {
        sqlx::raw_sql("CREATE TABLE revenue (customer text PRIMARY KEY, cents bigint NOT NULL)").execute(conn).await?;
        Ok(())
    }

    async fn apply(&mut self, conn: &mut PgConnection, batch: &mut Batch<'_>) -> Result<(), BoxError> {
        // In the order of the customers: two partitions may write the same ones, and must not wait in a circle.
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        batch.fold(|event| {
            // An order that can't be read is parked, with those behind it of the same aggregate; all others go on.
            let Order { customer, cents, currency } = serde_json::from_str(event.payload)?;
            if currency == self.currency {
                *sums.entry(customer).or_default() += cents;
            }
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

fn main() -> ExitCode {
    App::new().projection_with("revenue", Revenue::clone).main()
}
