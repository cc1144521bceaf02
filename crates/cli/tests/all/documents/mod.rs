//! What people read: every document of the repository, its links, its code, and the command lines in it.

mod code;
mod commands;
mod links;
mod settings;

use crate::support::documents::{Document, document};

#[test]
fn the_readme_is_read_within_minutes() {
    let lines = document("README.md").text.lines().count();
    assert!(lines <= 200, "README.md has {lines} lines; what is more than 200 belongs into docs/");
}

#[test]
fn spans_and_fences_are_found_where_they_are() {
    let text = "a `b` and `c\n  d`, `e``f`\n\n```sh\n`g`\n```\nopen ` end\n\n`h`\n".to_owned();
    let document = Document { path: String::new(), text };
    let spans: Vec<(usize, String)> = document.spans();
    let expected = [(1, "b"), (1, "c d"), (2, "e"), (2, "f"), (9, "h")];
    assert_eq!(spans, expected.map(|(line, span)| (line, span.to_owned())));
    let [fence] = &document.fences()[..] else { panic!("one fence") };
    assert_eq!((fence.line, fence.language.as_str(), fence.lines.join("\n")), (4, "sh", "`g`".to_owned()));
}
