//! What a request is about, as far as it decides who may ask, what is limited, and what is counted.

use axum::http::Method;
use evenfold_http::auth::Access;

/// Before the name of a counter.
const COUNTER: &str = "/counter/";

/// The kinds of requests. Each is a row of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Increment,
    Read,
    Top,
    Watch,
    Health,
    Docs,
    Other,
}

impl Route {
    pub(super) const ALL: [Self; 7] =
        [Self::Increment, Self::Read, Self::Top, Self::Watch, Self::Health, Self::Docs, Self::Other];

    pub(super) fn of(method: &Method, path: &str) -> Self {
        let reads = method == Method::GET || method == Method::HEAD;
        if let Some(rest) = path.strip_prefix(COUNTER) {
            return match rest.split_once('/') {
                None if reads => Self::Read,
                Some((_, "increment")) if method == Method::POST => Self::Increment,
                Some((_, "watch")) if reads => Self::Watch,
                _ => Self::Other,
            };
        }
        match path {
            "/counters" if reads => Self::Top,
            "/healthz" | "/readyz" => Self::Health,
            "/" | "/docs" | "/docs/openapi.json" => Self::Docs,
            _ => Self::Other,
        }
    }

    /// What is not known needs the token.
    pub(super) fn access(self) -> Access {
        match self {
            Self::Health | Self::Docs => Access::Open,
            Self::Read | Self::Top | Self::Watch => Access::Read,
            Self::Increment | Self::Other => Access::Write,
        }
    }

    /// Whether it counts among the requests in flight: who looks after the service must see it when it is full, and a
    /// watcher, who stays, has a place among the watchers.
    pub(super) fn limited(self) -> bool {
        matches!(self, Self::Increment | Self::Read | Self::Top | Self::Other)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Increment => "increment",
            Self::Read => "read",
            Self::Top => "top",
            Self::Watch => "watch",
            Self::Health => "health",
            Self::Docs => "docs",
            Self::Other => "other",
        }
    }
}

/// The name of the counter that a path is about, as it is encoded.
pub(super) fn encoded_id(path: &str) -> &str {
    let rest = path.strip_prefix(COUNTER).unwrap_or_default();
    rest.split_once('/').map_or(rest, |(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_may_be_named_like_an_operation() {
        for (method, path, route, id) in [
            (Method::POST, "/counter/increment/increment", Route::Increment, "increment"),
            (Method::GET, "/counter/increment", Route::Read, "increment"),
            (Method::HEAD, "/counter/watch", Route::Read, "watch"),
            (Method::GET, "/counter/a%2Fwatch/watch", Route::Watch, "a%2Fwatch"),
            (Method::GET, "/counter/", Route::Read, ""),
            (Method::POST, "/counter//increment", Route::Increment, ""),
            (Method::GET, "/counter/a/increment", Route::Other, "a"),
            (Method::POST, "/counter/a", Route::Other, "a"),
            (Method::POST, "/counter/a/b/increment", Route::Other, "a"),
        ] {
            assert_eq!((Route::of(&method, path), encoded_id(path)), (route, id), "{method} {path}");
        }
    }

    #[test]
    fn each_route_has_its_own_row() {
        for (at, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, at);
        }
    }
}
