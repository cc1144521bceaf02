//! Steps of a worker, up to what the log has at a moment after the first of them.

use super::{Applied, Projection, Step, Worker, WorkerError};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

/// Steps until everything is applied that was in the log when this was called; false if it is to stop. Not until
/// nothing is left: under steady writing that may never be. `each` is called after each step.
///
/// # Cancel safety
///
/// That of [`Worker::step`].
pub(crate) async fn catch_up<P: Projection>(
    worker: &mut Worker<P>,
    conn: &mut PgConnection,
    shutdown: &CancellationToken,
    mut each: impl FnMut(&Worker<P>),
) -> Result<bool, WorkerError> {
    let mut windows = 0;
    while !shutdown.is_cancelled() {
        let step = worker.step(conn).await?;
        each(worker);
        // The first window that ends may have been open before: what was appended since is in the one after it.
        windows += u32::from(matches!(step, Step::Applied(Applied { caught_up: true, .. })));
        if step == Step::CaughtUp || windows > 1 {
            return Ok(true);
        }
    }
    Ok(false)
}
