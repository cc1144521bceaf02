//! Ctrl-C and SIGTERM: the first one asks a command to finish, the next one ends the process at once, which loses
//! nothing: what is not committed is not applied. In either case evenfold's own PostgreSQL is left as a process leaves
//! it that ends by itself, or it is reported that it runs on.

use super::output::complain;
use super::{screen, server};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What shells report for a process that was ended by SIGINT, and by SIGTERM.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// What the first signal cancels, where the command can be asked to finish.
static FINISH: OnceLock<CancellationToken> = OnceLock::new();

/// That signals are received, by one task.
static RECEIVING: OnceLock<()> = OnceLock::new();

/// Whether a signal is ending the process: whatever else fails meanwhile fails because of that.
static ENDING: AtomicBool = AtomicBool::new(false);

/// A token that the first signal cancels.
pub fn shutdown() -> anyhow::Result<CancellationToken> {
    let token = FINISH.get_or_init(CancellationToken::new).clone();
    guard()?;
    Ok(token)
}

/// Has the first signal end a command that can't be asked to finish, instead of the kernel: evenfold's own PostgreSQL
/// would run on.
pub fn guard() -> anyhow::Result<()> {
    if RECEIVING.get().is_some() {
        return Ok(());
    }
    let mut signals =
        Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    RECEIVING.get_or_init(|| {
        // Ends with the process, which it may end itself.
        tokio::spawn(async move {
            loop {
                let code = signals.next().await;
                match FINISH.get().filter(|finish| !finish.is_cancelled()) {
                    Some(finish) => {
                        tracing::info!("finishing what is in hand; once more to stop at once");
                        finish.cancel();
                    }
                    None => end(code, signals).await,
                }
            }
        });
    });
    Ok(())
}

/// Does not return while a signal is ending the process.
pub fn let_it_end() {
    while ENDING.load(Ordering::Acquire) {
        std::thread::park();
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Waits for a signal, and gives the exit code for it.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPTED,
            _ = self.terminate.recv() => TERMINATED,
        }
    }
}

/// Ends the process, after its own PostgreSQL was left; a further signal does not wait for that.
async fn end(code: i32, mut signals: Signals) -> ! {
    ENDING.store(true, Ordering::Release);
    screen::leave();
    tokio::select! {
        left = tokio::task::spawn_blocking(server::leave_server) => match left {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => complain(&format!("{error}; {RUNS_ON}")),
            Err(panic) => complain(&format!("{panic}; {RUNS_ON}")),
        },
        _ = signals.next() => complain(RUNS_ON),
    }
    std::process::exit(code)
}

/// What is reported where the server was not left in order.
const RUNS_ON: &str = "evenfold's own PostgreSQL may run on: `evenfold db stop` stops it";
