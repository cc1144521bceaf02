//! Answers that count among the requests in flight until they are written.

use super::inflight::{OverBudget, Place};
use axum::body::{Body, Bytes};
use std::io::{self, Write};

/// An answer while it is made. Its bytes are counted before they are allocated.
#[derive(Debug)]
pub struct Answer {
    out: Vec<u8>,
    place: Place,
    /// Bytes in memory that are needed only while it is made.
    scratch: usize,
}

impl Answer {
    /// Nothing yet. Whatever the request itself had must have been freed: the place counts for the answer from now on.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self { out: Vec::new(), place, scratch: 0 }
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, more: usize) -> Result<(), OverBudget> {
        let (needed, room) = (self.out.len().saturating_add(more), self.out.capacity());
        if needed > room {
            // By half where that is possible, so that what is made of many parts is not copied for each of them.
            let mut room = needed.max(room + room / 2);
            if self.place.resize(room.saturating_add(self.scratch)).is_err() {
                room = needed;
                self.place.resize(room.saturating_add(self.scratch))?;
            }
            self.out.reserve_exact(room - self.out.len());
        }
        Ok(())
    }

    /// Counts so many bytes of scratch memory, instead of those before.
    pub fn set_scratch(&mut self, bytes: usize) -> Result<(), OverBudget> {
        if bytes != self.scratch {
            self.place.resize(self.out.capacity().saturating_add(bytes))?;
            self.scratch = bytes;
        }
        Ok(())
    }

    /// Adds a text as JSON, with quotes and escapes.
    pub fn text(&mut self, text: &str) -> Result<(), OverBudget> {
        serde_json::to_writer(self, text).map_err(|_| OverBudget)
    }

    /// What is written so far. No more is to be added than there is [room](Self::reserve) for.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The body, which has the place until it is written, or its connection ends.
    pub fn into_body(self) -> Body {
        body(self.out, self.place)
    }
}

/// For answers whose length is not known before. Fails only over the budget.
impl Write for Answer {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.reserve(part.len()).map_err(|OverBudget| io::ErrorKind::OutOfMemory)?;
        self.out.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body that is there already, with the place that it has until it is written, or its connection ends.
///
/// The bytes own the place: hyper drops the body as soon as it has all of its bytes, and the bytes when the socket has
/// taken them.
pub fn body(bytes: Vec<u8>, mut place: Place) -> Body {
    place.settle(bytes.capacity());
    place.sent(bytes.len());
    Body::from(Bytes::from_owner(PlacedBytes { bytes, _place: place }))
}

struct PlacedBytes {
    bytes: Vec<u8>,
    _place: Place,
}

impl AsRef<[u8]> for PlacedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflight::{FREE, InFlight};
    use axum::body::to_bytes;

    #[tokio::test]
    async fn a_place_and_its_bytes_are_counted_until_the_last_byte_is_gone() {
        let places = InFlight::new(2, 130_000);
        let mut other = places.enter().unwrap();
        other.resize(FREE + 20_000).unwrap();
        let mut answer = Answer::new(places.enter().unwrap());
        answer.set_scratch(50_000).unwrap();
        answer.reserve(40_000).unwrap();
        assert_eq!(places.bytes(), 110_000 - FREE);
        assert_eq!(answer.reserve(65_000), Err(OverBudget));
        drop(other);
        answer.set_scratch(0).unwrap();
        answer.out().extend_from_slice(&vec![b'x'; 40_000]);
        let mut written = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let half = written.split_to(20_000);
        drop(written);
        assert_eq!((half.len(), places.taken(), places.bytes()), (20_000, 1, 40_000 - FREE));
        assert_eq!((places.sent(), places.received()), (40_000, 0));
        drop(half);
        assert_eq!((places.taken(), places.bytes()), (0, 0));
    }

    #[test]
    fn a_text_is_counted_with_its_escapes() {
        let places = InFlight::new(2, 20_000);
        let mut other = places.enter().unwrap();
        other.resize(FREE + 14_000).unwrap();
        let mut answer = Answer::new(places.enter().unwrap());
        answer.text(&"\u{1}".repeat(1_000)).unwrap();
        assert!(answer.out().len() == 6_002 && places.bytes() >= 14_000 + 6_002 - FREE);
        assert_eq!(answer.text(&"\u{1}".repeat(1_000)), Err(OverBudget));
    }

    #[test]
    fn an_answer_that_is_there_is_counted_also_over_the_budget() {
        let places = InFlight::new(1, 0);
        let body = body(vec![0; 10_000], places.enter().unwrap());
        assert_eq!(places.bytes(), 10_000 - FREE);
        drop(body);
        assert_eq!(places.bytes(), 0);
    }
}
