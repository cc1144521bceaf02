//! Links lead somewhere, and every document is reached.

use crate::support::documents::{Document, documents, root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

/// The targets of the links in the text, with the numbers of their lines.
fn links(document: &Document) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let text: Vec<(usize, String)> = document
        .prose()
        .into_iter()
        .map(|(number, line)| (number, line.split('`').step_by(2).collect::<Vec<_>>().join("code")))
        .collect();
    for (number, line) in text {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        links.extend(targets.map(|(target, _)| (number, target.to_owned())));
    }
    links
}

/// The anchors that the hosting sites give the headings.
fn anchors(document: &Document) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = document.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| {
            let anchor = anchor(line.trim_start_matches('#').trim());
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A link's path from the root of the repository, without `..`; none if it leads out of it.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = Path::new(from).parent()?.iter().map(|part| part.to_str().unwrap()).collect();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(parts.pop()?),
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// What is wrong with a link, or the path that it leads to.
fn check(all: &[Document], from: &Document, target: &str) -> Result<Option<String>, String> {
    if target.starts_with("https://") {
        return Ok(None);
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() { Some(from.path.clone()) } else { resolve(&from.path, path) };
    let path = path.filter(|path| root().join(path).exists()).ok_or("there is no such file")?;
    if let Some(anchor) = anchor {
        let document = all.iter().find(|document| document.path == path).ok_or("it is no document")?;
        if !anchors(document).contains(anchor) {
            return Err(format!("{path} has no such heading"));
        }
    }
    Ok(Some(path))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let all = documents();
    let (mut wrong, mut right) = (Vec::new(), 0);
    for document in &all {
        for (line, target) in links(document) {
            match check(&all, document, &target) {
                Ok(_) => right += 1,
                Err(reason) => wrong.push(format!("{}:{line}: {target}: {reason}", document.path)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(right >= 50, "only {right} were found");
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let all = documents();
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    let mut next = vec!["README.md".to_owned()];
    while let Some(path) = next.pop() {
        let Some(document) = all.iter().find(|document| document.path == path) else { continue };
        let targets = links(document).into_iter().filter_map(|(_, target)| check(&all, document, &target).ok()?);
        next.extend(targets.filter(|path| reached.insert(path.clone())));
    }
    let missed: Vec<&str> =
        all.iter().map(|document| document.path.as_str()).filter(|path| !reached.contains(*path)).collect();
    assert!(missed.is_empty(), "no link leads to {missed:?}");
}

#[test]
fn a_link_to_a_file_or_a_heading_that_is_not_there_is_found() {
    let text = "# Two words, `code` & a-b\n## Again\n## Again\n[a](#again-1) `[b](x)` [c](../README.md#two)\n";
    let document = Document { path: "docs/a.md".to_owned(), text: text.to_owned() };
    let expected = ["two-words-code--a-b", "again", "again-1"].map(str::to_owned);
    assert_eq!(anchors(&document), BTreeSet::from(expected));
    let found: Vec<(usize, String)> = links(&document);
    assert_eq!(found, [(4, "#again-1".to_owned()), (4, "../README.md#two".to_owned())]);
    let all = [document, Document { path: "README.md".to_owned(), text: "# One\n".to_owned() }];
    let outcome =
        |target| check(&all, &all[0], target).map_err(|reason| reason.split(' ').next_back().unwrap().to_owned());
    assert_eq!(outcome("#again-1"), Err("file".to_owned()), "docs/a.md is on no disk");
    assert_eq!(outcome("../README.md#one"), Ok(Some("README.md".to_owned())));
    assert_eq!(outcome("../README.md#two"), Err("heading".to_owned()));
    assert_eq!(outcome("../../etc/passwd"), Err("file".to_owned()));
    assert_eq!(outcome("http://example.org"), Err("file".to_owned()), "without TLS");
}
