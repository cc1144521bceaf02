//! The page as a service: what its requests share.

use super::error::PageErrorCode;
use super::published::{PageContents, Published, Publisher, publish};
use super::routes;
use super::state::PageState;
use crate::operator::Operator;
use crate::reading::Reading;
use axum::body::Body;
use axum::http::{Request, Response};
use evenfold::database::Database;
use evenfold_http::about::About;
use evenfold_http::auth::{Auth, Gate, Scheme};
use evenfold_http::error::NoDetails;
use evenfold_http::inflight::InFlight;
use evenfold_http::metrics::Requests;
use evenfold_http::route::{Route, Service};
use evenfold_http::{Respond, Router};
use hyper::body::Incoming;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

/// How a page is served.
pub struct PageOptions {
    /// The token without which nothing is changed; without a token nothing is changed at all.
    pub auth: Option<Auth>,
    /// Whether other machines reach it: then what events contain is shown to nobody without a token.
    pub remote: bool,
    /// How many pages may watch; further ones are answered with 503.
    pub max_watchers: usize,
    /// The program that has the code of projections.
    pub operator: Arc<dyn Operator>,
}

/// So many requests may ask the database, or be sent figures, at a time.
const REQUESTS: usize = 32;

/// The bytes of their answers.
const BYTES: usize = 256 * 1024 * 1024;

/// The page, to be [served](evenfold_http::serve). Clones are cheap, and are the same service.
#[derive(Clone)]
pub struct PageService {
    router: Router<PageState>,
    /// Ends with the last clone.
    _publishing: Arc<AbortOnDropHandle<()>>,
}

impl PageService {
    /// Shows what is counted, and what operators did in this database.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(database: &Database, readings: watch::Receiver<Arc<Reading>>, options: PageOptions) -> Self {
        let PageOptions { auth, remote, max_watchers, operator } = options;
        let reading = Arc::clone(&readings.borrow());
        let (sender, published) = watch::channel(Arc::new(Published::new(reading, None, Arc::new([]))));
        let database = database.named("evenfold monitor").by_index();
        let (token, projections) = (auth.is_some(), operator.projections());
        let shown = Arc::new(PageContents { history: Mutex::default(), token, projections });
        let (operated, watchers) = (Arc::<Notify>::default(), InFlight::new(max_watchers, usize::MAX));
        let counting = Publisher {
            database: database.clone(),
            shown: Arc::clone(&shown),
            operated: Arc::clone(&operated),
            watchers: Arc::clone(&watchers),
        };
        let publishing = tokio::spawn(publish(counting, readings, sender));
        let state = Arc::new(PageState {
            database,
            published,
            shown,
            operator,
            operated,
            watchers,
            inflight: InFlight::new(REQUESTS, BYTES),
            payloads: auth.is_some() || !remote,
            gate: Gate { scheme: Scheme::Bearer, auth },
            requests: Requests::of::<PageState>(),
        });
        Self { router: Router::new(state), _publishing: Arc::new(AbortOnDropHandle::new(publishing)) }
    }

    /// Whether a path is one of the page's.
    #[must_use]
    pub fn has(path: &str) -> bool {
        routes::ROUTES.iter().any(|route| route.path == path)
    }
}

impl Respond for PageService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        self.router.respond(request).await
    }
}

impl Service for PageState {
    type Code = PageErrorCode;
    type Details = NoDetails;
    const ABOUT: Option<About> = None;
    const ROUTES: &'static [Route<Self>] = routes::ROUTES;

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn requests(&self) -> &Requests {
        &self.requests
    }
}
