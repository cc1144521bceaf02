use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What shells report for a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// A token that Ctrl-C and SIGTERM cancel. The second signal ends the process at once, which loses nothing: what is
/// not committed is not applied.
pub(super) fn shutdown() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let cancel = token.clone();
    // Ends with the process, which it may end itself.
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if cancel.is_cancelled() {
                std::process::exit(INTERRUPTED);
            }
            tracing::info!("finishing what is in hand; once more to stop at once");
            cancel.cancel();
        }
    });
    Ok(token)
}
