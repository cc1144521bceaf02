//! The integer at a JSON pointer, found without building the document.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::str::FromStr;

/// Which part of a payload is the amount: a JSON pointer (RFC 6901), such as `/amount` or `/lines/0/quantity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmountPointer {
    parts: Vec<String>,
}

/// A text that is not a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a JSON pointer: start each part with a slash, as in /amount, and write ~0 for ~ and ~1 for /")]
pub struct BadPointer(String);

/// An amount that can't be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAmount {
    /// Something else than an integer is at the pointer.
    #[error("the amount is {0}, not an integer")]
    NotAnInteger(&'static str),
    /// The integer is outside the range of 64 bits with a sign.
    #[error("the amount does not fit into 64 bits")]
    TooLarge,
    /// The payload does not parse.
    #[error("the payload does not parse: {0}")]
    Payload(String),
}

impl AmountPointer {
    /// The integer at the pointer; 1 where there is none (or null).
    ///
    /// # Errors
    ///
    /// See [`BadAmount`].
    pub fn amount(&self, payload: &str) -> Result<i64, BadAmount> {
        let mut json = serde_json::Deserializer::from_str(payload);
        let found = At(&self.parts).deserialize(&mut json).map_err(|e| BadAmount::Payload(e.to_string()))?;
        json.end().map_err(|e| BadAmount::Payload(e.to_string()))?;
        match found {
            Found::Nothing => Ok(1),
            Found::Integer(amount) => Ok(amount),
            Found::TooLarge => Err(BadAmount::TooLarge),
            Found::Other(what) => Err(BadAmount::NotAnInteger(what)),
        }
    }

    /// The parts of the pointer, unescaped.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.parts
    }
}

impl Default for AmountPointer {
    /// `/amount`
    fn default() -> Self {
        Self { parts: vec!["amount".to_owned()] }
    }
}

impl FromStr for AmountPointer {
    type Err = BadPointer;

    fn from_str(text: &str) -> Result<Self, BadPointer> {
        let bad = || BadPointer(text.to_owned());
        let mut parts = text.split('/');
        // The part before the first slash must be empty; the empty pointer is the whole payload.
        if parts.next() != Some("") {
            return Err(bad());
        }
        let unescape = |part: &str| {
            let valid = part.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
            valid.then(|| part.replace("~1", "/").replace("~0", "~")).ok_or_else(bad)
        };
        Ok(Self { parts: parts.map(unescape).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for AmountPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| write!(f, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}

#[derive(Clone, Copy)]
enum Found {
    Nothing,
    Integer(i64),
    TooLarge,
    Other(&'static str),
}

/// What is at the rest of a pointer, below the value that is being parsed.
#[derive(Clone, Copy)]
struct At<'p>(&'p [String]);

impl At<'_> {
    /// A scalar: the amount if the pointer ends here, nothing if it leads further.
    fn scalar(self, found: Found) -> Found {
        if self.0.is_empty() { found } else { Found::Nothing }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Found, E> {
        Ok(self.scalar(Found::Other("a boolean")))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Found, E> {
        Ok(self.scalar(Found::Integer(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Found, E> {
        Ok(self.scalar(i64::try_from(number).map_or(Found::TooLarge, Found::Integer)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Found, E> {
        // serde_json also makes floats of integers above 64 bits; both are no amount.
        let whole = number.fract() == 0.0 && number.abs() >= 9.2e18;
        Ok(self.scalar(if whole { Found::TooLarge } else { Found::Other("a fraction") }))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Found, E> {
        Ok(self.scalar(Found::Other("a string")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let Some((wanted, rest)) = self.0.split_first() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Found::Other("an object"));
        };
        let mut found = Found::Nothing;
        while let Some(is_wanted) = map.next_key_seed(KeyIs(wanted))? {
            if is_wanted {
                // Of keys that occur twice the last one counts, as in PostgreSQL.
                found = map.next_value_seed(At(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        let mut found = Found::Nothing;
        if let Some((wanted, rest)) = self.0.split_first() {
            // RFC 6901: digits without leading zeros.
            let index = wanted.parse::<usize>().ok().filter(|index| index.to_string() == *wanted);
            for _ in 0..index.unwrap_or_default() {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
            }
            if index.is_some() {
                found = seq.next_element_seed(At(rest))?.unwrap_or(Found::Nothing);
            }
        } else {
            found = Found::Other("an array");
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

/// Whether a key is the wanted one.
struct KeyIs<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(pointer: &str, payload: &str) -> Result<i64, BadAmount> {
        pointer.parse::<AmountPointer>().map_err(|e| BadAmount::Payload(e.to_string()))?.amount(payload)
    }

    #[test]
    fn the_amount_is_the_integer_at_the_pointer_and_1_without_one() {
        let cases = [
            ("/amount", r#"{"amount": 5}"#, Ok(5)),
            ("/amount", r#"{"other": 5}"#, Ok(1)),
            ("/amount", r#"{"amount": null}"#, Ok(1)),
            ("/amount", r#"{"amount": -3, "x": [1, {"amount": 9}]}"#, Ok(-3)),
            ("/amount", r#"{"amount": 1, "amount": 2}"#, Ok(2)),
            ("/amount", r#"{"\u0061mount": 4}"#, Ok(4)),
            ("/amount", "7", Ok(1)),
            ("", "7", Ok(7)),
            ("/a/b", r#"{"a": {"b": 8}}"#, Ok(8)),
            ("/a/b", r#"{"a": 3}"#, Ok(1)),
            ("/a/1", r#"{"a": [1, 2, 3]}"#, Ok(2)),
            ("/a/01", r#"{"a": [1, 2, 3]}"#, Ok(1)),
            ("/a/9", r#"{"a": [1, 2, 3]}"#, Ok(1)),
            ("/a~1b/~0", r#"{"a/b": {"~": 6}}"#, Ok(6)),
            ("/amount", r#"{"amount": 9223372036854775807}"#, Ok(i64::MAX)),
            ("/amount", r#"{"amount": 9223372036854775808}"#, Err(BadAmount::TooLarge)),
            ("/amount", r#"{"amount": 100000000000000000000000}"#, Err(BadAmount::TooLarge)),
            ("/amount", r#"{"amount": 1.5}"#, Err(BadAmount::NotAnInteger("a fraction"))),
            ("/amount", r#"{"amount": "5"}"#, Err(BadAmount::NotAnInteger("a string"))),
            ("/amount", r#"{"amount": true}"#, Err(BadAmount::NotAnInteger("a boolean"))),
            ("/amount", r#"{"amount": []}"#, Err(BadAmount::NotAnInteger("an array"))),
            ("/amount", r#"{"amount": {}}"#, Err(BadAmount::NotAnInteger("an object"))),
        ];
        for (pointer, payload, expected) in cases {
            assert_eq!(amount(pointer, payload), expected, "{pointer} in {payload}");
        }
        assert!(matches!(amount("/amount", "{"), Err(BadAmount::Payload(_))));
    }

    #[test]
    fn a_pointer_without_a_slash_is_refused() {
        for text in ["amount", "/a~2", "/a~"] {
            assert!(text.parse::<AmountPointer>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_payload_of_ten_thousand_levels_overflows_no_stack() {
        let deep = format!("{{\"x\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(amount("/amount", &deep), Ok(1));
    }

    proptest! {
        #[test]
        fn the_pointer_finds_what_serde_json_finds(a in any::<i64>(), b in any::<i64>(), key in "[a-z~/]{0,4}") {
            let value = serde_json::json!({ key.clone(): a, "list": [b, { key.clone(): b }] });
            for path in [vec![key.clone()], vec!["list".into(), "0".into()], vec!["list".into(), "1".into(), key]] {
                let pointer = AmountPointer { parts: path }.to_string();
                let expected = value.pointer(&pointer).and_then(serde_json::Value::as_i64).unwrap_or(1);
                prop_assert_eq!(amount(&pointer, &value.to_string()), Ok(expected));
            }
        }
    }
}
