//! What an operator does to a parked aggregate. It is written down before anything is done, and what became of it
//! after that.

use super::assets;
use super::error::{PageError, PageErrorCode, away};
use super::parked::{PATIENCE, connect, in_time};
use super::state::PageState;
use crate::operator::{ParkedKey, WhatToDo};
use axum::body::Body;
use axum::http::Response;
use evenfold::checkpoint::{NewOperation, begin_operation, cause_of, finish_operation};
use evenfold::database::describe;
use evenfold::event::Aggregate;
use evenfold::number::Position;
use evenfold_http::body;
use evenfold_http::inflight::Place;
use evenfold_http::route::Call;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// The longest body: an id may have a kilobyte, each byte of which can be escaped.
const MAX_BODY: usize = 32 * 1024;

/// The longest name of an operator.
const MAX_NAME: usize = 200;

/// What is to be done to which aggregate, and who says so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    projection: String,
    aggregate_type: String,
    aggregate_id: String,
    /// The event that whoever asks has seen.
    position: i64,
    who: String,
}

pub(super) async fn operate(
    call: Call<PageState>,
    mut place: Place,
    asked: WhatToDo,
) -> Result<Response<Body>, PageError> {
    let state = call.state;
    if !state.shown.token {
        let message = "this monitor changes nothing: start it with API_TOKEN to retry and drop here, or use `evenfold \
                       parked retry` and `evenfold parked drop`";
        return Err(PageError::new(PageErrorCode::ReadOnly, message));
    }
    let body = body::read(call.body, MAX_BODY, PATIENCE, &mut place).await?;
    let request: Request = body::parse(&body)?;
    let request = checked(request)?;
    if !state.shown.projections.contains(&request.projection) {
        let message = format!(
            "the program that serves this page does not have the projection {}: use `parked {}` of the program that has it",
            request.projection,
            asked.name()
        );
        return Err(PageError::new(PageErrorCode::NotHere, message));
    }
    // In a task of its own: whoever asks may go away, and what was begun is written down to its end.
    let done = tokio::spawn(run(Arc::clone(&state), asked, request)).await;
    state.operated.notify_one();
    let failed = |_| PageError::new(PageErrorCode::Internal, "a defect; the log says more");
    let outcome = done.map_err(failed)??;
    Ok(assets::json(json!({ "outcome": outcome }).to_string().into_bytes()))
}

fn checked(mut request: Request) -> Result<Request, PageError> {
    let invalid = |message: String| PageError::new(PageErrorCode::InvalidBody, message);
    request.who = request.who.trim().to_owned();
    let too_long = request.who.chars().count() > MAX_NAME;
    if request.who.is_empty() || too_long || request.who.chars().any(char::is_control) {
        return Err(invalid(format!(
            "who is the name of the operator: 1 to {MAX_NAME} characters, none of them a control character"
        )));
    }
    let texts = [&request.projection, &request.aggregate_type, &request.aggregate_id];
    if texts.iter().any(|text| text.contains('\0')) {
        return Err(invalid("PostgreSQL has no texts with the character 0".to_owned()));
    }
    Ok(request)
}

async fn run(state: Arc<PageState>, asked: WhatToDo, request: Request) -> Result<String, PageError> {
    let Request { projection, aggregate_type, aggregate_id, position, who } = request;
    let schema = state.database.schema();
    let key = ParkedKey { projection, aggregate_type, aggregate_id };
    let begin = async {
        let mut conn = connect(&state).await?;
        check_seen(&state, &mut conn, &key, position).await?;
        let operation = NewOperation {
            who: &who,
            what: asked.name(),
            projection: &key.projection,
            aggregate_type: &key.aggregate_type,
            aggregate_id: &key.aggregate_id,
        };
        let begun = begin_operation(schema, &mut conn, &operation).await;
        begun.map(|number| (number, conn)).map_err(|error| unwritten(&error))
    };
    let (number, mut conn) = in_time(begin).await?;
    tracing::info!(operator = %who, projection = %key.projection, aggregate_type = %key.aggregate_type,
        aggregate_id = %key.aggregate_id, "{} of a parked aggregate", asked.name());
    let done = state.operator.act(asked, key).await;
    let outcome = match &done {
        Ok(outcome) => outcome.clone(),
        Err(why) => format!("not done: {why}"),
    };
    if let Err(error) = finish_operation(schema, &mut conn, number, &outcome).await {
        tracing::error!(operation = number, outcome, "what became of it could not be written down: {error}");
    }
    done.map_err(|why| PageError::new(PageErrorCode::NotDone, why))
}

/// Nothing is done to another event than the one that whoever asks has seen.
async fn check_seen(
    state: &PageState,
    conn: &mut sqlx::PgConnection,
    key: &ParkedKey,
    position: i64,
) -> Result<(), PageError> {
    let aggregate = Aggregate { aggregate_type: key.aggregate_type.clone(), aggregate_id: key.aggregate_id.clone() };
    let cause = cause_of(state.database.schema(), conn, &key.projection, &aggregate).await;
    let found = cause.map_err(|error| away(describe(&error)))? == Some(Position::new(position));
    let message = "it is not parked at that event any more: load the list again";
    if found { Ok(()) } else { Err(PageError::new(PageErrorCode::NotParked, message)) }
}

/// Where nothing can be written down, nothing is done.
fn unwritten(error: &sqlx::Error) -> PageError {
    let why = describe(error);
    PageError::new(PageErrorCode::NotDone, format!("nothing was done, because it can't be written down: {why}"))
}
