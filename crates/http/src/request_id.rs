//! The header `X-Request-ID`: what a request is called, by whoever asks or else by whoever answers, in the answer and
//! in its span.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// An id that is longer is not taken: it would be in whatever is written of the request.
const LONGEST: usize = 128;

/// The id of a request: the one that it has, if that is one, or a new one, which it has from here on.
pub(crate) fn of(headers: &mut HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(&NAME).iter();
    if let (Some(only), None) = (given.next(), given.next())
        && is_id(only.as_bytes())
    {
        return only.clone();
    }
    let id = new();
    headers.insert(NAME, id.clone());
    id
}

/// What can be written into a log as it is.
fn is_id(text: &[u8]) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

/// 128 random bits, which nobody has to be unable to guess.
fn new() -> HeaderValue {
    let text = format!("{:032x}", fastrand::u128(..));
    // Digits are a header's value.
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(given: &[&str]) -> (String, HeaderMap) {
        let mut headers = HeaderMap::new();
        for id in given {
            headers.append(NAME, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        }
        let id = of(&mut headers);
        (id.to_str().unwrap().to_owned(), headers)
    }

    #[test]
    fn the_id_of_a_request_is_the_one_that_it_has() {
        let longest = "x".repeat(LONGEST);
        for given in ["a", "4bf92f35-77b3:4da6/a3ce", &longest] {
            assert_eq!(id_of(&[given]).0, given);
        }
    }

    #[test]
    fn a_request_without_an_id_or_with_one_that_is_none_has_a_new_one_from_here_on() {
        let too_long = "x".repeat(LONGEST + 1);
        let mut all = std::collections::HashSet::new();
        for given in [&[][..], &[""], &["two words"], &["ä"], &[&too_long], &["a", "a"]] {
            let (id, headers) = id_of(given);
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{given:?}: {id}");
            assert_eq!(headers.get_all(NAME).iter().collect::<Vec<_>>(), [&id], "{given:?}");
            assert!(all.insert(id));
        }
    }
}
