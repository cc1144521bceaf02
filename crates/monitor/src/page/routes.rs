//! The routes of the page, each once.

use super::error::PageErrorCode::{
    self, DatabaseAway, InvalidQuery, NotDone, NotHere, NotParked, ReadOnly, TooManyWatchers,
};
use super::state::PageState;
use super::{assets, operate, parked, watch};
use crate::operator::WhatToDo;
use evenfold_http::auth::Access;
use evenfold_http::route::{Handler, Limit, Method, Route};

/// Requests that are answered in a moment.
const IN_FLIGHT: Limit<PageState> = Limit::of(|state: &PageState| &state.inflight);

/// Watchers, who stay, have places of their own.
const WATCHERS: Limit<PageState> = Limit {
    places: |state| &state.watchers,
    full: || TooManyWatchers,
    message: "as many pages watch as may; close one, then load this one again",
};

/// Of what changes something.
const CHANGES: &[PageErrorCode] = &[
    ReadOnly,
    NotHere,
    NotParked,
    NotDone,
    DatabaseAway,
    PageErrorCode::MalformedJson,
    PageErrorCode::IncompleteBody,
    PageErrorCode::BodyTimeout,
    PageErrorCode::TooLarge,
    PageErrorCode::InvalidBody,
    PageErrorCode::TooManyBytesInFlight,
];

/// Of what is read.
const READ: &[PageErrorCode] = &[InvalidQuery, NotParked, NotHere, DatabaseAway];

const fn get(path: &'static str, access: Access, handler: Handler<PageState>) -> Route<PageState> {
    Route { method: Method::Get, path, name: "page", access, handler, errors: &[READ], documented: None }
}

const fn post(path: &'static str, handler: Handler<PageState>) -> Route<PageState> {
    let (method, access) = (Method::Post, Access::Write);
    Route { method, path, name: "operate", access, handler, errors: &[CHANGES], documented: None }
}

pub(super) const ROUTES: &[Route<PageState>] = &[
    get("/", Access::Read, Handler::Immediate(&IN_FLIGHT, |call, _| Ok(assets::page(&watch::now(&call.state))))),
    get("/page.css", Access::Open, Handler::Immediate(&IN_FLIGHT, |_, _| Ok(assets::style()))),
    get("/page.js", Access::Open, Handler::Immediate(&IN_FLIGHT, |_, _| Ok(assets::script()))),
    get(
        "/v1/projections",
        Access::Read,
        Handler::Immediate(&IN_FLIGHT, |call, _| Ok(assets::json(watch::now(&call.state)))),
    ),
    get(
        "/v1/watch",
        Access::Read,
        Handler::Limited(&WATCHERS, |call, place| Box::pin(async { Ok(watch::watch(call, place)) })),
    ),
    get("/v1/history", Access::Read, Handler::Immediate(&IN_FLIGHT, |call, _| watch::history(call))),
    get("/v1/parked", Access::Read, Handler::Limited(&IN_FLIGHT, |call, place| Box::pin(parked::list(call, place)))),
    // What events contain is not for everybody who may see how projections stand.
    Route {
        errors: &[READ, &[ReadOnly]],
        ..get(
            "/v1/parked/payload",
            Access::Write,
            Handler::Limited(&IN_FLIGHT, |call, place| Box::pin(parked::payload(call, place))),
        )
    },
    post(
        "/v1/parked/retry",
        Handler::Limited(&IN_FLIGHT, |call, place| Box::pin(operate::operate(call, place, WhatToDo::Retry))),
    ),
    post(
        "/v1/parked/drop",
        Handler::Limited(&IN_FLIGHT, |call, place| Box::pin(operate::operate(call, place, WhatToDo::Drop))),
    ),
];
