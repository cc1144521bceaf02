//! The processor time that a PostgreSQL server on this machine has used, as Linux counts it.

use sqlx::PgConnection;
use std::ops::RangeInclusive;

/// Ticks per second in `/proc/<pid>/stat`. The kernel promises it to programs, whatever its own clock does.
const TICKS: f64 = 100.0;

/// Where Linux's description of a process has its parent and its times, counted from behind the name: the name itself
/// may have spaces.
const PARENT: usize = 1;
const TIMES: RangeInclusive<usize> = 11..=14;
const ENDED: RangeInclusive<usize> = 13..=14;

/// How often it is looked for a moment in which no process of the server ends.
const ATTEMPTS: u32 = 1000;

/// A server whose processes can be seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    postmaster: u32,
}

impl Server {
    /// The server of this connection; none if it is on another machine, or in a container, or this is not Linux.
    pub(super) async fn of(conn: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        let (backend, database): (i32, String) =
            sqlx::query_as("SELECT pg_backend_pid(), current_database()").fetch_one(conn).await?;
        Ok(Self::seen(backend.unsigned_abs(), &database))
    }

    fn seen(backend: u32, database: &str) -> Option<Self> {
        // Another machine's process may have the number of one of ours: its title shows which database it serves.
        let title = std::fs::read(format!("/proc/{backend}/cmdline")).ok()?;
        let title = String::from_utf8_lossy(&title).into_owned();
        if !(title.starts_with("postgres:") && title.split(' ').any(|word| word == database)) {
            return None;
        }
        let postmaster = parent(&stat(backend)?)?;
        Some(Self { postmaster })
    }

    /// The seconds that it has used so far, with those of its processes that have ended. Other sessions count as well.
    pub(super) fn seconds(self) -> Option<f64> {
        let mut before = times(&stat(self.postmaster)?)?;
        for _ in 0..ATTEMPTS {
            let children = self.children()?;
            let own = times(&stat(self.postmaster)?)?;
            // What a process has used moves to the postmaster when it ends. Nothing has moved, so nothing was missed.
            #[expect(clippy::float_cmp, reason = "the same ticks give the same number")]
            if own == before {
                return Some(own + children);
            }
            before = own;
        }
        None
    }

    fn children(self) -> Option<f64> {
        let processes = std::fs::read_dir("/proc").ok()?.flatten();
        let children = processes
            .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
            .filter(|stat| parent(stat) == Some(self.postmaster))
            .filter_map(|stat| times(&stat));
        Some(children.sum())
    }
}

/// The seconds that this process has used so far, with those of its children that have ended. None if this is not
/// Linux.
pub(super) fn own_seconds() -> Option<f64> {
    seconds_of(std::process::id())
}

/// The same of another process.
pub(super) fn seconds_of(pid: u32) -> Option<f64> {
    times(&stat(pid)?)
}

/// What the children of this process have used, those that have ended.
pub(super) fn seconds_of_ended() -> Option<f64> {
    seconds_in(&stat(std::process::id())?, ENDED)
}

/// The fields of a process behind its name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn parent(stat: &[String]) -> Option<u32> {
    stat.get(PARENT)?.parse().ok()
}

/// In user mode and in the kernel, its own and those of its children that have ended.
fn times(stat: &[String]) -> Option<f64> {
    seconds_in(stat, TIMES)
}

fn seconds_in(stat: &[String], fields: RangeInclusive<usize>) -> Option<f64> {
    let ticks: Option<Vec<f64>> = stat.get(fields)?.iter().map(|field| field.parse().ok()).collect();
    Some(ticks?.iter().sum::<f64>() / TICKS)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn this_process_has_its_parent_and_the_time_that_it_uses() {
        let me = std::process::id();
        assert_eq!(parent(&stat(me).unwrap()), Some(std::os::unix::process::parent_id()));
        let used = || own_seconds().unwrap();
        let (before, began) = (used(), Instant::now());
        while used() < before + 0.05 {
            assert!(began.elapsed() < Duration::from_secs(30), "no time goes by");
        }
    }

    #[test]
    fn a_process_that_is_no_server_is_not_taken_for_one() {
        assert!(Server::seen(std::process::id(), "postgres").is_none());
        assert!(Server::seen(u32::MAX, "postgres").is_none());
    }
}
