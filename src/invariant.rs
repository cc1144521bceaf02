//! What can't be otherwise, unless evenfold or somebody who writes into its tables has made a mistake.

/// Fails, and logs an error, unless the condition holds. Whatever was to be done is rolled back and tried again, and is
/// seen in the log and in the status, until somebody has looked: a default in its place would be folded, for ever.
macro_rules! invariant {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err($crate::invariant::broken(&format!($($what)+)));
        }
    };
}

pub(crate) use invariant;

/// The error of an invariant that does not hold.
pub(crate) fn broken(what: &str) -> sqlx::Error {
    tracing::error!("an invariant of evenfold's tables does not hold: {what}");
    sqlx::Error::Protocol(format!("an invariant of evenfold's tables does not hold: {what}"))
}
