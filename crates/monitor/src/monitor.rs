//! The probes and figures of all projections of a database.

use crate::error::{ApiError, ErrorCode};
use crate::figures::ProjectionFigures;
use crate::page::PageService;
use crate::probes;
use crate::process::unwritten;
use crate::reading::Reading;
use crate::troubles::stopping;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use evenfold_http::about::About;
use evenfold_http::auth::{Auth, Gate, Scheme};
use evenfold_http::error::NoDetails;
use evenfold_http::metrics::{Requests, answer, text};
use evenfold_http::route::{Route, Service};
use evenfold_http::{Respond, Router};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A reading that is older than this is no answer: counting has been stopped by something.
const OLDEST: Duration = Duration::from_secs(15);

/// The projections of a database, to be [served](evenfold_http::serve): `/livez`, `/readyz` and `/metrics`, and a
/// [page](PageService). Clones are cheap, and are the same service.
#[derive(Clone)]
pub struct MonitorService {
    probes: Router<Monitor>,
    page: PageService,
}

/// What all requests share.
struct Monitor {
    readings: watch::Receiver<Arc<Reading>>,
    gate: Gate,
    requests: Requests,
}

const ROUTES: &[Route<Monitor>] = &probes::routes(
    |call| Box::pin(async move { metrics(&call.state, call.head.headers()) }),
    |call| Box::pin(async move { readyz(&call.state) }),
);

impl Service for Monitor {
    type Code = ErrorCode;
    type Details = NoDetails;
    const ABOUT: Option<About> = None;
    const ROUTES: &'static [Route<Self>] = ROUTES;

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn requests(&self) -> &Requests {
        &self.requests
    }
}

impl MonitorService {
    /// Shows what is [read](crate::read_on).
    #[must_use]
    pub fn new(readings: watch::Receiver<Arc<Reading>>, auth: Option<Auth>, page: PageService) -> Self {
        let gate = Gate { scheme: Scheme::Bearer, auth };
        let probes = Router::new(Arc::new(Monitor { readings, gate, requests: Requests::of::<Monitor>() }));
        Self { probes, page }
    }
}

impl Respond for MonitorService {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        if PageService::has(request.uri().path()) {
            self.page.respond(request).await
        } else {
            self.probes.respond(request).await
        }
    }
}

impl Monitor {
    fn reading(&self) -> Arc<Reading> {
        Arc::clone(&self.readings.borrow())
    }
}

fn metrics(monitor: &Monitor, headers: &HeaderMap) -> Result<Response<Body>, ApiError> {
    let text = text("evenfold", ProjectionFigures(monitor.reading())).map_err(|_| unwritten())?;
    Ok(answer(headers, &[text], None))
}

/// Ready is the system that is watched: where nobody works on a class, this probe fails. The monitor itself is alive by
/// the other one, to which an orchestrator goes, so that the page stays where it is needed.
fn readyz(monitor: &Monitor) -> Result<Response<Body>, ApiError> {
    let reading = monitor.reading();
    let old = (reading.age() > OLDEST)
        .then(|| format!("nothing was counted in the database for {:.0} s", reading.age().as_secs_f64()));
    let why: Vec<String> = old.into_iter().chain(stopping(&reading)).collect();
    if !why.is_empty() {
        return Err(ApiError::new(ErrorCode::NotReady, why.join("; ")));
    }
    let projections = reading.projections.iter().filter(|p| p.rebuilds.is_none());
    let (count, classes) = projections.fold((0, 0), |(n, classes), p| (n + 1, classes + p.status.classes.len()));
    Ok(probes::projections_ready(count, classes))
}
