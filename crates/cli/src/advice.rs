//! Which program it is that advises a command.

use std::borrow::Cow;
use std::sync::OnceLock;

/// The name of a program that is not `evenfold` itself, and its commands.
static PROGRAM: OnceLock<(String, &'static [&'static str])> = OnceLock::new();

/// What is advised from now on names this program, where it has the command that is advised.
pub(crate) fn advise(program: String, commands: &'static [&'static str]) {
    // Only the first name counts: a process is one program.
    let _ = PROGRAM.set((program, commands));
}

/// A text of this program or of the engine: commands that it advises, as in "run `evenfold migrate`", are this
/// program's.
pub(crate) fn advice(text: &str) -> Cow<'_, str> {
    match PROGRAM.get() {
        Some((program, commands)) => advice_of(text, program, commands),
        None => Cow::Borrowed(text),
    }
}

/// The same of a text in JSON.
pub(crate) fn advice_in_json(text: &str) -> Cow<'_, str> {
    match PROGRAM.get() {
        Some((program, commands)) => {
            let quoted = serde_json::Value::from(program.as_str()).to_string();
            advice_of(text, quoted.trim_matches('"'), commands)
        }
        None => Cow::Borrowed(text),
    }
}

fn advice_of<'a>(text: &'a str, program: &str, commands: &[&str]) -> Cow<'a, str> {
    const ADVICE: &str = "`evenfold ";
    let (mut rest, mut own) = (text, String::new());
    while let Some(at) = rest.find(ADVICE) {
        let command = &rest[at + ADVICE.len()..];
        let word = &command[..command.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(command.len())];
        let name = if commands.contains(&word) { program } else { "evenfold" };
        own.extend([&rest[..at], "`", name, " "]);
        rest = command;
    }
    if own.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(own + rest) }
}

/// The name under which this program complains.
pub(crate) fn program() -> &'static str {
    PROGRAM.get().map_or("evenfold", |(program, _)| program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advised_command_is_that_of_the_program_where_it_has_the_command() {
        let text = "run `evenfold migrate`, or `evenfold rebuild`: evenfold's own `evenfold migrate --schema a`";
        let own = advice_of(text, "orders", &["migrate"]);
        assert_eq!(own, "run `orders migrate`, or `evenfold rebuild`: evenfold's own `orders migrate --schema a`");
        assert!(matches!(advice_of("no advice", "orders", &["migrate"]), Cow::Borrowed(_)));
    }
}
