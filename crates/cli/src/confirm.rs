//! Asking before something that can't be undone.

use super::output::wrapped;
use crate::config::UsageError;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

/// Refuses where nobody can be asked.
pub(super) fn answerable(what: &str) -> Result<(), UsageError> {
    if stdin().is_terminal() && stderr().is_terminal() {
        return Ok(());
    }
    Err(UsageError(format!("this would {what}: say --yes if that is meant")))
}

/// Goes on only where a person at the terminal says so. To be called before signals are received: Ctrl-C at the
/// question ends the process.
pub(super) fn confirm(what: &str) -> Result<(), UsageError> {
    answerable(what)?;
    match ask(what, "Go on? [y/N]") {
        Ok(answer) if ["y", "yes"].contains(&&*answer.to_lowercase()) => Ok(()),
        Ok(_) => Err(UsageError("nothing was done: the answer was not yes".to_owned())),
        Err(error) => Err(unanswered(&error)),
    }
}

/// The same for what must not happen by a finger that slips: the name is to be typed.
pub(super) fn confirm_by_name(what: &str, name: &str) -> Result<(), UsageError> {
    answerable(what)?;
    match ask(what, &format!("Type {name} to go on:")) {
        Ok(answer) if answer == name => Ok(()),
        Ok(_) => Err(UsageError(format!("nothing was done: the answer was not {name}"))),
        Err(error) => Err(unanswered(&error)),
    }
}

/// Asks, and gives the answer.
fn ask(what: &str, question: &str) -> std::io::Result<String> {
    write!(stderr(), "{}{question} ", wrapped(&format!("This would {what}.")))?;
    stderr().flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

fn unanswered(error: &std::io::Error) -> UsageError {
    UsageError(format!("nothing was done: no answer could be read ({error}); say --yes instead"))
}
