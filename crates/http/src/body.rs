//! Bodies: as large as they may be, in time, and counted among the bytes in flight.

use super::inflight::{OVER_BUDGET, OverBudget, Place};
use axum::body::{Bytes, HttpBody};
use serde::Deserialize;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

/// Why a body can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than is taken.
    #[error("the body has more than {0} bytes; send less at a time")]
    TooLarge(usize),
    /// The deadline is over.
    #[error("the body did not come in time; send it faster")]
    TimedOut,
    /// The connection ended in the middle of it.
    #[error("the body broke off; send all of what was announced")]
    Incomplete,
    /// The requests in flight have no room for it.
    #[error("{OVER_BUDGET}")]
    OverBudget,
    /// It is no JSON.
    #[error("the body can't be used: {0}; /docs says what it may be")]
    Malformed(String),
    /// It is other JSON than what is taken.
    #[error("the body can't be used: {0}; /docs says what it may be")]
    Invalid(String),
}

impl From<OverBudget> for BodyError {
    fn from(OverBudget: OverBudget) -> Self {
        Self::OverBudget
    }
}

/// Reads a body whole. What has come is counted at its place.
pub async fn read(
    body: impl HttpBody<Data = Bytes>,
    limit: usize,
    deadline: Duration,
    place: &mut Place,
) -> Result<Bytes, BodyError> {
    // Not read at all where it says itself that it is too large.
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge(limit));
    }
    // The timer is set only if the body is not here yet.
    let body = tokio::time::timeout(deadline, whole(body, limit, place)).await.unwrap_or(Err(BodyError::TimedOut))?;
    place.received(body.len());
    Ok(body)
}

async fn whole(body: impl HttpBody<Data = Bytes>, limit: usize, place: &mut Place) -> Result<Bytes, BodyError> {
    let mut body = pin!(body);
    // Most bodies are one chunk, which is not copied.
    let first = next(&mut body).await?.unwrap_or_default();
    place.resize(first.len())?;
    let Some(second) = next(&mut body).await? else {
        return if first.len() > limit { Err(BodyError::TooLarge(limit)) } else { Ok(first) };
    };
    let mut all = first.to_vec();
    drop(first);
    let mut more = Some(second);
    while let Some(chunk) = more {
        let needed = all.len() + chunk.len();
        if needed > limit {
            return Err(BodyError::TooLarge(limit));
        }
        if needed > all.capacity() {
            // As it comes, and not as it was announced: to announce much costs nothing.
            let room = needed.max(2 * all.capacity()).min(limit);
            place.resize(room)?;
            all.reserve_exact(room - all.len());
        }
        all.extend_from_slice(&chunk);
        more = next(&mut body).await?;
    }
    Ok(all.into())
}

/// The next chunk. Trailers are left out.
async fn next(body: &mut Pin<&mut impl HttpBody<Data = Bytes>>) -> Result<Option<Bytes>, BodyError> {
    loop {
        let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await else { return Ok(None) };
        if let Ok(chunk) = frame.map_err(|_| BodyError::Incomplete)?.into_data() {
            return Ok(Some(chunk));
        }
    }
}

/// What the JSON of a body says, borrowing its texts.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BodyError> {
    serde_json::from_slice(body).map_err(|error| {
        let message = error.to_string();
        if error.is_data() { BodyError::Invalid(message) } else { BodyError::Malformed(message) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflight::{FREE, InFlight};
    use axum::body::Body;
    use futures_util::{StreamExt, stream};
    use std::convert::Infallible;

    fn chunks(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok::<_, Infallible>(Bytes::from_static(chunk.as_bytes()))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    fn place() -> Place {
        InFlight::new(1, 100_000).enter().unwrap()
    }

    async fn read_of(body: Body) -> Result<Bytes, BodyError> {
        read(body, 4, Duration::from_secs(1), &mut place()).await
    }

    #[tokio::test]
    async fn what_has_come_is_counted_and_refused_over_the_budget() {
        let text: &'static str = "x".repeat(30_000).leak();
        let (limit, deadline) = (usize::MAX, Duration::from_secs(1));
        let places = InFlight::new(2, 100_000);
        let (mut fits, mut other) = (places.enter().unwrap(), places.enter().unwrap());
        assert_eq!(read(chunks(&[text, text]), limit, deadline, &mut fits).await.unwrap().len(), 60_000);
        assert_eq!(places.bytes(), 60_000 - FREE);
        for parts in [&[text, text][..], &["x", text, text]] {
            assert_eq!(read(chunks(parts), limit, deadline, &mut other).await, Err(BodyError::OverBudget));
        }
    }

    #[tokio::test]
    async fn a_body_may_have_as_many_bytes_as_the_limit_in_any_chunks() {
        for parts in [&["abcd"][..], &["ab", "cd"], &["a", "b", "c", "d"], &["", "abcd"]] {
            assert_eq!(read_of(chunks(parts)).await.unwrap(), "abcd", "{parts:?}");
        }
        assert_eq!(read_of(Body::empty()).await.unwrap(), "");
        for parts in [&["abcde"][..], &["abcd", "e"], &["", "abcde"]] {
            assert_eq!(read_of(chunks(parts)).await, Err(BodyError::TooLarge(4)), "{parts:?}");
        }
        assert_eq!(read_of(Body::from("abcde")).await, Err(BodyError::TooLarge(4)));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_times_out() {
        let never = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"a")) }).chain(stream::pending());
        let read = read(Body::from_stream(never), 4, Duration::from_millis(1), &mut place()).await;
        assert_eq!(read, Err(BodyError::TimedOut));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_reported() {
        let parts = [Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))];
        assert_eq!(read_of(Body::from_stream(stream::iter(parts))).await, Err(BodyError::Incomplete));
    }
}
