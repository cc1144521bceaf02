//! Codes of errors. Each is declared once, with its status and its sentence; those of every service are declared here.

use axum::http::StatusCode;
use serde::Serialize;
use std::fmt;
use utoipa::ToSchema;

/// The codes of a service, declared by [`error_codes!`](crate::error_codes).
pub trait Code: Copy + Eq + fmt::Debug + Serialize + ToSchema + Send + Sync + 'static {
    /// The service's code for what can go wrong in every service.
    fn general(code: General) -> Self;

    /// The status of its answers.
    fn status(self) -> StatusCode;

    /// What has happened, for the document: without a capital letter and a full stop.
    fn sentence(self) -> &'static str;
}

/// How a code is written.
pub(crate) fn name<C: Code>(code: C) -> String {
    // A unit variant: it is written as a text.
    serde_json::to_value(code).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Declares the codes of a service: an enum with a variant for each of these, and for each that all services have.
///
/// A code is declared as `Name = status, "what has happened";`. The status decides which headers an answer has: 401
/// comes with the challenge, 503 with Retry-After, and after 408 the connection is closed.
///
/// The crate that declares them depends on serde and utoipa.
#[macro_export]
macro_rules! error_codes {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($own:ident = $status:literal, $sentence:literal;)* }) => {
        $crate::declared_codes! {
            [$(#[$meta])* $vis enum $name]
            [$($own = $status, $sentence;)*]
            [
                MalformedJson = 400, "the body is not JSON";
                IncompleteBody = 400, "the body broke off";
                Unauthorized = 401, "the token is missing, or is another one";
                ForeignOrigin = 403, "a page of another site asks for a change, of a service that has no token";
                UnknownPath = 404, "there is no such path";
                MethodNotAllowed = 405, "the path does not have this method";
                BodyTimeout = 408, "the body did not come in time";
                TooLarge = 413, "the body, or what would be answered, is too large";
                MisdirectedRequest = 421, "the service does not answer to the name that the header Host has";
                InvalidBody = 422, "the body is JSON, but not what this path takes";
                Internal = 500, "a defect; the log says more";
                TooManyInFlight = 503, "too many requests are in flight; nothing was done";
                TooManyBytesInFlight = 503, "the requests and answers in flight have as many bytes as they may; nothing was done";
                TooManyConnections = 503, "as many connections are open as may; nothing was done";
            ]
        }
    };
}

/// What [`error_codes!`](crate::error_codes) makes of the codes of a service and those of all.
#[doc(hidden)]
#[macro_export]
macro_rules! declared_codes {
    (
        [$(#[$meta:meta])* $vis:vis enum $name:ident]
        [$($own:ident = $own_status:literal, $own_sentence:literal;)*]
        [$($general:ident = $general_status:literal, $general_sentence:literal;)*]
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize, ::utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        $vis enum $name {
            $(#[doc = concat!(stringify!($own_status), ": ", $own_sentence, ".")] $own,)*
            $(#[doc = concat!(stringify!($general_status), ": ", $general_sentence, ".")] $general,)*
        }

        const _: () = {
            $(assert!($crate::codes::is_error($own_status));)*
            $(assert!($crate::codes::is_error($general_status));)*
        };

        impl $name {
            /// The status of its answers.
            #[must_use]
            $vis fn status(self) -> $crate::codes::Status {
                $crate::codes::Code::status(self)
            }
        }

        impl $crate::codes::Code for $name {
            fn general(code: $crate::codes::General) -> Self {
                match code {
                    $($crate::codes::General::$general => Self::$general,)*
                }
            }

            fn status(self) -> $crate::codes::Status {
                let status = match self {
                    $(Self::$own => $own_status,)*
                    $(Self::$general => $general_status,)*
                };
                // Checked above, for each of them.
                $crate::codes::Status::from_u16(status).unwrap_or($crate::codes::Status::INTERNAL_SERVER_ERROR)
            }

            fn sentence(self) -> &'static str {
                match self {
                    $(Self::$own => $own_sentence,)*
                    $(Self::$general => $general_sentence,)*
                }
            }
        }
    };
}

/// The statuses, for what the macro makes.
#[doc(hidden)]
pub use axum::http::StatusCode as Status;

/// Whether a status is that of an error.
#[doc(hidden)]
#[must_use]
pub const fn is_error(status: u16) -> bool {
    400 <= status && status < 600
}

error_codes! {
    /// What can go wrong in every service.
    pub enum General {}
}
