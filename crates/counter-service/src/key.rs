//! The keys by which a request can be repeated.

use uuid::Uuid;

/// The most bytes that an idempotency key may have.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;

/// The namespace of the event ids that are made of texts; drawn once, at random.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_60d2_7a4b_4c3e_9d0a_b1f7_2c55_8e93);

/// Names a request, so that repeating it changes nothing: it is the id of the event. A UUID is taken as it is, any
/// other text of 1 to 255 visible ASCII characters ([`MAX_IDEMPOTENCY_KEY`]) is made into one (version 5, RFC 9562).
///
/// An event's id is unique in the whole log, so a key is good for one request of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Uuid);

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is a UUID, or a text of 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// The key that a text stands for.
    ///
    /// # Errors
    ///
    /// [`InvalidIdempotencyKey`].
    pub fn new(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        let fits = (1..=MAX_IDEMPOTENCY_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(InvalidIdempotencyKey);
        }
        Ok(Self(Uuid::try_parse(text).unwrap_or_else(|_| Uuid::new_v5(&NAMESPACE, text.as_bytes()))))
    }

    /// The id of the event.
    #[must_use]
    pub fn event_id(self) -> Uuid {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_the_event_id_and_every_other_text_has_one_of_its_own() {
        let uuid = "0192f0c1-2c4e-7d1a-8b1f-3c5d7e9f1a2b";
        assert_eq!(IdempotencyKey::new(uuid).map(|key| key.event_id().to_string()), Ok(uuid.to_owned()));
        let [a, b, again] = ["order-1", "order-2", "order-1"].map(|text| IdempotencyKey::new(text).unwrap());
        assert_eq!(a, again, "also in another process, years later");
        assert_ne!(a, b);
        assert_eq!(a.event_id().to_string(), "d72c0fd1-7950-5916-87de-834c052210e9");
    }

    #[test]
    fn a_text_that_is_no_key_is_refused() {
        for bad in ["", "a b", "a\u{7f}", "ä", &"x".repeat(MAX_IDEMPOTENCY_KEY + 1)] {
            assert_eq!(IdempotencyKey::new(bad), Err(InvalidIdempotencyKey), "{bad:?}");
        }
    }
}
