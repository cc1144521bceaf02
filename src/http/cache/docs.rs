//! The OpenAPI document, and a page that shows it. The page is one file without anything from elsewhere, so that it works
//! offline.

use super::state::State;
use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use std::sync::Arc;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder};

const PAGE: &str = include_str!("docs.html");

/// The page runs its own script, and asks for the document; that is all it may do.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

const ABOUT: &str = "A cache in shards. Values are JSON, or bytes in base64. Every value has a version, in the body and \
as the ETag, which no other value has: a change can ask for it with If-Match. Errors are JSON with a code, and a sentence \
that says what to do; an unknown path is `unknown_path` (404), a method that the path does not have \
`method_not_allowed` (405). Codes with status 503 come with Retry-After: nothing was changed. After 504 a change may still be \
made. Where the service has a token, changes and administration need it in X-API-Token, and reads where that is set.";

/// The groups of operations, in the order in which they are of interest.
const TAGS: [(&str, &str); 4] = [
    ("keys", "One key at a time."),
    ("batches", "Up to 1,000 keys at a time."),
    ("administration", "Maintenance, and the number of shards."),
    ("watching", "Probes and figures; without a token."),
];

/// The document, before the operations are added.
pub(super) fn about() -> OpenApi {
    let info = InfoBuilder::new().title("evenfold cache").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT));
    let mut components = Components::new();
    let token = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Token")));
    components.add_security_scheme("token", token);
    let tags = TAGS.map(|(name, what)| TagBuilder::new().name(name).description(Some(what)).build());
    OpenApiBuilder::new().info(info.build()).components(Some(components)).tags(Some(tags)).build()
}

pub(super) fn routes(api: &OpenApi) -> Router<Arc<State>> {
    // Made of constants: that it can be written is tested.
    let document = Bytes::from(api.to_json().unwrap_or_default());
    let json = [(header::CONTENT_TYPE, "application/json")];
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    Router::new()
        .route("/docs", get(async move || (html, PAGE)))
        .route("/docs/openapi.json", get(async move || (json, document)))
}
