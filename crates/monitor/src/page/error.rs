//! What can go wrong with a request of the page.

use evenfold_http::{error, error_codes};

error_codes! {
    /// What went wrong, for programs. There are no others.
    pub enum PageErrorCode {
        InvalidQuery = 400, "the query can't be followed";
        ReadOnly = 403, "the monitor has no token: it changes nothing, and shows other machines nothing of what events contain";
        NotHere = 409, "the program does not have the code of the projection";
        NotParked = 404, "nothing of that is parked";
        NotDone = 409, "it was not done; the message says why";
        TooManyWatchers = 503, "as many pages watch as may";
        DatabaseAway = 503, "the database can't be asked now";
    }
}

/// An answer that is an error.
pub(super) type PageError = error::ApiError<PageErrorCode>;

/// The database could not be asked.
pub(super) fn away(why: impl std::fmt::Display) -> PageError {
    PageError::new(PageErrorCode::DatabaseAway, format!("the database can't be asked now: {why}"))
}
