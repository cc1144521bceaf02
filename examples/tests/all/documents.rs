//! What the documents do with the examples can be done.

use crate::example::example;
use evenfold_testkit::documents::{documents, help_of, words};

#[test]
fn every_command_line_of_a_document_is_one_that_can_be_followed() {
    let (mut wrong, mut right) = (Vec::new(), 0);
    for document in documents() {
        for (number, line) in document.commands() {
            // One without arguments need not know `--help`, and would run.
            let words = words(&line);
            let (own, args) = words.split_at(words.iter().position(|word| *word == "--").unwrap_or(words.len()));
            if let (["cargo", "run", .., "--example", name], ["--", args @ ..]) = (own, args) {
                match help_of(example(name, args)) {
                    Ok(_) => right += 1,
                    Err(reason) => wrong.push(format!("{}:{number}: {line}: {reason}", document.path)),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right >= 5, "only {right} were found");
}
