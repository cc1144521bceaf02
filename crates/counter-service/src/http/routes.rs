//! The routes of the service, each once.

use super::error::ErrorCode::{
    self, Busy, Full, InvalidAmount, InvalidId, InvalidIdempotencyKey, InvalidQuery, KeyReused, KeysNeedTheLog,
    NotReady, Overflow, Parked, Stopped, TimedOut, TooManyWatchers, Unavailable,
};
use super::state::State;
use super::{health, increment, read, watch};
use evenfold_http::auth::Access;
use evenfold_http::route::{HEALTHZ, Handler, Limit, Method, READYZ, Route};

/// Requests that are answered in a moment.
const IN_FLIGHT: Limit<State> = Limit::of(|state: &State| &state.inflight);

/// Watchers, who stay, have places of their own.
const WATCHERS: Limit<State> = Limit {
    places: |state| &state.watchers,
    full: || TooManyWatchers,
    message: "as many watch as may; try again later, or read the counter",
};

/// Of whatever takes a body.
const BODY: &[ErrorCode] = &[
    ErrorCode::MalformedJson,
    ErrorCode::IncompleteBody,
    ErrorCode::BodyTimeout,
    ErrorCode::TooLarge,
    ErrorCode::InvalidBody,
];

/// Of whatever asks the nodes.
const NODES: &[ErrorCode] = &[Busy, Unavailable, TimedOut, Stopped];

/// Of whatever is about one counter.
const COUNTER: &[ErrorCode] = &[InvalidId, Parked];

/// Of what has an answer, or a body, of some length.
const BYTES: &[ErrorCode] = &[ErrorCode::TooManyBytesInFlight];

/// Of increments alone.
const INCREMENT: &[ErrorCode] = &[InvalidIdempotencyKey, KeysNeedTheLog, InvalidAmount, Overflow, KeyReused, Full];

pub(super) const ROUTES: &[Route<State>] = &[
    Route {
        method: Method::Post,
        path: "/counter/{id}/increment",
        name: "increment",
        access: Access::Write,
        handler: Handler::Limited(&IN_FLIGHT, |call, place| Box::pin(increment::increment(call, place))),
        errors: &[COUNTER, BODY, INCREMENT, BYTES, NODES],
        documented: Some(increment::documented),
    },
    Route {
        method: Method::Get,
        path: "/counter/{id}",
        name: "read",
        access: Access::Read,
        handler: Handler::Limited(&IN_FLIGHT, |call, place| Box::pin(read::read(call, place))),
        errors: &[COUNTER, BYTES, NODES],
        documented: Some(read::read_documented),
    },
    Route {
        method: Method::Get,
        path: "/counters",
        name: "top",
        access: Access::Read,
        handler: Handler::Limited(&IN_FLIGHT, |call, place| Box::pin(read::top(call, place))),
        errors: &[&[InvalidQuery], BYTES, NODES],
        documented: Some(read::top_documented),
    },
    Route {
        method: Method::Get,
        path: "/counter/{id}/watch",
        name: "watch",
        access: Access::Read,
        handler: Handler::Limited(&WATCHERS, |call, place| Box::pin(watch::watch(call, place))),
        errors: &[COUNTER, NODES],
        documented: Some(watch::documented),
    },
    Route {
        method: Method::Get,
        path: HEALTHZ,
        name: "health",
        access: Access::Open,
        handler: Handler::Unlimited(|_| Box::pin(async { Ok(health::healthz()) })),
        errors: &[],
        documented: Some(health::healthz_documented),
    },
    Route {
        method: Method::Get,
        path: READYZ,
        name: "health",
        access: Access::Open,
        handler: Handler::Unlimited(|call| Box::pin(async move { health::readyz(&call.state) })),
        errors: &[&[NotReady]],
        documented: Some(health::readyz_documented),
    },
];
