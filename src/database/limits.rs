//! How long connections are waited for.

use std::time::Duration;

/// How long a connection may take to be made and checked.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the checks wait where somebody has locked evenfold's tables.
pub(super) const LOCKED_OUT: Duration = Duration::from_secs(5);

/// How long a move of the tables waits for those who use them.
pub(crate) const MOVING: Duration = Duration::from_secs(5);
