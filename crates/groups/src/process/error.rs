//! What is a name, and what a group refuses: one sentence each, which says what to do.

use std::sync::Arc;

/// The most bytes of a name.
pub const MAX_NAME: usize = 128;

/// The most messages that may wait for one member.
pub const MAX_QUEUE: usize = 1_000_000;

/// How much of a bad name is shown: it may be of any length.
const SHOWN: usize = 40;

/// A text that can't be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown:?} can't be the name of a {what}: choose one of 1 to {MAX_NAME} bytes with no slash and no control character"
)]
pub struct InvalidName {
    what: &'static str,
    shown: String,
}

/// A broadcast to a group that is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the group {0} was deleted: create it again, and have its members join the new one")]
pub struct Deleted(
    /// Its tenant, namespace and name.
    pub Arc<str>,
);

/// What groups refuse. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// A name that can't be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Create was called for a group that there is.
    #[error("the group {0} exists already: open it instead, or delete it first")]
    Exists(Arc<str>),
    /// There is no such group, as far as this tenant can see.
    #[error("there is no group {0}: create it first")]
    Missing(Arc<str>),
    /// No further tenant, while so many have groups or handles.
    #[error("there are {0} tenants, and no more are allowed: delete the groups of one, or raise the limit")]
    TooManyTenants(usize),
    /// No further group of this tenant.
    #[error("there are {0} groups of this tenant, and no more are allowed: delete one, or raise the limit")]
    TooManyGroups(usize),
    /// No further member of this group.
    #[error("there are {0} members of this group, and no more are allowed: let one leave, or raise the limit")]
    TooManyMembers(usize),
    /// Somebody has joined under this name, and not left.
    #[error("{0} has joined already: join under another name, or have it leave first")]
    AlreadyJoined(Arc<str>),
    /// Nobody has joined under this name, or whoever did has left.
    #[error("{0} is no member of this group: look at its members")]
    NotAMember(String),
    /// A queue that is none, or too long.
    #[error("a queue of {0} messages is not possible: give the member one of 1 to {MAX_QUEUE}")]
    Queue(usize),
    /// The group is no more.
    #[error(transparent)]
    Deleted(#[from] Deleted),
}

/// The text as a name.
pub(super) fn name(what: &'static str, text: &str) -> Result<Arc<str>, InvalidName> {
    let good = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(|c| c == '/' || c.is_control());
    let invalid = || InvalidName { what, shown: text.chars().take(SHOWN).collect() };
    good.then(|| Arc::from(text)).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_128_bytes_and_nothing_that_would_split_it_or_a_line() {
        for good in ["a", "order lines", "größe", &"x".repeat(MAX_NAME)] {
            assert_eq!(name("group", good).as_deref(), Ok(good));
        }
        for bad in ["", "a/b", "a\nb", "\u{7f}", &"x".repeat(MAX_NAME + 1), &"ö".repeat(65)] {
            let error = name("group", bad).map_err(|error| error.to_string());
            assert!(error.is_err_and(|text| text.contains("choose one of 1 to 128 bytes")), "{bad:?}");
        }
    }

    #[test]
    fn a_bad_name_of_any_length_gets_a_short_sentence() {
        let error = name("tenant", &"x".repeat(10_000_000)).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.len() < 200));
    }
}
