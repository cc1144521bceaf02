//! The routes of the service, each once.

use super::error::ErrorCode::{
    self, Busy, InvalidKey, InvalidPrecondition, InvalidQuery, InvalidShards, InvalidTtl, InvalidValue, Maintenance,
    NoRoom, NotANumber, NotFound, Overflow, PreconditionFailed, Stopped, TimedOut,
};
use super::state::State;
use super::{admin, batch, health, incr, kv, metrics};
use evenfold_http::auth::Access;
use evenfold_http::route::{HEALTHZ, Handler, Limit, Method, READYZ, Route};

/// Requests for keys.
const KEYS: Limit<State> = Limit::of(|state: &State| &state.inflight);

/// Apart from them: who looks after the service must see it, and be able to change it, when it is full.
const APART: Limit<State> = Limit::of(|state: &State| &state.apart);

/// Of whatever takes a body.
const BODY: &[ErrorCode] = &[
    ErrorCode::MalformedJson,
    ErrorCode::IncompleteBody,
    ErrorCode::BodyTimeout,
    ErrorCode::TooLarge,
    ErrorCode::InvalidBody,
];

/// Of whatever changes entries.
const CHANGE: &[ErrorCode] =
    &[InvalidKey, InvalidValue, InvalidTtl, Busy, Maintenance, Stopped, TimedOut, NoRoom, ErrorCode::Internal];

/// Of changes of one key.
const ONE_KEY: &[ErrorCode] = &[InvalidPrecondition, NotFound, PreconditionFailed];

/// Of counting, and of the number of shards.
const NUMBERS: &[ErrorCode] = &[NotANumber, Overflow, InvalidShards];

/// Of what has an answer, or a body, of some length.
const BYTES: &[ErrorCode] = &[ErrorCode::TooManyBytesInFlight];

pub(super) const ROUTES: &[Route<State>] = &[
    Route {
        method: Method::Get,
        path: "/v1/kv/{key}",
        name: "get",
        access: Access::Read,
        handler: Handler::Immediate(&KEYS, kv::get),
        errors: &[&[InvalidKey, InvalidQuery, NotFound], BYTES],
        documented: Some(kv::get_documented),
    },
    Route {
        method: Method::Put,
        path: "/v1/kv/{key}",
        name: "put",
        access: Access::Write,
        handler: Handler::Limited(&KEYS, |call, place| Box::pin(kv::put(call, place))),
        errors: &[BODY, CHANGE, ONE_KEY, BYTES],
        documented: Some(kv::put_documented),
    },
    Route {
        method: Method::Delete,
        path: "/v1/kv/{key}",
        name: "delete",
        access: Access::Write,
        handler: Handler::Limited(&KEYS, |call, place| Box::pin(kv::delete(call, place))),
        errors: &[BODY, CHANGE, ONE_KEY, BYTES],
        documented: Some(kv::delete_documented),
    },
    // A key may have this name too: other methods are about that key.
    Route {
        method: Method::Post,
        path: "/v1/kv/incr",
        name: "incr",
        access: Access::Write,
        handler: Handler::Limited(&KEYS, |call, place| Box::pin(incr::incr(call, place))),
        errors: &[BODY, CHANGE, NUMBERS, BYTES],
        documented: Some(incr::documented),
    },
    Route {
        method: Method::Post,
        path: "/v1/kv/batch/get",
        name: "batch_get",
        access: Access::Read,
        handler: Handler::Limited(&KEYS, |call, place| Box::pin(batch::get(call, place))),
        errors: &[BODY, CHANGE, NUMBERS, BYTES, &[InvalidQuery, ErrorCode::ForeignOrigin]],
        documented: Some(batch::get_documented),
    },
    Route {
        method: Method::Post,
        path: "/v1/kv/batch/set",
        name: "batch_set",
        access: Access::Write,
        handler: Handler::Limited(&KEYS, |call, place| Box::pin(batch::set(call, place))),
        errors: &[BODY, CHANGE, NUMBERS, BYTES],
        documented: Some(batch::set_documented),
    },
    Route {
        method: Method::Post,
        path: "/v1/kv/batch/delete",
        name: "batch_delete",
        access: Access::Write,
        handler: Handler::Limited(&KEYS, |call, place| Box::pin(batch::delete(call, place))),
        errors: &[BODY, CHANGE, NUMBERS, BYTES],
        documented: Some(batch::delete_documented),
    },
    Route {
        method: Method::Post,
        path: "/v1/admin/resize",
        name: "admin",
        access: Access::Write,
        handler: Handler::Limited(&APART, |call, place| Box::pin(admin::resize(call, place))),
        errors: &[BODY, CHANGE, NUMBERS, BYTES],
        documented: Some(admin::resize_documented),
    },
    Route {
        method: Method::Post,
        path: "/v1/admin/drain",
        name: "admin",
        access: Access::Write,
        handler: Handler::Limited(&APART, |call, place| Box::pin(admin::drain(call, place))),
        errors: &[],
        documented: Some(admin::drain_documented),
    },
    Route {
        method: Method::Post,
        path: "/v1/admin/resume",
        name: "admin",
        access: Access::Write,
        handler: Handler::Limited(&APART, |call, place| Box::pin(async move { Ok(admin::resume(&call.state, place)) })),
        errors: &[],
        documented: Some(admin::resume_documented),
    },
    Route {
        method: Method::Get,
        path: HEALTHZ,
        name: "watch",
        access: Access::Open,
        handler: Handler::Unlimited(|call| Box::pin(async move { Ok(health::healthz(&call.state).await) })),
        errors: &[],
        documented: Some(health::healthz_documented),
    },
    Route {
        method: Method::Get,
        path: READYZ,
        name: "watch",
        access: Access::Open,
        handler: Handler::Unlimited(|call| Box::pin(async move { health::readyz(&call.state) })),
        errors: &[&[Maintenance]],
        documented: Some(health::readyz_documented),
    },
    Route {
        method: Method::Get,
        path: "/metrics",
        name: "metrics",
        access: Access::Open,
        handler: Handler::Limited(&APART, |call, place| {
            Box::pin(async move { metrics::metrics(&call.state, call.head.headers(), place) })
        }),
        errors: &[BYTES],
        documented: Some(metrics::documented),
    },
];
