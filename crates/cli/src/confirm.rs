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

/// Goes on only where a person at the terminal says so. To be called before signals are received: Ctrl-C at the question
/// ends the process.
pub(super) fn confirm(what: &str) -> Result<(), UsageError> {
    answerable(what)?;
    let mut answer = String::new();
    let asked = write!(stderr(), "{}Go on? [y/N] ", wrapped(&format!("This would {what}.")));
    let read = asked.and_then(|()| stderr().flush()).and_then(|()| stdin().lock().read_line(&mut answer));
    match read {
        Ok(_) if ["y", "yes"].contains(&&*answer.trim().to_lowercase()) => Ok(()),
        Ok(_) => Err(UsageError("nothing was done: the answer was not yes".to_owned())),
        Err(error) => {
            Err(UsageError(format!("nothing was done: no answer could be read ({error}); say --yes instead")))
        }
    }
}
