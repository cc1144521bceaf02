//! What a browser loads. Nothing of it is from elsewhere, so that it works offline.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};

const PAGE: &str = include_str!("web/page.html");
const STYLE: &str = include_str!("web/page.css");
const SCRIPT: &str = concat!(
    include_str!("web/text.js"),
    include_str!("web/strip.js"),
    include_str!("web/curve.js"),
    include_str!("web/classes.js"),
    include_str!("web/parked.js"),
    include_str!("web/projection.js"),
    include_str!("web/live.js"),
);

/// Where the figures go that the page begins with.
const FIRST: &str = "FIRST_READING";

/// The page loads its own files and asks this server; that is all it may do.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The page, which begins with these figures, in JSON.
pub(super) fn page(first: &[u8]) -> Response<Body> {
    let (before, after) = PAGE.split_once(FIRST).unwrap_or((PAGE, ""));
    let mut out = Vec::with_capacity(PAGE.len() + first.len() + first.len() / 8);
    out.extend_from_slice(before.as_bytes());
    for byte in first {
        // A text in the figures can't end the element that they are in.
        match byte {
            b'<' => out.extend_from_slice(b"\\u003c"),
            other => out.push(*other),
        }
    }
    out.extend_from_slice(after.as_bytes());
    answer("text/html; charset=utf-8", out.into())
}

pub(super) fn style() -> Response<Body> {
    answer("text/css; charset=utf-8", STYLE.into())
}

pub(super) fn script() -> Response<Body> {
    answer("text/javascript; charset=utf-8", SCRIPT.into())
}

/// Figures, in JSON.
pub(super) fn json(text: Vec<u8>) -> Response<Body> {
    answer("application/json", text.into())
}

/// An answer that nobody keeps: what it says is true for a moment, and a new release has new files.
pub(super) fn answer(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    #[tokio::test]
    async fn a_text_in_the_figures_can_not_end_the_element_that_they_are_in() {
        let hostile = serde_json::to_vec("</script><script>alert(1)</script><!--").unwrap();
        let bytes = to_bytes(page(&hostile).into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text.matches("<script").count(), PAGE.matches("<script").count());
        assert!(!text.contains("<!--") && text.contains(r"\u003c/script>\u003cscript>alert(1)"), "{text}");
    }

    #[test]
    fn the_page_names_nothing_from_elsewhere_and_makes_no_markup_of_texts() {
        for text in [PAGE, STYLE, SCRIPT] {
            for elsewhere in
                ["https:", "//cdn", "@import", "innerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!text.contains(elsewhere), "{elsewhere}");
            }
        }
        assert_eq!(SCRIPT.matches("http:").count(), 1, "the name of SVG alone");
        assert_eq!(PAGE.matches(FIRST).count(), 1);
    }
}
