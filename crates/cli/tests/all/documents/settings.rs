//! The tables of settings have what the binary has.

use crate::support::documents::{document, documents, known};
use std::collections::BTreeSet;

/// Flags of other programs, which documents for users name.
const FOREIGN: [&str; 5] = ["--help", "--disable-triggers", "--data-only", "--shard-count", "--group-id"];

/// Documents with other programs' flags (cargo's, those of the benchmarks), and the history with what is no more.
const OTHERS: [&str; 3] = ["CONTRIBUTING.md", "docs/performance.md", "CHANGELOG.md"];

#[test]
fn every_flag_and_variable_is_in_the_tables_and_no_others() {
    let (known, table) = (known(), document("docs/settings.md").tabulated());
    assert!(table.len() >= 90, "only {table:?}");
    let undocumented: Vec<_> =
        known.iter().filter(|name| !table.contains(*name) && *name != "--help" && *name != "--version").collect();
    let unknown: Vec<_> = table.iter().filter(|name| !known.contains(*name)).collect();
    assert!(
        undocumented.is_empty() && unknown.is_empty(),
        "not in docs/settings.md: {undocumented:?}; not in the binary: {unknown:?}"
    );
}

#[test]
fn every_flag_and_variable_that_a_document_for_users_names_is_one_of_the_binary() {
    let (table, mut wrong, mut seen) = (document("docs/settings.md").tabulated(), Vec::new(), BTreeSet::new());
    for document in documents().into_iter().filter(|document| !OTHERS.contains(&document.path.as_str())) {
        for (line, name) in document.named() {
            if !table.contains(&name) && !FOREIGN.contains(&name.as_str()) {
                wrong.push(format!("{}:{line}: {name}", document.path));
            }
            if document.path != "docs/settings.md" {
                seen.insert(name);
            }
        }
    }
    assert!(wrong.is_empty(), "not in the binary: {wrong:#?}");
    assert!(seen.len() >= 30, "only {seen:?} were found");
}
