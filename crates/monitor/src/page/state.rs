//! What all requests of the page share.

use super::published::{PageContents, Published};
use crate::operator::Operator;
use evenfold::database::Database;
use evenfold_http::auth::Gate;
use evenfold_http::inflight::InFlight;
use evenfold_http::metrics::Requests;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// The page while it is served.
pub(super) struct PageState {
    pub(super) database: Database,
    pub(super) published: watch::Receiver<Arc<Published>>,
    pub(super) shown: Arc<PageContents>,
    pub(super) operator: Arc<dyn Operator>,
    /// Something was done, and is to be shown.
    pub(super) operated: Arc<Notify>,
    pub(super) watchers: Arc<InFlight>,
    pub(super) inflight: Arc<InFlight>,
    /// Whether whoever is let in is shown what events contain.
    pub(super) payloads: bool,
    pub(super) gate: Gate,
    pub(super) requests: Requests,
}
