//! Whether a log fits onto the disk.

use anyhow::ensure;
use evenfold_cli::output::thousands;
use nix::sys::statvfs::statvfs;
use sqlx::PgConnection;

/// What an event takes: its row, its entries in four indexes, and what a vacuum and the counters need meanwhile.
const BYTES_PER_EVENT: u64 = 400;

/// What is to stay free: the write-ahead log, and what others write.
const RESERVE: u64 = 4 << 30;

const GIB: u64 = 1 << 30;

/// Fails where so many more events do not fit. A server's disk is seen where it is this machine's, and the user may ask
/// for its directory.
pub(super) async fn check(conn: &mut PgConnection, events: u64) -> anyhow::Result<()> {
    let directory: Option<String> = sqlx::query_scalar("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        .fetch_optional(conn)
        .await?;
    match directory.and_then(|directory| free(&directory)) {
        Some(free) => fits(events, free),
        None => Ok(()),
    }
}

fn free(directory: &str) -> Option<u64> {
    let disk = statvfs(directory).ok()?;
    // As wide on every system.
    let bytes = u128::from(disk.blocks_available()) * u128::from(disk.fragment_size());
    Some(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn fits(events: u64, free: u64) -> anyhow::Result<()> {
    let needed = events.saturating_mul(BYTES_PER_EVENT).saturating_add(RESERVE);
    ensure!(
        events == 0 || needed <= free,
        "{} more events need about {} GiB of disk with what must stay free, and {} GiB are: make --sizes smaller, or \
         free some space",
        thousands(events),
        needed.div_ceil(GIB),
        free / GIB
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_does_not_fit_is_refused_by_one_sentence() {
        assert!(fits(0, 0).is_ok(), "nothing is written");
        assert!(fits(1_000_000, 5 * GIB).is_ok());
        let refused = fits(50_000_000, 20 * GIB).unwrap_err().to_string();
        assert_eq!(
            refused,
            "50,000,000 more events need about 23 GiB of disk with what must stay free, and 20 GiB are: make --sizes \
             smaller, or free some space"
        );
    }

    #[test]
    fn the_disk_of_a_directory_is_seen_and_that_of_none_is_not() {
        assert!(free("/").is_some_and(|free| free > 0));
        assert_eq!(free("/there is no such directory"), None);
    }
}
