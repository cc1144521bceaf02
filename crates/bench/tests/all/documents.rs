//! What the documents say about the benchmarks is so.

use crate::support::documents::{document, documents, help, known, words};

/// The arguments of a command that is meant for the benchmarks.
fn arguments<'a>(words: &'a [&'a str]) -> Option<&'a [&'a str]> {
    match words {
        ["evenfold-bench", args @ ..] | ["cargo", "run", "--release", "-p", "evenfold-bench", "--", args @ ..] => {
            Some(args)
        }
        _ => None,
    }
}

#[test]
fn every_command_line_of_a_document_is_one_that_can_be_followed() {
    let (mut wrong, mut right) = (Vec::new(), 0);
    for document in documents() {
        for (number, line) in document.commands() {
            match arguments(&words(&line)).map(help) {
                Some(Ok(_)) => right += 1,
                Some(Err(reason)) => wrong.push(format!("{}:{number}: {line}: {reason}", document.path)),
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right >= 14, "only {right} were found");
}

#[test]
fn every_flag_is_in_a_table_and_no_others_are_named() {
    let (known, page) = (known(), document("docs/performance.md"));
    let (own, of_the_product) = (page.tabulated(), document("docs/settings.md").tabulated());
    assert!(own.len() >= 15, "only {own:?}");
    let in_no_table: Vec<_> = known
        .iter()
        .filter(|name| !own.contains(*name) && !of_the_product.contains(*name))
        .filter(|name| *name != "--help" && *name != "--version")
        .collect();
    let unknown: Vec<_> = own.iter().filter(|name| !known.contains(*name)).collect();
    // It also names flags of what is measured.
    let strange = |(_, name): &(usize, String)| !known.contains(name) && !of_the_product.contains(name);
    let named: Vec<_> = page.named().into_iter().filter(strange).collect();
    assert!(
        in_no_table.is_empty() && unknown.is_empty() && named.is_empty(),
        "in no table: {in_no_table:?}; not in the binary: {unknown:?}, {named:?}"
    );
}
