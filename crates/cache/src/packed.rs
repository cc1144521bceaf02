//! A value as it is kept: as it came, or compressed.

use super::{Json, Value};
use std::sync::Arc;

/// What is kept of a value.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    Plain(Value),
    Packed(PackedKind, Arc<[u8]>),
}

/// What a compressed value was.
#[derive(Debug, Clone, Copy)]
pub(super) enum PackedKind {
    String,
    Json,
    Bytes,
}

impl Kept {
    /// Compresses a value of more than `above` bytes, if an eighth is saved: less is not worth that every read undoes
    /// it.
    pub(super) fn new(value: Value, above: Option<usize>) -> Self {
        let (kind, bytes) = match &value {
            Value::String(text) => (PackedKind::String, text.as_bytes()),
            Value::Json(json) => (PackedKind::Json, json.text().as_bytes()),
            Value::Bytes(bytes) => (PackedKind::Bytes, &**bytes),
            Value::Number(_) | Value::Bool(_) => return Self::Plain(value),
        };
        if above.is_none_or(|above| bytes.len() <= above) {
            return Self::Plain(value);
        }
        let packed = lz4_flex::compress_prepend_size(bytes);
        if packed.len() > bytes.len() - bytes.len() / 8 {
            return Self::Plain(value);
        }
        Self::Packed(kind, packed.into())
    }

    /// The value. None if what is kept is not what was compressed, which no code path can bring about.
    pub(super) fn value(self) -> Option<Value> {
        let (kind, packed) = match self {
            Self::Plain(value) => return Some(value),
            Self::Packed(kind, packed) => (kind, packed),
        };
        let bytes = lz4_flex::decompress_size_prepended(&packed).ok()?;
        Some(match kind {
            PackedKind::String => Value::String(String::from_utf8(bytes).ok()?.into()),
            PackedKind::Json => Value::Json(Json(String::from_utf8(bytes).ok()?.into())),
            PackedKind::Bytes => Value::Bytes(bytes.into()),
        })
    }

    /// How many bytes the value has, as it is [counted](Value::len).
    pub(super) fn value_bytes(&self) -> usize {
        match self {
            Self::Plain(value) => value.len(),
            // What was compressed begins with its size, of 32 bits.
            Self::Packed(_, packed) => packed.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize),
        }
    }

    /// The number, if it is one and [counts](super::Number::as_i64).
    pub(super) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Plain(Value::Number(number)) => number.as_i64(),
            _ => None,
        }
    }

    /// How many bytes of its own it has on the heap; none if it has no allocation.
    pub(super) fn heap_bytes(&self) -> Option<usize> {
        match self {
            Self::Plain(Value::Bool(_)) => None,
            Self::Plain(Value::Number(number)) => number.heap_bytes(),
            Self::Plain(value) => Some(value.len()),
            Self::Packed(_, packed) => Some(packed.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(kept: &Kept) -> bool {
        matches!(kept, Kept::Packed(..))
    }

    #[test]
    fn only_values_above_the_size_that_get_smaller_are_compressed() {
        let long = Value::from("abc ".repeat(1000).as_str());
        assert!(packed(&Kept::new(long.clone(), Some(3999))));
        assert!(!packed(&Kept::new(long.clone(), Some(4000))), "it is not above the size");
        assert!(!packed(&Kept::new(long, None)), "compression is off");
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(4000).collect();
        assert!(!packed(&Kept::new(Value::from(&noise[..]), Some(10))), "noise gets no smaller");
    }

    #[test]
    fn a_compressed_value_has_fewer_bytes() {
        let kept = Kept::new(Value::from("abc ".repeat(1000).as_str()), Some(0));
        assert!(kept.heap_bytes().unwrap() < 100 && kept.value_bytes() == 4000);
    }

    proptest! {
        #[test]
        fn every_value_comes_back(text in "[ab]{0,400}", above: Option<u8>) {
            let above = above.map(usize::from);
            let json = Value::from_json(&format!("[\"{text}\"]")).unwrap();
            for value in [Value::from(text.as_str()), Value::from(text.as_bytes()), json, true.into(), 7.into()] {
                let kept = Kept::new(value.clone(), above);
                prop_assert_eq!(kept.value_bytes(), value.len());
                prop_assert_eq!(kept.value(), Some(value));
            }
        }
    }
}
