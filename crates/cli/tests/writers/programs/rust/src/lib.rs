//! What the writers in Rust have in common.

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

pub type Failed = Box<dyn Error + Send + Sync>;

/// What the program was started to do, and a pool of connections to where.
pub async fn arguments() -> Result<(String, PgPool), Failed> {
    let mut arguments = std::env::args().skip(1);
    let (Some(command), Some(url)) = (arguments.next(), arguments.next()) else {
        return Err("usage: (prepare | write) URL".into());
    };
    // A plan that reads the whole table has serializable transactions conflict with each other, whatever they are
    // about.
    let options = url.parse::<PgConnectOptions>()?.options([("enable_seqscan", "off")]);
    Ok((command, PgPoolOptions::new().max_connections(8).connect_with(options).await?))
}

/// Mostly short, and now and then long enough that many others commit meanwhile.
pub async fn pause() {
    let milliseconds = if chance(0.03) { 1000 } else { fastrand::u64(..12) };
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Whether something happens that does with this probability.
pub fn chance(probability: f64) -> bool {
    fastrand::f64() < probability
}

/// Prints an event that its library has acknowledged.
pub fn acknowledge(stream: &str, version: i64) {
    println!("{}", serde_json::json!({ "stream": stream, "version": version }));
}

/// A trigger of the user's own, run when a transaction with a row of this condition commits: it takes its time, or
/// rolls back.
pub async fn make_slow(pool: &PgPool, table: &str, condition: &str) -> Result<(), Failed> {
    let sql = format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM pg_sleep(CASE WHEN random() < 0.03 THEN 1 ELSE random() * 0.012 END);
             IF random() < 0.1 THEN
                 RAISE EXCEPTION 'rolled back';
             END IF;
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION slow()"
    );
    sqlx::raw_sql(&sql).execute(pool).await?;
    Ok(())
}

/// Writes in so many loops at once until the standard input ends, and each has done what it had begun.
pub async fn write<S, F>(loops: usize, step: S) -> Result<(), Failed>
where
    S: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failed>> + Send + 'static,
{
    let ended = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::<Result<(), Failed>>::new();
    for _ in 0..loops {
        let (ended, step) = (ended.clone(), step.clone());
        running.spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                step().await?;
                pause().await;
            }
            Ok(())
        });
    }
    tokio::spawn(async move {
        // What comes on it, or an error, is of no interest.
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
        ended.store(true, Ordering::Relaxed);
    });
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
