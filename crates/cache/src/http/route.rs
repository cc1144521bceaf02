//! What a request is about, as far as it decides who may ask, what is limited, and what is counted.

use axum::http::Method;
use evenfold_http::auth::Access;

/// Before the key of an entry.
pub(super) const KV: &str = "/v1/kv/";

/// The kinds of requests. Each is a row of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Get,
    Put,
    Delete,
    Incr,
    BatchGet,
    BatchSet,
    BatchDelete,
    Admin,
    Watch,
    Metrics,
    Docs,
    Other,
}

/// Where a request has its place while it is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Among the requests for keys.
    Keys,
    /// Apart from them: who looks after the service must see it, and be able to change it, when it is full.
    Apart,
    /// Nowhere: probes are answered whatever there is, and documents are in memory once for all.
    Unlimited,
}

impl Route {
    pub(super) const ALL: [Self; 12] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::Incr,
        Self::BatchGet,
        Self::BatchSet,
        Self::BatchDelete,
        Self::Admin,
        Self::Watch,
        Self::Metrics,
        Self::Docs,
        Self::Other,
    ];

    pub(super) fn of(method: &Method, path: &str) -> Self {
        if let Some(rest) = path.strip_prefix(KV) {
            return match rest {
                "batch/get" => Self::BatchGet,
                "batch/set" => Self::BatchSet,
                "batch/delete" => Self::BatchDelete,
                "incr" if method == Method::POST => Self::Incr,
                _ if method == Method::GET || method == Method::HEAD => Self::Get,
                _ if method == Method::PUT => Self::Put,
                _ if method == Method::DELETE => Self::Delete,
                _ => Self::Other,
            };
        }
        match path {
            "/healthz" | "/readyz" => Self::Watch,
            "/metrics" => Self::Metrics,
            "/" | "/docs" | "/docs/openapi.json" => Self::Docs,
            _ if path.starts_with("/v1/admin/") => Self::Admin,
            _ => Self::Other,
        }
    }

    /// What is not known needs the token.
    pub(super) fn access(self) -> Access {
        match self {
            Self::Watch | Self::Metrics | Self::Docs => Access::Open,
            Self::Get | Self::BatchGet => Access::Read,
            Self::Put | Self::Delete | Self::Incr | Self::BatchSet | Self::BatchDelete | Self::Admin | Self::Other => {
                Access::Write
            }
        }
    }

    pub(super) fn room(self) -> Room {
        match self {
            Self::Watch | Self::Docs => Room::Unlimited,
            Self::Metrics | Self::Admin => Room::Apart,
            Self::Get
            | Self::Put
            | Self::Delete
            | Self::Incr
            | Self::BatchGet
            | Self::BatchSet
            | Self::BatchDelete
            | Self::Other => Room::Keys,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Incr => "incr",
            Self::BatchGet => "batch_get",
            Self::BatchSet => "batch_set",
            Self::BatchDelete => "batch_delete",
            Self::Admin => "admin",
            Self::Watch => "watch",
            Self::Metrics => "metrics",
            Self::Docs => "docs",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_named_like_an_operation() {
        assert_eq!(Route::of(&Method::POST, "/v1/kv/incr"), Route::Incr);
        assert_eq!(Route::of(&Method::GET, "/v1/kv/incr"), Route::Get);
        assert_eq!(Route::of(&Method::PUT, "/v1/kv/batch"), Route::Put);
        assert_eq!(Route::of(&Method::HEAD, "/v1/kv/a"), Route::Get);
    }

    #[test]
    fn only_reads_and_looking_on_need_no_token() {
        let open = [(Method::GET, "/healthz"), (Method::GET, "/docs/openapi.json")];
        let write = [(Method::POST, "/v1/kv/a"), (Method::POST, "/v1/admin/drain"), (Method::GET, "/v2/kv/a")];
        assert!(open.iter().all(|(method, path)| Route::of(method, path).access() == Access::Open));
        assert!(write.iter().all(|(method, path)| Route::of(method, path).access() == Access::Write));
    }

    #[test]
    fn each_route_has_its_own_row() {
        for (at, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, at);
        }
    }
}
