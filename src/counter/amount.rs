//! The integer at a JSON pointer, found without building the document: the same as PostgreSQL's `payload #>> path`
//! finds, by which the counters are verified.

use super::pointer::{AmountPointer, element};
use crate::event::{ERASED, Unreadable, unreadable};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A number that has an integer's value.
const WRITTEN_OTHERWISE: &str = "written with a point or an exponent, or -0";

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
    /// PostgreSQL can't read the payload, or it is beyond the limits.
    #[error("the payload {0}")]
    Unreadable(#[from] Unreadable),
}

impl AmountPointer {
    /// The integer at the pointer; 1 where there is none (or null), and 0 where it was erased, as nobody knows it.
    ///
    /// # Errors
    ///
    /// See [`BadAmount`].
    pub fn amount(&self, payload: &str) -> Result<i64, BadAmount> {
        if payload == ERASED {
            return Ok(0);
        }
        // PostgreSQL refuses the whole text, wherever in it the escape is, and could never verify what was folded of
        // it.
        if let Some(why) = unreadable(payload) {
            return Err(BadAmount::Unreadable(why));
        }
        let mut json = serde_json::Deserializer::from_str(payload);
        let found = At(self.parts()).deserialize(&mut json).map_err(|e| BadAmount::Payload(e.to_string()))?;
        json.end().map_err(|e| BadAmount::Payload(e.to_string()))?;
        match found {
            Found::Nothing | Found::Null => Ok(1),
            Found::Integer(amount) => Ok(amount),
            Found::TooLarge => Err(BadAmount::TooLarge),
            Found::Other(what) => Err(BadAmount::NotAnInteger(what)),
        }
    }
}

#[derive(Clone, Copy)]
enum Found {
    Nothing,
    Null,
    Integer(i64),
    TooLarge,
    Other(&'static str),
}

/// What is at the rest of a pointer, below the value that is being parsed.
#[derive(Clone, Copy)]
struct At<'p>(&'p [String]);

impl Found {
    /// What is found where it is looked for again: of keys that occur twice the last one counts that leads to anything.
    /// That is how PostgreSQL reads the type `json`.
    fn then(self, later: Self) -> Self {
        if matches!(later, Self::Nothing) { self } else { later }
    }
}

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
        Ok(self.scalar(Found::Null))
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
        let what = if number.fract() == 0.0 { WRITTEN_OTHERWISE } else { "a fraction" };
        Ok(self.scalar(if whole { Found::TooLarge } else { Found::Other(what) }))
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
                found = found.then(map.next_value_seed(At(rest))?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found, A::Error> {
        let mut found = Found::Nothing;
        if let Some((wanted, rest)) = self.0.split_first() {
            let index = element(wanted).and_then(|digits| digits.parse::<usize>().ok());
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
    use crate::event::MAX_JSON_DEPTH;
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
            ("/a/b", r#"{"a": {"b": 8}, "a": {}}"#, Ok(8)),
            ("/a/b", r#"{"a": {"b": 8}, "a": {"b": null}}"#, Ok(1)),
            ("/amount", r#"{"amount": 1, "amount": null}"#, Ok(1)),
            ("/a/0", r#"{"a": {"0": 4}}"#, Ok(4)),
            ("", "null", Ok(1)),
            ("/a/9", r#"{"a": [1, 2, 3]}"#, Ok(1)),
            ("/a~1b/~0", r#"{"a/b": {"~": 6}}"#, Ok(6)),
            ("/amount", r#"{"amount": 9223372036854775807}"#, Ok(i64::MAX)),
            ("/amount", r#"{"amount": 9223372036854775808}"#, Err(BadAmount::TooLarge)),
            ("/amount", r#"{"amount": 100000000000000000000000}"#, Err(BadAmount::TooLarge)),
            ("/amount", r#"{"amount": 1.5}"#, Err(BadAmount::NotAnInteger("a fraction"))),
            ("/amount", r#"{"amount": 5.0}"#, Err(BadAmount::NotAnInteger(WRITTEN_OTHERWISE))),
            ("/amount", r#"{"amount": 1e3}"#, Err(BadAmount::NotAnInteger(WRITTEN_OTHERWISE))),
            ("/amount", r#"{"amount": -0}"#, Err(BadAmount::NotAnInteger(WRITTEN_OTHERWISE))),
            ("/amount", r#"{"note": "\ud83d"}"#, Err(BadAmount::Unreadable(Unreadable::Surrogate))),
            ("/amount", r#"{"\u0000": 1}"#, Err(BadAmount::Unreadable(Unreadable::Nul))),
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
    fn a_payload_of_ten_thousand_levels_overflows_no_stack() {
        let deep = |levels| format!("{{\"x\": {}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(amount("/amount", &deep(MAX_JSON_DEPTH - 1)), Ok(1));
        assert_eq!(amount("/amount", &deep(10_000)), Err(BadAmount::Unreadable(Unreadable::TooDeep)));
    }

    proptest! {
        #[test]
        fn the_pointer_finds_what_serde_json_finds(a in any::<i64>(), b in any::<i64>(), key in "[a-z~/]{0,4}") {
            let value = serde_json::json!({ key.clone(): a, "list": [b, { key.clone(): b }] });
            for path in [vec![key.clone()], vec!["list".into(), "0".into()], vec!["list".into(), "1".into(), key]] {
                let pointer = AmountPointer::of(path).to_string();
                let expected = value.pointer(&pointer).and_then(serde_json::Value::as_i64).unwrap_or(1);
                prop_assert_eq!(amount(&pointer, &value.to_string()), Ok(expected));
            }
        }
    }
}
