//! What a service declares is what it does: its routes, their limits, their errors and their rows of the metrics.

use crate::support::{Client, SOON};
use axum::body::Body;
use evenfold_http::about::About;
use evenfold_http::auth::{Access, ApiToken, Auth, Gate, Scheme};
use evenfold_http::documented::{Documented, DocumentedAnswer};
use evenfold_http::error::{self, NoDetails};
use evenfold_http::inflight::InFlight;
use evenfold_http::metrics::{Requests, text};
use evenfold_http::route::{HEALTHZ, Handler, Limit, Method, Route, Service};
use evenfold_http::{Limits, Router, error_codes, serve};
use hyper::Response;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

error_codes! {
    /// What can go wrong at the kiosk.
    pub(crate) enum KioskCode {
        SoldOut = 409, "there is none left";
        Closed = 503, "the kiosk is closed";
        Crowded = 503, "too many wait";
    }
}

type KioskError = error::ApiError<KioskCode>;

#[derive(Debug)]
struct Kiosk {
    gate: Gate,
    requests: Requests,
    queue: Arc<InFlight>,
}

const QUEUE: Limit<Kiosk> =
    Limit { places: |kiosk: &Kiosk| &kiosk.queue, full: || KioskCode::Crowded, message: "come back later" };

const fn route(method: Method, path: &'static str, name: &'static str, handler: Handler<Kiosk>) -> Route<Kiosk> {
    Route { method, path, name, access: Access::Read, handler, errors: &[&[KioskCode::SoldOut]], documented: None }
}

fn answer(text: &str) -> Response<Body> {
    Response::new(Body::from(text.to_owned()))
}

fn refused(code: KioskCode) -> Result<Response<Body>, KioskError> {
    Err(KioskError::new(code, "as the test asked for"))
}

fn plain(documented: Documented) -> Documented {
    documented.operation("buy", "kiosk", "Buy").answer(200, DocumentedAnswer::empty("Bought."))
}

impl Service for Kiosk {
    type Code = KioskCode;
    type Details = NoDetails;
    const ABOUT: Option<About> =
        Some(About { title: "kiosk", description: "", tags: &[("kiosk", "")], token: Scheme::Bearer });
    const ROUTES: &'static [Route<Self>] = &[
        route(
            Method::Get,
            "/paper/{name}",
            "read",
            Handler::Unlimited(|call| Box::pin(async move { Ok(answer(&format!("read {}", call.head.parameter()))) })),
        ),
        route(Method::Put, "/paper/{name}", "write", Handler::Unlimited(|_| Box::pin(async { Ok(answer("write")) }))),
        route(Method::Post, "/paper/all", "all", Handler::Unlimited(|_| Box::pin(async { Ok(answer("all")) }))),
        route(
            Method::Get,
            "/paper/{name}/page",
            "read",
            Handler::Unlimited(|call| Box::pin(async move { Ok(answer(&format!("page {}", call.head.parameter()))) })),
        ),
        route(
            Method::Get,
            "/sold-out",
            "errors",
            Handler::Unlimited(|_| Box::pin(async { refused(KioskCode::SoldOut) })),
        ),
        route(
            Method::Get,
            "/broken",
            "errors",
            Handler::Unlimited(|_| Box::pin(async { refused(KioskCode::Internal) })),
        ),
        route(Method::Get, "/closed", "errors", Handler::Unlimited(|_| Box::pin(async { refused(KioskCode::Closed) }))),
        route(Method::Get, HEALTHZ, "health", Handler::Unlimited(|_| Box::pin(async { Ok(answer("healthy")) }))),
        Route {
            method: Method::Post,
            path: "/buy",
            name: "buy",
            access: Access::Write,
            handler: Handler::Limited(&QUEUE, |_, _place| Box::pin(async { Ok(answer("bought")) })),
            errors: &[&[KioskCode::SoldOut, KioskCode::Closed]],
            documented: Some(plain),
        },
    ];

    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn requests(&self) -> &Requests {
        &self.requests
    }
}

struct Served {
    address: SocketAddr,
    kiosk: Arc<Kiosk>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    async fn new(auth: Option<Auth>, places: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Gate { scheme: Scheme::Bearer, auth };
        let requests = Requests::of::<Kiosk>();
        let kiosk = Arc::new(Kiosk { gate, requests, queue: InFlight::new(places, usize::MAX) });
        let (router, shutdown) = (Router::new(Arc::clone(&kiosk)), CancellationToken::new());
        let task = tokio::spawn(serve(listener, router, Limits::default(), shutdown.clone().cancelled_owned()));
        Self { address, kiosk, shutdown, task }
    }

    async fn plain() -> Self {
        Self::new(None, 1).await
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    async fn end(self) {
        self.shutdown.cancel();
        timeout(SOON, self.task).await.expect("an end").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_takes_the_first_route_that_has_its_method_and_its_path() {
    let served = Served::plain().await;
    let mut client = served.client().await;
    for (method, path, body) in [
        ("GET", "/paper/daily", "read daily"),
        ("GET", "/paper/a%2Fb?page=1", "read a%2Fb"),
        ("GET", "/paper/", "read "),
        ("GET", "/paper/all", "read all"),
        ("PUT", "/paper/all", "write"),
        ("POST", "/paper/all", "all"),
        ("GET", "/paper/page/page", "page page"),
        ("GET", "/paper/page", "read page"),
    ] {
        assert_eq!(client.ask(method, path, &[], "").await.body, body, "{method} {path}");
    }
    let head = client.ask("HEAD", "/paper/daily", &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")), "as for GET");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_a_route_is_404_and_one_without_the_method_says_which_it_has() {
    let served = Served::plain().await;
    let mut client = served.client().await;
    for path in ["/paper", "/paper/a/b", "/paper/a/page/b", "/buy/", "//", "/docs/", "/Buy"] {
        assert_eq!(client.get(path).await.code(), (404, "unknown_path".to_owned()), "{path}");
    }
    for (method, path, allow) in [
        ("DELETE", "/paper/a", "GET,HEAD,PUT"),
        ("PATCH", "/paper/all", "GET,HEAD,PUT,POST"),
        ("POST", "/paper/a/page", "GET,HEAD"),
        ("GET", "/buy", "POST"),
        ("BREW", "/docs", "GET,HEAD"),
    ] {
        let refused = client.ask(method, path, &[], "").await;
        assert_eq!(refused.code(), (405, "method_not_allowed".to_owned()), "{method} {path}");
        assert_eq!(refused.header("allow"), Some(allow), "{method} {path}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_needs_the_token_and_an_open_one_does_not() {
    let auth = Auth { token: ApiToken::new("secret").unwrap(), reads: false };
    let served = Served::new(Some(auth), 1).await;
    let mut client = served.client().await;
    for (method, path, status) in [
        ("GET", "/paper/a", 200),
        ("POST", "/buy", 401),
        ("GET", "/nothing", 401),
        ("DELETE", "/paper/a", 401),
        ("POST", "/docs", 405),
    ] {
        assert_eq!(client.ask(method, path, &[], "").await.status, status, "{method} {path}");
    }
    let known = client.ask("GET", "/nothing", &[("authorization", "Bearer secret")], "").await;
    assert_eq!(known.code(), (404, "unknown_path".to_owned()));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_answers_with_its_own_limit_and_says_so_in_the_document() {
    let served = Served::new(None, 0).await;
    let mut client = served.client().await;
    assert_eq!(client.post("/buy", "").await.code(), (503, "crowded".to_owned()));
    let api = client.get("/docs/openapi.json").await.json();
    let responses = api["paths"]["/buy"]["post"]["responses"].as_object().unwrap();
    let described: Vec<_> =
        responses.iter().map(|(status, answer)| (&**status, answer["description"].as_str().unwrap())).collect();
    assert_eq!(
        described,
        [
            ("200", "Bought."),
            ("401", "`unauthorized`: the token is missing, or is another one."),
            ("403", "`foreign_origin`: a page of another site asks for a change, of a service that has no token."),
            ("409", "`sold_out`: there is none left."),
            ("503", "`crowded`: too many wait. `closed`: the kiosk is closed."),
        ]
    );
    assert_eq!(api["paths"].as_object().unwrap().len(), 1, "what is not documented is no operation");
    served.end().await;
}

/// As whoever runs a test sees it. In a release the error is logged as a defect, and answered as it is.
#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_its_route_does_not_declare_is_not_answered() {
    let served = Served::plain().await;
    let mut client = served.client().await;
    assert_eq!(client.get("/sold-out").await.code(), (409, "sold_out".to_owned()));
    assert_eq!(client.get("/broken").await.code(), (500, "internal".to_owned()), "a defect may be anywhere");
    client.begin("GET", "/closed", &[], "").await;
    assert!(client.answer().await.is_none(), "/closed does not declare it");
    served.end().await;
}

#[derive(Debug)]
struct Scrape(Arc<Kiosk>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.requests.encode(&mut encoder)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_the_metrics_are_the_names_of_the_routes_and_two_more() {
    let served = Served::plain().await;
    let mut client = served.client().await;
    let mut asked: BTreeSet<&str> = ["docs", "other"].into();
    for route in Kiosk::ROUTES.iter().filter(|route| route.path != "/closed") {
        let method = match route.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        };
        client.ask(method, &route.path.replace("{name}", "a"), &[], "").await;
        asked.insert(route.name);
    }
    client.get("/docs").await;
    client.get("/nothing").await;
    let text = text("kiosk", Scrape(Arc::clone(&served.kiosk))).unwrap();
    let counted = text.lines().filter_map(|line| line.strip_prefix("kiosk_requests_total{route=\"")?.split('"').next());
    assert_eq!(counted.collect::<BTreeSet<_>>(), asked);
    let reads = "kiosk_requests_total{route=\"read\",status=\"2xx\"} 2\n";
    assert!(text.contains(reads), "routes with one name share a row: {text}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_errors_are_counted_by_their_codes_also_those_without_a_route() {
    let served = Served::plain().await;
    let mut client = served.client().await;
    for path in ["/sold-out", "/paper/a", "/sold-out", "/nothing"] {
        client.get(path).await;
    }
    client.post("/sold-out", "").await;
    let text = text("kiosk", Scrape(Arc::clone(&served.kiosk))).unwrap();
    let counted: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("kiosk_refusals_total")).collect();
    let expected = [r#"{code="method_not_allowed"} 1"#, r#"{code="sold_out"} 2"#, r#"{code="unknown_path"} 1"#];
    assert_eq!(counted, expected, "{text}");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_of_the_service_and_of_all_services_are_in_the_document_once() {
    let served = Served::plain().await;
    let api = served.client().await.get("/docs/openapi.json").await.json();
    let codes = api["components"]["schemas"]["KioskCode"]["enum"].as_array().unwrap();
    let names: BTreeSet<&str> = codes.iter().filter_map(Value::as_str).collect();
    assert_eq!(names.len(), codes.len());
    for (name, status) in [("sold_out", 409), ("unknown_path", 404), ("too_many_connections", 503)] {
        assert!(names.contains(name), "{name}");
        let code: KioskCode = serde_json::from_value(name.into()).unwrap();
        assert_eq!(code.status().as_u16(), status);
    }
    served.end().await;
}
