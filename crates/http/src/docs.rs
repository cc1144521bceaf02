//! The OpenAPI document of a service, and a page that shows it. The page is one file without anything from elsewhere, so
//! that it works offline.

use super::auth::Scheme;
use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::Redirect;
use axum::routing::get;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder};

const PATH: &str = "/docs";

const PAGE: &str = include_str!("docs.html");

/// The page runs its own script, and asks for the document; that is all it may do.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

/// What a document says besides its operations.
pub struct About {
    /// The name of the service.
    pub title: &'static str,
    /// What it does, in Markdown.
    pub description: &'static str,
    /// The groups of operations, in the order in which they are of interest, and what each has.
    pub tags: &'static [(&'static str, &'static str)],
    /// Where the token is.
    pub token: Scheme,
}

impl About {
    /// The document, before the operations are added.
    #[must_use]
    pub fn document(&self) -> OpenApi {
        let info = InfoBuilder::new().title(self.title).version(env!("CARGO_PKG_VERSION"));
        let info = info.description(Some(self.description)).build();
        let mut components = Components::new();
        components.add_security_scheme("token", self.token.documented());
        let tag = |(name, what): &(&str, &str)| TagBuilder::new().name(*name).description(Some(*what)).build();
        let tags = self.tags.iter().map(tag);
        OpenApiBuilder::new().info(info).components(Some(components)).tags(Some(tags)).build()
    }
}

/// Where the document and the page are. Whoever opens the address alone is led to the page, relative to it: the service may be
/// behind another name. Like the page that is no operation, and is not in the document.
pub fn routes<S: Clone + Send + Sync + 'static>(api: &OpenApi) -> Router<S> {
    // Made of constants: that it can be written is tested.
    let document = Bytes::from(api.to_json().unwrap_or_default());
    let json = [(header::CONTENT_TYPE, "application/json")];
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    Router::new()
        .route("/", get(async || Redirect::temporary(PATH)))
        .route(PATH, get(async move || (html, PAGE)))
        .route("/docs/openapi.json", get(async move || (json, document)))
}
