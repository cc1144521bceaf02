//! The types of values, as JSON has them.

use crate::Value;
use serde::Deserialize;
use utoipa::ToSchema;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    String,
    Number,
    Boolean,
    Json,
    Base64,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Json => "json",
            Self::Base64 => "base64",
        }
    }

    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::String,
            Value::Number(_) => Self::Number,
            Value::Bool(_) => Self::Boolean,
            Value::Json(_) => Self::Json,
            Value::Bytes(_) => Self::Base64,
        }
    }
}
