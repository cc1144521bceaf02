//! What is cached: kept so that a reader shares it, and gets to send it as it is.

use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A value. Clones are cheap: they share the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, without quotes and escapes.
    String(Arc<str>),
    /// A JSON number.
    Number(Number),
    /// true or false.
    Bool(bool),
    /// Any other JSON: an object, an array, or null.
    Json(Json),
    /// Bytes that mean nothing to the cache.
    Bytes(Arc<[u8]>),
}

/// A text that was to be JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value is not JSON: {0}; send one JSON value, or the bytes as they are")]
pub struct NotJson(String);

impl Value {
    /// The value that a JSON text stands for.
    ///
    /// # Errors
    ///
    /// [`NotJson`], with the place.
    pub fn from_json(text: &str) -> Result<Self, NotJson> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| NotJson(error.to_string()))?;
        Self::from_raw(raw)
    }

    /// The value that a JSON text stands for, which has been read as JSON already.
    ///
    /// # Errors
    ///
    /// [`NotJson`] for a string that has half of a surrogate pair, which is no text.
    pub fn from_raw(raw: &RawValue) -> Result<Self, NotJson> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'"') => {
                let text: Cow<'_, str> = serde_json::from_str(text).map_err(|error| NotJson(error.to_string()))?;
                Self::String(text.into())
            }
            Some(b'-' | b'0'..=b'9') => Self::Number(Number::of(text)),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            _ => Self::Json(Json(text.into())),
        })
    }

    /// The value as JSON text; none for [bytes](Value::Bytes), which JSON has no form for.
    #[must_use]
    pub fn to_json(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::String(text) => serde_json::Value::from(&**text).to_string().into(),
            Self::Number(number) => number.text(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Json(json) => json.0.as_ref().into(),
            Self::Bytes(_) => return None,
        })
    }

    /// How many bytes it has: a string in UTF-8 without quotes, anything else as it is sent.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::String(text) => text.len(),
            Self::Number(number) => number.text().len(),
            Self::Bool(true) => 4,
            Self::Bool(false) => 5,
            Self::Json(json) => json.0.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes: an empty string, or no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// A JSON number, with every digit it came with.
#[derive(Clone, PartialEq, Eq)]
pub struct Number(Digits);

/// Whole numbers of 64 bits are most, and need no allocation. Every number has one form only: text that is how an `i64`
/// would be written is an `i64`.
#[derive(Clone, PartialEq, Eq)]
enum Digits {
    Whole(i64),
    Text(Arc<str>),
}

impl Number {
    fn of(json: &str) -> Self {
        match json.parse::<i64>() {
            // "-0" is JSON and parses, and is written differently.
            Ok(number) if json != "-0" => Self(Digits::Whole(number)),
            _ => Self(Digits::Text(json.into())),
        }
    }

    /// The number, if it is whole, has 64 bits, and is written without fraction and exponent.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Digits::Whole(number) => Some(*number),
            Digits::Text(text) => text.parse().ok(),
        }
    }

    /// The number as it was written.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Digits::Whole(number) => number.to_string().into(),
            Digits::Text(text) => text.as_ref().into(),
        }
    }

    /// How many bytes of its own it has on the heap; none if it has no allocation.
    pub(super) fn heap_bytes(&self) -> Option<usize> {
        match &self.0 {
            Digits::Whole(_) => None,
            Digits::Text(text) => Some(text.len()),
        }
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self(Digits::Whole(number))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// JSON text, of which is known that it is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(pub(super) Arc<str>);

impl Json {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_comes_back_with_every_digit_and_in_its_kind() {
        let cases =
            ["0", "-0", "1.50", "1e400", "-12", "9223372036854775808", "true", "false", "null", "{\"a\": 1 }", "[]"];
        for text in cases {
            let value = Value::from_json(&format!("  {text}\n")).unwrap();
            assert_eq!(value.to_json().unwrap(), text);
            assert_eq!(value.len(), text.len());
        }
        assert_eq!(Value::from_json("\"a\\u00e9\\n\""), Ok(Value::from("aé\n")));
        assert_eq!(Value::from("a\"\n").to_json().unwrap(), "\"a\\\"\\n\"");
        assert_eq!(Value::from(&b"x"[..]).to_json(), None);
    }

    #[test]
    fn only_whole_numbers_of_64_bits_count() {
        let count = |text| Number::of(text).as_i64();
        assert_eq!(count("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(count("-0"), Some(0));
        for text in ["9223372036854775808", "1.0", "1e3"] {
            assert_eq!(count(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_json_is_refused_in_one_sentence() {
        for text in ["", "nul", "{", "1 2", "\"\\ud800\"", "01"] {
            let error = Value::from_json(text).unwrap_err().to_string();
            assert!(error.contains("send one JSON value") && !error.contains('\n'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_json(text: String) {
            let value = Value::from(text.as_str());
            prop_assert_eq!(Value::from_json(&value.to_json().unwrap()), Ok(value));
        }
    }
}
