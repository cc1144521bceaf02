//! What can go wrong with a request.

use evenfold_http::{error, error_codes};

error_codes! {
    /// What went wrong.
    pub enum ErrorCode {
        NotReady = 503, "what the process is for is not done now; the message says why";
    }
}

/// An answer that is an error.
pub(crate) type ApiError = error::ApiError<ErrorCode>;
