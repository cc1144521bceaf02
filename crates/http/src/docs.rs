//! The OpenAPI document of a service, and a page that shows it. The page is one file without anything from elsewhere,
//! so that it works offline.

use super::about::About;
use super::auth::Access;
use super::documented::Documented;
use super::error::{self, ApiError};
use super::route::{Handler, Method, Route, Service};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, Paths};
use utoipa::{PartialSchema, ToSchema};

const PATH: &str = "/docs";

const PAGE: &str = include_str!("docs.html");

/// The page runs its own script, and asks for the document; that is all it may do.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

impl About {
    /// The document: all routes of the service that are operations.
    pub(crate) fn document<S: Service>(&self) -> OpenApi {
        let info = InfoBuilder::new().title(self.title).version(env!("CARGO_PKG_VERSION"));
        let info = info.description(Some(self.description)).build();
        let tag = |(name, what): &(&str, &str)| TagBuilder::new().name(*name).description(Some(*what)).build();
        let tags = self.tags.iter().map(tag);
        let (paths, mut components) = operations::<S>();
        components.add_security_scheme("token", self.token.documented());
        OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).tags(Some(tags)).build()
    }
}

/// The operations, and the schemas that they refer to.
fn operations<S: Service>() -> (Paths, Components) {
    let (mut paths, mut components) = (Paths::new(), Components::new());
    for route in S::ROUTES {
        let Some(documented) = route.documented else { continue };
        let (operation, schemas) = documented(Documented::new(route.path)).finish(route.access, &route.codes());
        components.schemas.extend(schemas);
        paths.add_path_operation(route.path, vec![route.method.documented()], operation);
    }
    let mut schemas = Vec::new();
    ApiError::<S::Code, S::Details>::schemas(&mut schemas);
    schemas.push((ApiError::<S::Code, S::Details>::name().into_owned(), ApiError::<S::Code, S::Details>::schema()));
    schemas.push((error::BODY.to_owned(), error::body_schema::<S::Code, S::Details>().into()));
    components.schemas.extend(schemas);
    (paths, components)
}

impl Method {
    fn documented(self) -> HttpMethod {
        match self {
            Self::Get => HttpMethod::Get,
            Self::Post => HttpMethod::Post,
            Self::Put => HttpMethod::Put,
            Self::Delete => HttpMethod::Delete,
        }
    }
}

/// Where the document and the page are. Whoever opens the address alone is led to the page, relative to it: the service
/// may be behind another name. Like the page that is no operation, and is not in the document.
impl<S: Service> Route<S> {
    const DOCUMENTS: &'static [Self] = &[
        Self::of_documents("/", |_| redirect()),
        Self::of_documents(PATH, |_| page()),
        Self::of_documents("/docs/openapi.json", |document| with_type("application/json", document.clone().into())),
    ];

    /// None where the service has no document.
    pub(crate) fn documents() -> &'static [Self] {
        if S::ABOUT.is_some() { Self::DOCUMENTS } else { &[] }
    }

    const fn of_documents(path: &'static str, answer: fn(&Bytes) -> Response<Body>) -> Self {
        Self {
            method: Method::Get,
            path,
            name: "docs",
            access: Access::Open,
            handler: Handler::Document(answer),
            errors: &[],
            documented: None,
        }
    }
}

fn redirect() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(PATH));
    response
}

fn page() -> Response<Body> {
    let mut response = with_type("text/html; charset=utf-8", PAGE.into());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn with_type(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
