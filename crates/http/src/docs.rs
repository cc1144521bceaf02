//! The OpenAPI document of a service, and a page that shows it. The page is one file without anything from elsewhere,
//! so that it works offline.

use super::about::About;
use super::auth::{Access, Gate};
use super::authorisation;
use super::curl::ADDRESS;
use super::documented::Documented;
use super::error::{self, ApiError};
use super::route::{Handler, Method, Route, Service};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, Paths};
use utoipa::{PartialSchema, ToSchema};

const PATH: &str = "/docs";

const PAGE: &str = include_str!("docs.html");

/// The page runs its own script, and asks for the document; that is all it may do.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

impl About {
    /// The document: all routes of the service that are operations, and what this gate asks for.
    pub(crate) fn document<S: Service>(&self, gate: &Gate) -> OpenApi {
        let info = InfoBuilder::new().title(self.title).version(env!("CARGO_PKG_VERSION"));
        let info = info.description(Some(self.description)).build();
        let tag = |(name, what): &(&str, &str)| TagBuilder::new().name(*name).description(Some(*what)).build();
        let tags = self.tags.iter().map(tag);
        let (paths, mut components) = operations::<S>(gate);
        components.add_security_scheme("token", self.token.documented(&authorisation::described::<S>(gate)));
        OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).tags(Some(tags)).build()
    }
}

/// The operations, and the schemas that they refer to.
fn operations<S: Service>(gate: &Gate) -> (Paths, Components) {
    let (mut paths, mut components) = (Paths::new(), Components::new());
    for route in S::ROUTES {
        let Some(documented) = route.documented else { continue };
        let documented = documented(Documented::new(route.method, route.path));
        let token = gate.needs_token(route.access).then_some(gate.scheme);
        let (operation, schemas) = documented.finish(route.access, token, &route.codes());
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
        Self::of_documents("/", |_, _| redirect()),
        Self::of_documents(PATH, |_, _| page()),
        Self::of_documents("/docs/openapi.json", |document, headers| {
            with_type("application/json", addressed(document, headers).into())
        }),
    ];

    /// None where the service has no document.
    pub(crate) fn documents() -> &'static [Self] {
        if S::ABOUT.is_some() { Self::DOCUMENTS } else { &[] }
    }

    const fn of_documents(path: &'static str, answer: fn(&str, &HeaderMap) -> Response<Body>) -> Self {
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

/// The document with the address in its curl lines by which whoever asks has reached the service.
fn addressed(document: &str, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
    document.replace(ADDRESS, host.unwrap_or("localhost"))
}

/// A name or an address, with or without a port: nothing that a shell or JSON would take for something else.
fn is_plain(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_have_the_address_by_which_the_service_was_reached() {
        let shown = |host: &'static [u8]| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_bytes(host).unwrap())]);
            addressed("curl 'http://{address}/'", &headers)
        };
        for host in ["127.0.0.1:8181", "[::1]:8181", "counters.example"] {
            assert_eq!(shown(host.as_bytes()), format!("curl 'http://{host}/'"));
        }
        for hostile in [&b"a'; id; '"[..], b"a\"", b"$(id)", b"a b", b"", b"\xff"] {
            assert_eq!(shown(hostile), "curl 'http://localhost/'", "{hostile:?}");
        }
        assert_eq!(addressed(ADDRESS, &HeaderMap::new()), "localhost");
    }
}
