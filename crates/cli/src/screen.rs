//! The alternate screen of a terminal, for what is drawn again and again: at the end, however it comes, the terminal
//! shows again what it did before.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError, TryLockError};

/// To the alternate screen, without a cursor; lines that are too long are cut by the terminal and not broken.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// To the upper left corner; clears a line from here on, and that with all lines below.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Lines for standard error that are kept while the screen is in use, at most.
const KEPT: usize = 100;

static USE: Mutex<ScreenUse> = Mutex::new(ScreenUse { entered: false, kept: VecDeque::new(), dropped: 0 });

/// How the screen is used at this moment.
struct ScreenUse {
    entered: bool,
    /// What is to be written to standard error afterwards.
    kept: VecDeque<String>,
    /// How many earlier lines were too many to be kept.
    dropped: usize,
}

/// The alternate screen, left when this is dropped, and where the process panics or ends by a signal.
pub(crate) struct Screen(());

impl Screen {
    pub(crate) fn enter() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let report = panic::take_hook();
            // What it reports would vanish with the screen.
            panic::set_hook(Box::new(move |panicked| {
                leave();
                report(panicked);
            }));
        });
        let screen = Self(());
        draw(&[], 1)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Shows these lines in place of those before, on a screen of so many lines at least.
pub(crate) fn draw(lines: &[String], height: usize) -> io::Result<()> {
    let mut using = lock();
    let enter = if using.entered { "" } else { ENTER };
    using.entered = true;
    // Cleared first: behind a line that is as long as the screen is wide, that would take its last character. No line
    // end after the last line of the screen: it would move up.
    let shown: Vec<String> = lines.iter().map(|line| format!("{CLEAR_LINE}{line}")).collect();
    let rest = if (1..height).contains(&lines.len()) { "\r\n" } else { "" };
    let clear = if lines.is_empty() || !rest.is_empty() { CLEAR_BELOW } else { "" };
    // At once: what is written in parts flickers.
    write_out(&format!("{enter}{HOME}{}{rest}{clear}", shown.join("\r\n")))
}

/// Shows what was on the terminal before, and below it what was kept meanwhile.
pub(crate) fn leave() {
    let mut using = match USE.try_lock() {
        Ok(using) => using,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        // Whoever panics while it draws must not wait for itself.
        Err(TryLockError::WouldBlock) if std::thread::panicking() => return,
        Err(TryLockError::WouldBlock) => lock(),
    };
    if !using.entered {
        return;
    }
    using.entered = false;
    // Nobody is left to report to if that fails.
    let _ = write_out(LEAVE);
    let mut err = io::stderr().lock();
    let dropped = std::mem::take(&mut using.dropped);
    if dropped > 0 {
        let _ = writeln!(err, "… {dropped} earlier lines are not shown");
    }
    for line in using.kept.drain(..) {
        let _ = err.write_all(line.as_bytes());
    }
}

/// Keeps a text for standard error until the screen is left, if it would be written across it.
pub(crate) fn keeps(text: &str) -> bool {
    let mut using = lock();
    if !using.entered || !io::stderr().is_terminal() {
        return false;
    }
    if using.kept.len() == KEPT {
        using.kept.pop_front();
        using.dropped += 1;
    }
    using.kept.push_back(text.to_owned());
    true
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

fn lock() -> MutexGuard<'static, ScreenUse> {
    USE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// Set for the process that is to panic.
    const PANIC: &str = "EVENFOLD_TEST_OF_A_PANIC";

    #[test]
    fn a_panic_is_reported_after_the_screen_was_left() -> io::Result<()> {
        if std::env::var_os(PANIC).is_some() {
            let _screen = Screen::enter()?;
            let none: Option<()> = None;
            assert!(none.is_some(), "on purpose");
        }
        let mut again = Command::new(std::env::current_exe()?);
        let name = "screen::tests::a_panic_is_reported_after_the_screen_was_left";
        again.args(["--exact", "--nocapture", name]).env(PANIC, "1").stdin(Stdio::null());
        // Both into one file, to see which comes first.
        let file = tempfile::NamedTempFile::new()?;
        let end = || std::fs::OpenOptions::new().append(true).open(file.path());
        let status = again.stdout(end()?).stderr(end()?).status()?;
        let printed = std::fs::read_to_string(file.path())?;
        let at = |text: &str| printed.find(text);
        assert!(!status.success(), "{printed}");
        assert!(at(ENTER) < at(LEAVE) && at(LEAVE) < at("on purpose") && at(ENTER).is_some(), "{printed:?}");
        assert_eq!(printed.matches(LEAVE).count(), 1, "{printed:?}");
        Ok(())
    }
}
