//! Which events a projection wants.

use std::fmt;

/// Which events a projection wants. The database filters by it, so that a worker is sent nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest {
    pub(crate) aggregate_types: Option<Vec<String>>,
    pub(crate) event_types: Option<Vec<String>>,
    pub(crate) envelope: bool,
    pub(crate) xid: bool,
}

impl Interest {
    /// Every event.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Only events of these aggregate types.
    #[must_use]
    pub fn in_aggregates<S: Into<String>>(mut self, types: impl IntoIterator<Item = S>) -> Self {
        self.aggregate_types = Some(sorted(types));
        self
    }

    /// Only events of these types. Versions then have gaps.
    #[must_use]
    pub fn in_events<S: Into<String>>(mut self, types: impl IntoIterator<Item = S>) -> Self {
        self.event_types = Some(sorted(types));
        self
    }

    /// The aggregate types that it is limited to, if it is.
    #[must_use]
    pub fn aggregate_types(&self) -> Option<&[String]> {
        self.aggregate_types.as_deref()
    }

    /// The event types that it is limited to, if it is.
    #[must_use]
    pub fn event_types(&self) -> Option<&[String]> {
        self.event_types.as_deref()
    }

    /// Also the event id, the time and the metadata of each event: some 60 bytes more to send per event.
    #[must_use]
    pub fn with_envelope(mut self) -> Self {
        self.envelope = true;
        self
    }

    /// Also the transaction that wrote each event, for whoever reads for others that have seen more.
    #[must_use]
    pub(crate) fn with_xid(mut self) -> Self {
        self.xid = true;
        self
    }
}

fn sorted<S: Into<String>>(types: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut types: Vec<String> = types.into_iter().map(Into::into).collect();
    types.sort();
    types.dedup();
    types
}

/// What is wanted, without the envelope, which changes nothing about *which* events are folded.
impl fmt::Display for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |types: &Option<Vec<String>>| types.as_ref().map_or("all".to_owned(), |t| format!("{t:?}"));
        write!(f, "aggregate types: {}; event types: {}", list(&self.aggregate_types), list(&self.event_types))
    }
}
