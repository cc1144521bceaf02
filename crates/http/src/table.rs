//! Which route a request takes.

use super::auth::Access;
use super::metrics::{OTHER, Requests};
use super::route::{Method, Route, Service};
use axum::http::{HeaderValue, Method as Asked};
use std::ops::Range;

/// The routes of a service, and those of its document.
pub(super) struct Table<S: Service> {
    entries: Vec<Entry<S>>,
    /// The row of the metrics for what is no route.
    other: usize,
}

pub(super) struct Entry<S: Service> {
    pub(super) route: &'static Route<S>,
    /// The row of the metrics.
    pub(super) row: usize,
    pattern: Pattern,
}

/// A path, divided at its parameter.
#[derive(Debug, Clone, Copy)]
struct Pattern {
    before: &'static str,
    /// None where the path has no parameter.
    after: Option<&'static str>,
}

/// What a request asks for.
pub(super) enum RouteMatch<'a, S: Service> {
    /// A route, and where its parameter is in the path.
    Route(&'a Entry<S>, Range<usize>),
    /// A path without this method.
    OtherMethod { access: Access, allow: HeaderValue },
    /// Nothing that there is.
    Nothing,
}

impl Pattern {
    fn of(path: &'static str) -> Self {
        let divided = path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?.1)));
        let (before, after) = divided.map_or((path, None), |(before, after)| (before, Some(after)));
        Self { before, after }
    }

    /// Where the parameter is, if this is the path.
    fn find(self, path: &str) -> Option<Range<usize>> {
        let Some(after) = self.after else { return (path == self.before).then_some(0..0) };
        let parameter = path.strip_prefix(self.before)?.strip_suffix(after)?;
        let from = self.before.len();
        (!parameter.contains('/')).then_some(from..from + parameter.len())
    }
}

impl Method {
    fn of(method: &Asked) -> Option<Self> {
        match *method {
            Asked::GET | Asked::HEAD => Some(Self::Get),
            Asked::POST => Some(Self::Post),
            Asked::PUT => Some(Self::Put),
            Asked::DELETE => Some(Self::Delete),
            _ => None,
        }
    }

    /// As the header Allow has it.
    fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET,HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

impl Requests {
    /// Nothing was answered yet. In the order of the routes; the last rows are those of the document and of what is no
    /// route.
    #[must_use]
    pub fn of<S: Service>() -> Self {
        Self::named(S::ROUTES.iter().chain(Route::<S>::documents()).map(|route| route.name).chain([OTHER]))
    }
}

impl<S: Service> Table<S> {
    pub(super) fn new(requests: &Requests) -> Self {
        let entry =
            |route: &'static Route<S>| Entry { route, row: requests.row(route.name), pattern: Pattern::of(route.path) };
        Self { entries: S::ROUTES.iter().chain(Route::documents()).map(entry).collect(), other: requests.row(OTHER) }
    }

    /// A service has a handful of routes, and what comes most often is the first of them.
    pub(super) fn find(&self, method: &Asked, path: &str) -> RouteMatch<'_, S> {
        let asked = Method::of(method);
        for entry in self.entries.iter().filter(|entry| Some(entry.route.method) == asked) {
            if let Some(parameter) = entry.pattern.find(path) {
                return RouteMatch::Route(entry, parameter);
            }
        }
        self.other_methods(path)
    }

    fn other_methods(&self, path: &str) -> RouteMatch<'_, S> {
        let others = self.entries.iter().filter(|entry| entry.pattern.find(path).is_some());
        let routes: Vec<_> = others.map(|entry| entry.route).collect();
        if routes.is_empty() {
            return RouteMatch::Nothing;
        }
        // What is not known needs the token, except where nothing does.
        let open = routes.iter().all(|route| route.access == Access::Open);
        let mut methods = Vec::new();
        for method in routes.iter().map(|route| route.method.allowed()) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        // Names of methods are a header's value.
        let allow = HeaderValue::from_str(&methods.join(",")).unwrap_or(HeaderValue::from_static(""));
        RouteMatch::OtherMethod { access: if open { Access::Open } else { Access::Write }, allow }
    }

    pub(super) fn other(&self) -> usize {
        self.other
    }
}
