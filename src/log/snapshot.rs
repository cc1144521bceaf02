//! PostgreSQL's `pg_snapshot`, as a value that can be asked.

use std::fmt;
use std::str::FromStr;

/// Which transactions were finished at one moment: the text form is `xmin:xmax:xip,xip,…`.
///
/// A transaction is *visible* when it had ended: its xid is below `xmin`, or below `xmax` and not in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Snapshot {
    xmin: u64,
    xmax: u64,
    in_progress: Vec<u64>,
}

/// A text that is not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pg_snapshot (xmin:xmax:xip,…)")]
pub struct SnapshotError(String);

impl Snapshot {
    /// The snapshot before the first transaction: nothing is visible in it.
    #[must_use]
    pub fn before_all() -> Self {
        Self { xmin: 1, xmax: 1, in_progress: Vec::new() }
    }

    /// Whether the transaction had ended when the snapshot was taken; the same as `pg_visible_in_snapshot`.
    #[must_use]
    pub fn sees(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.in_progress.binary_search(&xid).is_err())
    }

    /// One above the last transaction that had ended. Those from here on had not, and are in no list: PostgreSQL
    /// leaves them out, because it need not look at them to know that they are invisible.
    #[must_use]
    pub fn xmax(&self) -> u64 {
        self.xmax
    }

    /// The transactions below `xmax` that were in progress, in ascending order.
    #[must_use]
    pub fn in_progress(&self) -> &[u64] {
        &self.in_progress
    }
}

impl FromStr for Snapshot {
    type Err = SnapshotError;

    fn from_str(text: &str) -> Result<Self, SnapshotError> {
        let parse = || {
            let mut parts = text.splitn(3, ':');
            let xmin = parts.next()?.parse().ok()?;
            let xmax = parts.next()?.parse().ok()?;
            let list = parts.next()?;
            let mut in_progress = list
                .split(',')
                .filter(|xid| !xid.is_empty())
                .map(|xid| xid.parse().ok())
                .collect::<Option<Vec<u64>>>()?;
            in_progress.sort_unstable();
            Some(Self { xmin, xmax, in_progress })
        };
        parse().ok_or_else(|| SnapshotError(text.to_owned()))
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (n, xid) in self.in_progress.iter().enumerate() {
            write!(f, "{}{xid}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_visible_when_it_had_ended() -> Result<(), SnapshotError> {
        let snapshot: Snapshot = "10:20:12,15".parse()?;
        let visible: Vec<u64> = (8..22).filter(|&xid| snapshot.sees(xid)).collect();
        assert_eq!(visible, [8, 9, 10, 11, 13, 14, 16, 17, 18, 19]);
        assert!(!(0..1000).any(|xid| xid > 0 && Snapshot::before_all().sees(xid)));
        Ok(())
    }

    #[test]
    fn the_text_form_is_postgresqls() {
        for text in ["1:1:", "10:20:12,15", "7:9:7"] {
            assert_eq!(text.parse::<Snapshot>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "1:1", "a:b:", "1:2:x", "1:2:-3"] {
            assert!(text.parse::<Snapshot>().is_err(), "{text:?}");
        }
    }
}
