//! The yardstick: a handler that answers the same whatever it is asked, as anybody would write it.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use evenfold_cli::output::print;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// As many bytes as the service answers.
const ANSWER: &str = r#"{"counter_id":"key-1000","value":1000,"version":1000}"#;

/// Serves until it gets a signal to stop, and prints where, as the counter service does.
pub(crate) async fn serve_constant(shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    print(&format!("serving on http://{}\n", listener.local_addr()?))?;
    let handler = post(async || ([(CONTENT_TYPE, "application/json")], ANSWER));
    let router = Router::new().route("/counter/{id}/increment", handler);
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    Ok(())
}
