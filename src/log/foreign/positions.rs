//! How the positions of a log that others write are given.

/// How the positions of a log are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// By this sequence, as SQL has its name: each by the transaction that writes the row, in any order of commits.
    Sequence(String),
    /// In the order in which transactions commit: whoever draws the next one waits until the one before has ended.
    Serial,
    /// In any way, also by an earlier transaction than the one that writes the row: that one is in this column, an
    /// `xid8`.
    Xid(String),
}

/// The column that is added to a log whose positions are drawn by earlier transactions.
pub const XID_COLUMN: &str = "xid";
