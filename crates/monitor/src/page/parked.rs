//! What is parked, and why; what an event contains only when that is asked for.

use super::assets;
use super::error::{PageError, PageErrorCode, away};
use super::query::one;
use super::state::PageState;
use axum::body::Body;
use axum::http::Response;
use evenfold::checkpoint::{FoldedLog, list_parked, log_of, parked_payload};
use evenfold::database::describe;
use evenfold::number::Position;
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use serde_json::json;
use sqlx::PgConnection;
use std::time::Duration;

/// How long the database may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// So many aggregates are listed.
const LISTED: i64 = 100;

/// So many characters of a payload are shown.
const SHOWN: i32 = 65_536;

/// A connection to tables that have been checked.
pub(super) async fn connect(state: &PageState) -> Result<PgConnection, PageError> {
    state.database.connect().await.map_err(away)
}

/// Asks the database, for so long and no longer.
pub(super) async fn in_time<T>(asking: impl Future<Output = Result<T, PageError>>) -> Result<T, PageError> {
    let timed_out = |_| away(format!("it has not answered in {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, asking).await.map_err(timed_out)?
}

pub(super) async fn list(call: Call<PageState>, _place: Place) -> Result<Response<Body>, PageError> {
    let projection = one(call.head.query(), "projection")?;
    let state = &call.state;
    let listing = async {
        let mut conn = connect(state).await?;
        let parked = list_parked(state.database.schema(), &mut conn, &projection, LISTED).await;
        parked.map_err(|error| away(describe(&error)))
    };
    let parked = in_time(listing).await?;
    Ok(assets::json(json!({ "parked": parked }).to_string().into_bytes()))
}

pub(super) async fn payload(call: Call<PageState>, _place: Place) -> Result<Response<Body>, PageError> {
    if !call.state.payloads {
        let message = "other machines reach this monitor, and it has no token: start it with API_TOKEN, or on 127.0.0.1, \
                       to see what events contain";
        return Err(PageError::new(PageErrorCode::ReadOnly, message));
    }
    let query = call.head.query();
    let (projection, position) = (one(query, "projection")?, one(query, "position")?);
    let number = position.parse::<i64>().map_err(|_| {
        PageError::new(PageErrorCode::InvalidQuery, "position is the number of an event's position".to_owned())
    })?;
    let state = &call.state;
    let reading = async {
        let mut conn = connect(state).await?;
        let schema = state.database.schema();
        let log = log_of(schema, &mut conn, &projection).await.map_err(|error| away(describe(&error)))?;
        if let Some(FoldedLog::Other(log)) = log {
            let message = format!("the event is in the log {log}, which others write: read it there");
            return Err(PageError::new(PageErrorCode::NotHere, message));
        }
        let found = parked_payload(schema, &mut conn, &projection, Position::new(number), SHOWN).await;
        found.map_err(|error| away(describe(&error)))
    };
    let message = "the event is not parked any more: load the list again";
    let found = in_time(reading).await?.ok_or_else(|| PageError::new(PageErrorCode::NotParked, message))?;
    Ok(assets::json(json!(found).to_string().into_bytes()))
}
