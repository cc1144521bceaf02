//! Bodies: as large as they may be, and in time.

use super::error::{ApiError, ErrorCode};
use axum::body::{Body, Bytes, HttpBody};
use futures_util::StreamExt;
use serde::Deserialize;
use std::time::Duration;

/// Reads a body whole.
pub(super) async fn read(body: Body, limit: usize, deadline: Duration) -> Result<Bytes, ApiError> {
    // Not read at all where it says itself that it is too large.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    // The timer is set only if the body is not here yet.
    match tokio::time::timeout(deadline, whole(body, limit)).await {
        Ok(read) => read,
        Err(_) => Err(ApiError::new(ErrorCode::BodyTimeout, "the body did not come in time; send it faster")),
    }
}

async fn whole(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let mut chunks = body.into_data_stream();
    // Most bodies are one chunk, which is not copied.
    let first = next(&mut chunks).await?.unwrap_or_default();
    let Some(second) = next(&mut chunks).await? else {
        return if first.len() > limit { Err(too_large(limit)) } else { Ok(first) };
    };
    let mut all = first.to_vec();
    let mut more = Some(second);
    while let Some(chunk) = more {
        if all.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        all.extend_from_slice(&chunk);
        more = next(&mut chunks).await?;
    }
    Ok(all.into())
}

async fn next(chunks: &mut axum::body::BodyDataStream) -> Result<Option<Bytes>, ApiError> {
    let broken = |_| ApiError::new(ErrorCode::IncompleteBody, "the body broke off; send all of what was announced");
    chunks.next().await.transpose().map_err(broken)
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorCode::TooLarge, format!("the body has more than {limit} bytes; send less at a time"))
}

/// What the JSON of a body says, borrowing its texts.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { ErrorCode::InvalidBody } else { ErrorCode::MalformedJson };
        ApiError::new(code, format!("the body can't be used: {error}; /docs says what it may be"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    fn chunks(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok::<_, Infallible>(Bytes::from_static(chunk.as_bytes()))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn read_of(body: Body) -> Result<Bytes, ErrorCode> {
        read(body, 4, Duration::from_secs(1)).await.map_err(|error| error.code)
    }

    #[tokio::test]
    async fn a_body_may_have_as_many_bytes_as_the_limit_in_any_chunks() {
        for parts in [&["abcd"][..], &["ab", "cd"], &["a", "b", "c", "d"], &["", "abcd"]] {
            assert_eq!(read_of(chunks(parts)).await.unwrap(), "abcd", "{parts:?}");
        }
        assert_eq!(read_of(Body::empty()).await.unwrap(), "");
        for parts in [&["abcde"][..], &["abcd", "e"], &["", "abcde"]] {
            assert_eq!(read_of(chunks(parts)).await, Err(ErrorCode::TooLarge), "{parts:?}");
        }
        assert_eq!(read_of(Body::from("abcde")).await, Err(ErrorCode::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"a")) }).chain(stream::pending());
        let read = read(Body::from_stream(never), 4, Duration::from_millis(1)).await;
        assert_eq!(read.unwrap_err().code, ErrorCode::BodyTimeout);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told() {
        let parts = [Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))];
        assert_eq!(read_of(Body::from_stream(stream::iter(parts))).await, Err(ErrorCode::IncompleteBody));
    }
}
